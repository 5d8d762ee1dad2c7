"""Which data a trial sees: one frozen spec a source, told apart by ``source``.

``select`` examples choose hyper-parameters; ``report`` examples are touched once, for winners (protocol 1). A ``path``
says where data lies and is no part of its identity: the content's own fingerprint is.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from levelfield.records.codec import later, record, to_plain
from levelfield.records.errors import expect
from levelfield.records.reason import Reason
from levelfield.records.stated import LARGEST_WHOLE_NUMBER, stated

LARGEST_SIDE = 4096
"""Pixels along a side of an image that anybody trains on."""
LARGEST_DRAWN_SIDE = 128
"""The same of digit streams, whose backgrounds are cut out of a bank of 1,024 times as many pixels in memory."""
LONGEST_STREAM = 2**62
"""Examples that an order can count (see :mod:`levelfield.data.order`)."""
LONGEST_PATH = 4096
MOST_HELD_OUT = 10**7
"""Held-out examples of a split: each is judged by every trial, and its loss kept."""
HELD_OUT_UNSAID = 5000
"""Report examples that are taken out of the training images where nothing is said."""

Split: TypeAlias = Literal["train", "select", "report"]
CorruptPolicy: TypeAlias = Literal["stop", "mask"]


@record
class FewDigitsJudge(Reason):
    """Why losses on scikit-learn's plain digits compare nothing: a few of the held-out images carry most of the loss.

    Five of 360 do, and seeds differ by a factor of two.
    """


@stated
class _DigitStreamSpec:
    """What the unlimited streams of handwritten digits over 1/f noise have in common.

    ``label_noise`` is the probability that a label is drawn uniformly from the other classes, which plants a known
    entropy floor under the loss. ``noise_contrast`` is the standard deviation of the background as a share of the
    ink's contrast; ``max_shift`` is a share of the image's side, ``max_scale`` a ratio either way.
    ``stream_examples`` is the length of an epoch: the default is never exhausted, a small one makes data scarce.
    """

    resolution: int = 32
    label_noise: float = 0.1
    noise_contrast: float = 0.15
    max_rotation_deg: float = 15.0
    max_shift: float = 0.06
    max_scale: float = 1.15
    stream_examples: int = 2**40
    select_examples: int = 4096
    report_examples: int = 20000
    seed: int = 0

    def __post_init__(self) -> None:
        expect(0 <= self.label_noise < 0.99, "label_noise", "in [0, 0.99)", self.label_noise)
        expect(0 <= self.noise_contrast <= 1, "noise_contrast", "in [0, 1]", self.noise_contrast)
        expect(1 <= self.max_scale <= 4, "max_scale", "from 1 to 4", self.max_scale)
        expect(0 <= self.max_shift <= 0.25, "max_shift", "in [0, 0.25] of the image's side", self.max_shift)
        expect(0 <= self.max_rotation_deg <= 180, "max_rotation_deg", "in [0, 180]", self.max_rotation_deg)
        most = LONGEST_STREAM
        expect(1 <= self.stream_examples <= most, "stream_examples", f"from 1 to {most}", self.stream_examples)
        expect(self.resolution <= LARGEST_DRAWN_SIDE, "resolution", f"at most {LARGEST_DRAWN_SIDE}", self.resolution)
        _check_common(self)


@stated
class DigitPairsSpec(_DigitStreamSpec):
    """Two digits side by side, 100 classes; the embedded default. Fields: see :class:`_DigitStreamSpec`."""

    source: Literal["digit-pairs"] = "digit-pairs"

    @property
    def num_digits(self) -> int:
        return 2


@stated
class DigitStringsSpec(_DigitStreamSpec):
    """``num_digits`` digits side by side: 10 to that power classes. Fields: see :class:`_DigitStreamSpec`."""

    source: Literal["digit-strings"] = "digit-strings"
    num_digits: int = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        expect(1 <= self.num_digits <= 4, "num_digits", "from 1 to 4", self.num_digits)


@stated
class DigitsSpec:
    """scikit-learn's 1,797 handwritten digits, 8 px: a smoke test that supports no verdict."""

    source: Literal["digits"] = "digits"
    resolution: int = 8
    augment: Literal["none", "affine"] = "affine"
    select_examples: int = 360
    report_examples: int = 360
    seed: int = 0

    def __post_init__(self) -> None:
        held_out = self.select_examples + self.report_examples
        expect(held_out < 1797, "select_examples + report_examples", "below the 1,797 digits there are", held_out)
        _check_common(self)


