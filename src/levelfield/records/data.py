"""Which data a trial sees: one frozen spec a source, told apart by ``source``.

``select`` examples choose hyper-parameters; ``report`` examples are touched for winners only (protocol 1). A ``path``
says where data lies and is no part of its identity: the content's own fingerprint is.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Literal, TypeAlias, get_args

from levelfield.records.augment import RandAugment
from levelfield.records.codec import later, to_plain
from levelfield.records.data_bounds import LONGEST_STREAM, MOST_HELD_OUT, expect_common
from levelfield.records.demonstrations import DemonstrationsSpec
from levelfield.records.drawn import DigitPairsSpec, DigitsSpec, DigitStringsSpec, FractalsSpec
from levelfield.records.errors import expect
from levelfield.records.stated import stated
from levelfield.records.texted import TextedImagesSpec

MOST_MASK_CLASSES = 255
"""A mask has 8 bits a pixel, and one value of them belongs to no class."""
MOST_PARTS = 64
MOST_FOLDS = 100
MOST_WEIGHT = 10_000
"""The sum of a mixture's weights, without their common factor: shares to a hundredth of a percent."""
HELD_OUT_UNSAID = 5000
"""Report examples that are taken out of the training images where nothing is said."""

PIXELS_VERSION = 2
"""Part of the identity of what is trained on images that people bring. A change to how their files become pixels
(decoding, box, resize) that alters a single one must change it."""

LEAST_CROP_AREA = 0.08
"""Of a picture: of the boxes that Szegedy et al. cut, "Going deeper with convolutions", 2015."""

Split: TypeAlias = Literal["train", "select", "report"]
CorruptPolicy: TypeAlias = Literal["stop", "mask"]
Augment: TypeAlias = Literal["none", "flip", "crop-flip", "resized-crop-flip"]
AUGMENTS = get_args(Augment)
"""From the gentlest to the strongest."""
STRONGER = "+"
"""Stands between an augmentation and the RandAugment that follows it, where an axis names both."""


@stated
class ImagesSpec:
    """Labelled images in whatever is read here: a data set that ``levelfield data build`` made, class folders, tars,
    Parquet, what Hugging Face's ``save_to_disk`` leaves, a table of paths and labels.

    A column that is not named must be called as is usual, or be the only one that fits. Of a data set in parts, train
    is trained on, and test (else val) is the report split unless ``report_path`` names another. Where there is neither,
    ``report_examples`` are taken out of ``path`` (5000 where nothing is said); ``select_examples`` always are. A report
    split of its own is judged whole: ``report_examples`` may say how many it holds, and is refused where it errs.

    ``augment`` "crop-flip" shifts the resized square by an eighth at the most; "resized-crop-flip" resizes a random box
    of the original, ``least_crop_area`` of it or more. ``randaugment`` (as "rand-m9-n2", see
    :class:`levelfield.records.augment.RandAugment`) follows it.

    With ``block_examples`` an epoch is permuted in blocks of so many neighbours, ``window_blocks`` of which are then
    shuffled through one another (:mod:`levelfield.data.blocks`): for stores that read neighbours together.

    With ``folds`` the images that do not select are cut into so many parts, each with its share of every class, and
    those of ``fold`` judge networks that were trained on the others: where images are few, all of them judge.
    """

    source: Literal["images"] = "images"
    path: str
    report_path: str | None = None
    image_column: str | None = None
    label_column: str | None = None
    resolution: int
    augment: Augment = "crop-flip"
    corrupt: CorruptPolicy = "stop"
    select_examples: int = 5000
    report_examples: int | None = later(default=None)
    seed: int = 0
    least_crop_area: float = later(default=LEAST_CROP_AREA)
    randaugment: str | None = later(default=None)
    block_examples: int | None = later(default=None)
    window_blocks: int = later(default=64)
    folds: int | None = later(default=None)
    fold: int = later(default=0)

    @property
    def rand_augment(self) -> RandAugment | None:
        """What ``randaugment`` says."""
        return None if self.randaugment is None else RandAugment.of(self.randaugment)

    def __post_init__(self) -> None:
        expect_common(self)
        _check_augment(self)
        _check_blocks(self)
        _check_folds(self)


@stated
class MaskedImagesSpec:
    """Pictures with a mask each, a class a pixel: a folder of pairs (``images/NAME.jpg`` and ``masks/NAME.png``, in it
    or in each of its parts ``train``, ``val`` and ``test``), Parquet with a column of masks, or what ``levelfield data
    build`` made of either.

    Parts that lie apart are used whole: val selects, test reports, or what lies at ``report_path``. One that there is
    none of is drawn from the training part, ``select_examples`` or ``report_examples`` of it. Of Parquet
    ``split_column`` names the part of every row, ``sequence_column`` the frame that it is of a film; in a folder file
    names are frames where they end in numbers. ``stretch`` consecutive frames are taken to resemble one another:
    intervals resample them together.

    The classes are those that the data names (``classes.txt`` in a folder, ``class_names`` in a schema), or
    ``num_classes`` numbers. ``ignore_index`` is the value of pixels that belong to no class (255 where nothing says
    otherwise). ``augment`` "crop-flip" is a random crop of the picture at half to twice its size.
    """

    source: Literal["masked-images"] = "masked-images"
    path: str
    report_path: str | None = None
    image_column: str | None = None
    mask_column: str | None = None
    split_column: str | None = None
    sequence_column: str | None = None
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
        expect_common(self)
        num, ignored = self.num_classes, self.ignore_index
        expect(num is None or 2 <= num <= MOST_MASK_CLASSES, "num_classes", f"from 2 to {MOST_MASK_CLASSES}", num)
        expect(ignored is None or 0 <= ignored <= 255, "ignore_index", "from 0 to 255", ignored)
        expect(1 <= self.stretch <= MOST_HELD_OUT, "stretch", "at least 1 example", self.stretch)
        held = self.report_path is None or self.split_column is None
        expect(held, "report_path", "left out beside a split_column, which names the parts", self.report_path)


