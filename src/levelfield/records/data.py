"""Which data a trial sees: one frozen spec a source, told apart by ``source``.

``select`` examples choose hyper-parameters; ``report`` examples are touched once, for winners (protocol 1). A ``path``
says where data lies and is no part of its identity: the content's own fingerprint is.
"""

from __future__ import annotations

from typing import Any, Literal, Protocol, TypeAlias

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
MOST_MASK_CLASSES = 255
"""A mask has 8 bits a pixel, and one value of them belongs to no class."""
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

    With a ``mask_column`` every image has a mask of the same size beside it, a class a pixel, and no label; see
    :class:`MaskedSpec` for what is then said beside that. ``split_column`` names the part of every row (train, val or
    validation, test), ``sequence_column`` the frame that it is of a film.
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
    mask_column: str | None = later(default=None)
    split_column: str | None = later(default=None)
    sequence_column: str | None = later(default=None)
    num_classes: int | None = later(default=None)
    ignore_index: int | None = later(default=None)
    stretch: int = later(default=1)

    def __post_init__(self) -> None:
        _check_common(self)
        _check_masks(self)
        for name in ("split_column", "sequence_column", "num_classes", "ignore_index"):
            held = self.mask_column is not None or getattr(self, name) is None
            expect(held, name, "left out where no mask_column is said", getattr(self, name))
        held = self.stretch == 1 or self.sequence_column is not None
        expect(held, "stretch", "1, or a sequence_column beside it", self.stretch)
        held = self.report_path is None or self.split_column is None
        expect(held, "report_path", "left out beside a split_column, which names the parts", self.report_path)


@stated
class PairsSpec:
    """A folder of pictures with a mask each: ``images/NAME.jpg`` and ``masks/NAME.png``, in it or in each of its parts
    ``train``, ``val`` and ``test``. File names are frames of a film where they end in numbers.

    The classes are the lines of ``classes.txt`` in ``path``, or ``num_classes`` numbers. See :class:`MaskedSpec`.
    """

    source: Literal["pairs"] = "pairs"
    path: str
    resolution: int
    augment: Literal["none", "flip", "crop-flip"] = "crop-flip"
    corrupt: CorruptPolicy = "stop"
    select_examples: int = 500
    report_examples: int | None = later(default=None)
    seed: int = 0
    num_classes: int | None = later(default=None)
    ignore_index: int | None = later(default=None)
    stretch: int = later(default=1)

    def __post_init__(self) -> None:
        _check_common(self)
        _check_masks(self)


class MaskedSpec(Protocol):
    """What both specs of pictures with masks say.

    Parts that lie apart are used whole: val selects, test reports. One that there is none of is drawn from the training
    part, ``select_examples`` or ``report_examples`` of it. ``ignore_index`` is the value of pixels that belong to no
    class (255 where nothing says otherwise). ``augment`` "crop-flip" is a random crop of the picture at half to twice
    its size. ``stretch`` consecutive frames are taken to resemble one another: intervals resample them together.
    """

    @property
    def resolution(self) -> int: ...
    @property
    def augment(self) -> Literal["none", "flip", "crop-flip"]: ...
    @property
    def corrupt(self) -> CorruptPolicy: ...
    @property
    def select_examples(self) -> int: ...
    @property
    def report_examples(self) -> int | None: ...
    @property
    def seed(self) -> int: ...
    @property
    def num_classes(self) -> int | None: ...
    @property
    def ignore_index(self) -> int | None: ...
    @property
    def stretch(self) -> int: ...
    @property
    def path(self) -> str: ...


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


@stated
class ImagesSpec:
    """Labelled images in whatever is read here: a data set that ``levelfield data build`` made, class folders, tars,
    Parquet, what Hugging Face's ``save_to_disk`` leaves, a table of paths and labels.

    A column that is not named must be called as is usual, or be the only one that fits. Of a data set in parts, train
    is trained on, and test (else val) is the report split unless ``report_path`` names another. ``report_examples`` as
    in :class:`ParquetSpec`.
    """

    source: Literal["images"] = "images"
    path: str
    report_path: str | None = None
    image_column: str | None = None
    label_column: str | None = None
    resolution: int
    augment: Literal["none", "flip", "crop-flip"] = "crop-flip"
    corrupt: CorruptPolicy = "stop"
    select_examples: int = 5000
    report_examples: int | None = later(default=None)
    seed: int = 0

    def __post_init__(self) -> None:
        _check_common(self)


LabelledSpec: TypeAlias = ParquetSpec | FolderSpec | ImagesSpec
"""Data on a disk of which every image has a label."""

DataSpec: TypeAlias = DigitPairsSpec | DigitStringsSpec | DigitsSpec | LabelledSpec | PairsSpec


def _check_common(spec: Any) -> None:
    expect(1 <= spec.resolution <= LARGEST_SIDE, "resolution", f"from 1 to {LARGEST_SIDE} pixels", spec.resolution)
    for name in ("select_examples", "report_examples"):
        size = getattr(spec, name)
        expect(size is None or 1 <= size <= MOST_HELD_OUT, name, f"from 1 to {MOST_HELD_OUT}", size)
    expect(0 <= spec.seed <= LARGEST_WHOLE_NUMBER, "seed", f"from 0 to {LARGEST_WHOLE_NUMBER}", spec.seed)
    for name in ("path", "report_path"):
        place = getattr(spec, name, None)
        expect(place is None or 1 <= len(place) <= LONGEST_PATH, name, f"of 1 to {LONGEST_PATH} characters", place)


def _check_masks(spec: MaskedSpec) -> None:
    num, ignored = spec.num_classes, spec.ignore_index
    expect(num is None or 2 <= num <= MOST_MASK_CLASSES, "num_classes", f"from 2 to {MOST_MASK_CLASSES}", num)
    expect(ignored is None or 0 <= ignored <= 255, "ignore_index", "from 0 to 255", ignored)
    expect(1 <= spec.stretch <= MOST_HELD_OUT, "stretch", "at least 1 example", spec.stretch)


def is_masked(spec: DataSpec) -> bool:
    """Whether the data are pictures with masks."""
    return isinstance(spec, PairsSpec) or (isinstance(spec, ParquetSpec) and spec.mask_column is not None)


def data_content(spec: DataSpec, fingerprint: str) -> str | None:
    """The part of a trial's identity that ``spec`` leaves open: which images lie there, by their ``fingerprint``.

    None where the spec alone says what is drawn.
    """
    return fingerprint if isinstance(spec, LabelledSpec | PairsSpec) else None


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
    if is_masked(spec):
        plain = {key: value for key, value in plain.items() if key not in _CONTAINER_FIELDS | _MASK_FIELDS}
        return plain | {"source": "masked images", "report_examples": num_report_asked(spec)}
    if isinstance(spec, LabelledSpec):
        plain = {key: value for key, value in plain.items() if key not in _CONTAINER_FIELDS}
        own = spec.report_path is not None
        plain |= {"source": "images", "own_report_split": own, "report_examples": num_report_asked(spec)}
    return plain


def num_report_asked(spec: DataSpec) -> int:
    """The report examples that are taken out of the training images, where none lie apart."""
    return HELD_OUT_UNSAID if spec.report_examples is None else spec.report_examples


_CONTAINER_FIELDS = {"path", "report_path", "image_column", "label_column"}
_MASK_FIELDS = {"mask_column", "split_column", "sequence_column", "num_classes", "ignore_index"}
"""Where masks lie, and what is part of their content."""