@stated
class ParquetSpec:
    """Encoded images with integer labels in one or more Parquet files.

    ``path`` holds the training examples; ``report_path`` holds the report split where the data has its own, else
    ``report_examples`` are taken out of ``path`` (5000 where nothing is said). ``select_examples`` always are. A report
    split of its own is judged whole: ``report_examples`` may say how many it holds, and is refused where it errs.
    """

    source: Literal["parquet"] = "parquet"
    path: str
    report_path: str | None = None
    image_column: str = "image"
    label_column: str = "label"
    resolution: int
    augment: Literal["none", "flip", "crop-flip"] = "crop-flip"
    corrupt: CorruptPolicy = "stop"
    select_examples: int = 5000
    report_examples: int | None = later(default=None)
    seed: int = 0

    def __post_init__(self) -> None:
        _check_common(self)


@stated
class FolderSpec:
    """A folder of class folders (ImageFolder layout): sorted folder names are the classes.

    ``report_examples`` as in :class:`ParquetSpec`.
    """

    source: Literal["folder"] = "folder"
    path: str
    report_path: str | None = None
    resolution: int
    augment: Literal["none", "flip", "crop-flip"] = "crop-flip"
    corrupt: CorruptPolicy = "stop"
    select_examples: int = 5000
    report_examples: int | None = later(default=None)
    seed: int = 0

    def __post_init__(self) -> None:
        _check_common(self)


DataSpec: TypeAlias = DigitPairsSpec | DigitStringsSpec | DigitsSpec | ParquetSpec | FolderSpec


def _check_common(spec: Any) -> None:
    expect(1 <= spec.resolution <= LARGEST_SIDE, "resolution", f"from 1 to {LARGEST_SIDE} pixels", spec.resolution)
    for name in ("select_examples", "report_examples"):
        size = getattr(spec, name)
        expect(size is None or 1 <= size <= MOST_HELD_OUT, name, f"from 1 to {MOST_HELD_OUT}", size)
    expect(0 <= spec.seed <= LARGEST_WHOLE_NUMBER, "seed", f"from 0 to {LARGEST_WHOLE_NUMBER}", spec.seed)
    for name in ("path", "report_path"):
        place = getattr(spec, name, None)
        expect(place is None or 1 <= len(place) <= LONGEST_PATH, name, f"of 1 to {LONGEST_PATH} characters", place)


def data_content(spec: DataSpec, fingerprint: str) -> str | None:
    """The part of a trial's identity that ``spec`` leaves open: which images lie there, by their ``fingerprint``.

    None where the spec alone says what is drawn.
    """
    return fingerprint if isinstance(spec, ParquetSpec | FolderSpec) else None


def check_content(spec: DataSpec, content: str | None) -> None:
    """Refuse a trial or probe that does not say which images it is of.

    Raises:
        SpecError: ``content`` is missing where ``spec`` leaves it open, or said where it does not.
    """
    open_part = data_content(spec, "")
    expected = "the fingerprint of the images" if open_part is not None else f"absent: {spec.source} says it all"
    expect((content is None) == (open_part is None), "data_content", expected, content)


def data_identity(spec: DataSpec) -> dict[str, Any]:
    """What of ``spec`` makes a trial another trial.

    Where images lie and in which container is no part of it: the same images give the same results from Parquet and
    from a folder, and are named by :func:`data_content`.
    """
    plain = to_plain(spec)
    if isinstance(spec, ParquetSpec | FolderSpec):
        plain = {key: value for key, value in plain.items() if key not in _CONTAINER_FIELDS}
        own = spec.report_path is not None
        plain |= {"source": "images", "own_report_split": own, "report_examples": num_report_asked(spec)}
    return plain


def num_report_asked(spec: DataSpec) -> int:
    """The report examples that are taken out of the training images, where none lie apart."""
    return HELD_OUT_UNSAID if spec.report_examples is None else spec.report_examples


_CONTAINER_FIELDS = {"path", "report_path", "image_column", "label_column"}