SourceSpec: TypeAlias = DigitPairsSpec | DigitStringsSpec | DigitsSpec | FractalsSpec | ImagesSpec
"""Labelled images from one place."""


@stated
class MixturePart:
    """One part of a mixture: its ``data``, and the ``weight`` of which it is taken."""

    data: SourceSpec
    weight: int | None = later(default=None)


@stated
class MixtureSpec:
    """Several sources of labelled images, seen as one.

    Of every sum-of-weights examples that a run sees, a part gives exactly its ``weight``; only the weights' ratios
    count. Without weights all examples of all parts are one set, and each is seen once an epoch. Classes of equal names
    are one. The select and report splits are those of the parts, joined. See :mod:`levelfield.data.mixture`.
    """

    source: Literal["mixture"] = "mixture"
    parts: tuple[MixturePart, ...]

    def __post_init__(self) -> None:
        expect(2 <= len(self.parts) <= MOST_PARTS, "parts", f"from 2 to {MOST_PARTS}", len(self.parts))
        said = [part.weight for part in self.parts if part.weight is not None]
        expect(len(said) in (0, len(self.parts)), "weight", "said of every part or of none", said)
        expect(all(1 <= weight <= LONGEST_STREAM for weight in said), "weight", "a whole number from 1", said)
        weights = self.weights or ()
        expect(sum(weights) <= MOST_WEIGHT, "weight", f"in ratios whose numbers add up to {MOST_WEIGHT}", said)
        for part in self.parts:
            held = not said and getattr(part.data, "block_examples", None)
            expect(not held, "block_examples", "left out of what is mixed without weights", held)
        sides = sorted({part.data.resolution for part in self.parts})
        expect(len(sides) == 1, "resolution", "the same for every part", sides)
        expect(
            self.select_examples <= MOST_HELD_OUT, "select_examples", f"{MOST_HELD_OUT} in all", self.select_examples
        )

    @property
    def weights(self) -> tuple[int, ...] | None:
        """The weights without their common factor; None where nothing is weighed."""
        said = [part.weight for part in self.parts if part.weight is not None]
        return tuple(weight // math.gcd(*said) for weight in said) if said else None

    @property
    def resolution(self) -> int:
        return self.parts[0].data.resolution

    @property
    def select_examples(self) -> int:
        """Those of all parts."""
        return sum(part.data.select_examples for part in self.parts)

    @property
    def report_examples(self) -> None:
        """Said of the parts alone."""
        return


DataSpec: TypeAlias = SourceSpec | MaskedImagesSpec | TextedImagesSpec | DemonstrationsSpec | MixtureSpec


def _check_augment(spec: ImagesSpec) -> None:
    """Refuse what would be ignored."""
    crops = spec.augment == "resized-crop-flip"
    expect(0 < spec.least_crop_area <= 1, "least_crop_area", "in (0, 1]", spec.least_crop_area)
    held = crops or spec.least_crop_area == LEAST_CROP_AREA
    expect(held, "least_crop_area", "left out unless augment is 'resized-crop-flip'", spec.least_crop_area)
    if spec.rand_augment is not None:
        expect(spec.augment != "none", "randaugment", "left out where augment is 'none'", spec.randaugment)


def augment_strength(text: str) -> tuple[int, float]:
    """Where an augmentation stands on an axis that goes from the gentlest to the strongest, as "crop-flip" or
    "resized-crop-flip+rand-m9-n2".

    Raises:
        SpecError: there is none of that name.
    """
    augment, stronger, randaugment = text.partition(STRONGER)
    expect(augment in AUGMENTS, "data.augment", f"one of {AUGMENTS}, or with '{STRONGER}rand-m9-n2'", text)
    if not stronger:
        return AUGMENTS.index(augment), 0.0
    expect(augment != "none", "data.augment", "more than 'none' before RandAugment", text)
    drawn = RandAugment.of(randaugment)
    return AUGMENTS.index(augment), 1.0 + drawn.magnitude * drawn.layers


def _check_blocks(spec: ImagesSpec) -> None:
    """A two-level order: blocks of so many neighbours, so many blocks a window; see :mod:`levelfield.data.blocks`."""
    block, window = spec.block_examples, spec.window_blocks
    expect(block is None or 1 <= block <= LONGEST_STREAM, "block_examples", f"from 1 to {LONGEST_STREAM}", block)
    expect(1 <= window <= LONGEST_STREAM, "window_blocks", f"from 1 to {LONGEST_STREAM}", window)
    expect(block is not None or window == 64, "window_blocks", "left out without block_examples", window)


def _check_folds(spec: ImagesSpec) -> None:
    """Every image that does not select judges once: nothing else may be asked to judge."""
    folds = spec.folds
    expect(folds is None or 2 <= folds <= MOST_FOLDS, "folds", f"from 2 to {MOST_FOLDS}", folds)
    expect(0 <= spec.fold < (folds or 1), "fold", f"from 0 to {(folds or 1) - 1}", spec.fold)
    for name in ("report_path", "report_examples", "block_examples"):
        said = getattr(spec, name)
        expect(folds is None or said is None, name, "left out beside folds, by which every image judges", said)


def in_fold(spec: DataSpec, fold: int) -> DataSpec:
    """``spec`` with that one of its folds to judge."""
    return dataclasses.replace(spec, fold=fold) if num_folds(spec) > 1 else spec


def num_folds(spec: DataSpec) -> int:
    """Networks that it takes to judge once: as many as there are folds."""
    return (spec.folds or 1) if isinstance(spec, ImagesSpec) else 1


def data_content(spec: DataSpec, fingerprint: str) -> str | None:
    """The part of a trial's identity that ``spec`` leaves open: which images lie there, by their ``fingerprint``.

    None where the spec alone says what is drawn.
    """
    kinds = tuple(type(part.data) for part in spec.parts) if isinstance(spec, MixtureSpec) else (type(spec),)
    brought = ImagesSpec | MaskedImagesSpec | TextedImagesSpec | DemonstrationsSpec
    return fingerprint if any(issubclass(kind, brought) for kind in kinds) else None


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
    if isinstance(spec, MixtureSpec):
        weights = spec.weights or (None,) * len(spec.parts)
        parts = zip(weights, (data_identity(part.data) for part in spec.parts), strict=True)
        return {"source": spec.source, "parts": [{"weight": weight, "data": data} for weight, data in parts]}
    plain = to_plain(spec)
    if isinstance(spec, MaskedImagesSpec):
        plain = {key: value for key, value in plain.items() if key not in _CONTAINER_FIELDS | _MASK_FIELDS}
        plain |= {"source": "masked images", "report_examples": num_report_asked(spec)}
        return plain | {"pixels": PIXELS_VERSION}
    if isinstance(spec, TextedImagesSpec):
        plain = {key: value for key, value in plain.items() if key not in _CONTAINER_FIELDS}
        plain |= {"source": "image texts", "report_examples": num_report_asked(spec)}
        return plain | {"pixels": PIXELS_VERSION}
    if isinstance(spec, DemonstrationsSpec):
        plain = {key: value for key, value in plain.items() if key not in _CONTAINER_FIELDS | _ROBOT_FIELDS}
        return plain | {"pixels": PIXELS_VERSION}
    if isinstance(spec, ImagesSpec):
        plain = {key: value for key, value in plain.items() if key not in _CONTAINER_FIELDS}
        own, num_report = spec.report_path is not None, None if spec.folds else num_report_asked(spec)
        plain |= {"source": "images", "own_report_split": own, "report_examples": num_report}
        plain |= {"pixels": PIXELS_VERSION}
    return plain


def placed_as(spec: DataSpec, other: DataSpec) -> DataSpec:
    """``spec`` where ``other`` says that its data lies now: what was searched of it, or held out, stays as it is."""
    if type(spec) is not type(other) or isinstance(spec, MixtureSpec):
        return other
    moved = {field: getattr(other, field) for field in _CONTAINER_FIELDS if hasattr(other, field)}
    return dataclasses.replace(spec, **moved)


def num_report_asked(spec: DataSpec) -> int:
    """The report examples that are taken out of the training images, where none lie apart."""
    if isinstance(spec, MixtureSpec):
        return sum(num_report_asked(part.data) for part in spec.parts)
    assert not isinstance(spec, DemonstrationsSpec), "their frames are counted where they are opened"
    return HELD_OUT_UNSAID if spec.report_examples is None else spec.report_examples


def at_resolution(spec: DataSpec, resolution: int) -> DataSpec:
    """The same data with images of another side."""
    if isinstance(spec, MixtureSpec):
        moved = (dataclasses.replace(part.data, resolution=resolution) for part in spec.parts)
        parts = zip(spec.parts, moved, strict=True)
        return dataclasses.replace(spec, parts=tuple(dataclasses.replace(part, data=data) for part, data in parts))
    return dataclasses.replace(spec, resolution=resolution)


_CONTAINER_FIELDS = {"path", "report_path", "image_column", "label_column", "text_column"}
_MASK_FIELDS = {"mask_column", "split_column", "sequence_column", "num_classes", "ignore_index"}
"""Where masks lie, and what is part of their content."""
_ROBOT_FIELDS = {"state_columns", "action_column"}
"""Which numbers are sensed and acted: they are part of the content."""
