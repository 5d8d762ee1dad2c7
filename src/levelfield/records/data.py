"""Which data a trial sees: one frozen spec a source, told apart by ``source``.

``select`` examples choose hyper-parameters; ``report`` examples are touched once, for winners (protocol 1). A ``path``
says where data lies and is no part of its identity: the content's own fingerprint is.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from levelfield.records.codec import record, to_plain
from levelfield.records.errors import expect

Split: TypeAlias = Literal["train", "select", "report"]
CorruptPolicy: TypeAlias = Literal["stop", "mask"]


@record
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
        expect(self.max_scale >= 1, "max_scale", "at least 1", self.max_scale)
        expect(0 <= self.max_shift <= 0.25, "max_shift", "in [0, 0.25] of the image's side", self.max_shift)
        expect(0 <= self.max_rotation_deg <= 180, "max_rotation_deg", "in [0, 180]", self.max_rotation_deg)
        expect(self.stream_examples >= 1, "stream_examples", "at least 1", self.stream_examples)
        _check_common(self)


@record
class DigitPairsSpec(_DigitStreamSpec):
    """Two digits side by side, 100 classes; the embedded default. Fields: see :class:`_DigitStreamSpec`."""

    source: Literal["digit-pairs"] = "digit-pairs"

    @property
    def num_digits(self) -> int:
        return 2


@record
class DigitStringsSpec(_DigitStreamSpec):
    """``num_digits`` digits side by side: 10 to that power classes. Fields: see :class:`_DigitStreamSpec`."""

    source: Literal["digit-strings"] = "digit-strings"
    num_digits: int = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        expect(1 <= self.num_digits <= 4, "num_digits", "from 1 to 4", self.num_digits)


@record
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


@record
class ParquetSpec:
    """Encoded images with integer labels in one or more Parquet files.

    ``path`` holds the training examples; ``report_path`` holds the report split where the data has its own, else
    ``report_examples`` are taken out of ``path``. ``select_examples`` always are.
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
    report_examples: int = 5000
    seed: int = 0

    def __post_init__(self) -> None:
        _check_common(self)


@record
class FolderSpec:
    """A folder of class folders (ImageFolder layout): sorted folder names are the classes."""

    source: Literal["folder"] = "folder"
    path: str
    report_path: str | None = None
    resolution: int
    augment: Literal["none", "flip", "crop-flip"] = "crop-flip"
    corrupt: CorruptPolicy = "stop"
    select_examples: int = 5000
    report_examples: int = 5000
    seed: int = 0

    def __post_init__(self) -> None:
        _check_common(self)


DataSpec: TypeAlias = DigitPairsSpec | DigitStringsSpec | DigitsSpec | ParquetSpec | FolderSpec


def _check_common(spec: Any) -> None:
    expect(spec.resolution >= 1, "resolution", "at least 1 pixel", spec.resolution)
    expect(spec.select_examples >= 1, "select_examples", "at least 1", spec.select_examples)
    expect(spec.report_examples >= 1, "report_examples", "at least 1", spec.report_examples)


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
        plain |= {"source": "images", "own_report_split": spec.report_path is not None}
    return plain


_CONTAINER_FIELDS = {"path", "report_path", "image_column", "label_column"}
