"""Data named on the command line: images of one's own in whatever is read, or embedded digits."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from levelfield.data.ingest.demonstrations import DemonstrationsSaid
    from levelfield.data.ingest.masked_places import MaskedPlaceSaid
    from levelfield.data.ingest.places import PlaceSaid
    from levelfield.records.data import DataSpec

Start = Annotated[
    Path, typer.Argument(metavar="TRIAL_OR_WEIGHTS", help="The directory of a finished trial, or a file of weights.")
]
Arch = Annotated[
    str | None, typer.Option("--arch", help="Which network the file holds, as timm or Levelfield calls it.")
]
Key = Annotated[
    str | None, typer.Option("--key", help="Which weights of a training checkpoint, such as state_dict_ema.")
]
ImageColumn = Annotated[str | None, typer.Option("--image-column", help="Tables: column of images.")]
LabelColumn = Annotated[
    str | None, typer.Option("--label-column", help="Tables: column of labels; WebDataset: key in the JSON.")
]
AdaptChannels = Annotated[
    bool, typer.Option("--adapt-channels", help="Change the first layer for images of other channels (grey, colour).")
]
DataPlace = Annotated[
    str,
    typer.Option(
        "--data", help="Class folders, tars, Parquet, a table, what `data build` made; 'digits' or 'fractals'."
    ),
]
ReportPlace = Annotated[Path | None, typer.Option("--report-data", help="The held-out part, where it lies apart.")]
Resolution = Annotated[int, typer.Option(help="Image side in pixels.", min=1)]
Select = Annotated[int, typer.Option("--select", help="Training images set aside to choose by.", min=1)]
Report = Annotated[
    int | None, typer.Option("--report", help="Images set aside to judge, if not apart already; 1000 unsaid.", min=1)
]
MaskColumn = Annotated[str | None, typer.Option("--mask-column", help="Parquet: column of encoded masks ('mask').")]
SplitColumn = Annotated[
    str | None, typer.Option("--split-column", help="Parquet with masks: column that says train, val or test.")
]
SequenceColumn = Annotated[
    str | None, typer.Option("--sequence-column", help="Parquet with masks: column that names the frame of a film.")
]
NumClasses = Annotated[int | None, typer.Option("--num-classes", help="Masks: classes, where the data names none.")]
IgnoreIndex = Annotated[int | None, typer.Option("--ignore-index", help="Masks: value of pixels of no class (255).")]
TextColumn = Annotated[
    str | None, typer.Option("--text-column", help="Tables: column of texts of pictures; WebDataset: key in the JSON.")
]
Stretch = Annotated[
    int | None, typer.Option("--stretch", help="Masks: frames of a film that intervals resample together.", min=1)
]
StateColumns = Annotated[
    str | None, typer.Option("--state-columns", help="Demonstrations: columns of what is sensed, with commas between.")
]
ActionColumn = Annotated[
    str | None, typer.Option("--action-column", help="Demonstrations: column of what is done ('action').")
]
_REPORT_UNSAID = 1000


@dataclass(frozen=True, kw_only=True)
class PlaceOptions:
    """What the verbs of ``levelfield data`` are told of a place: of labelled pictures, of such with masks or texts, or
    of demonstrations."""

    image_column: str | None
    label_column: str | None
    mask_column: str | None
    split_column: str | None
    sequence_column: str | None
    num_classes: int | None
    ignore_index: int | None
    text_column: str | None
    state_columns: str | None
    action_column: str | None

    def said_of(self, path: str) -> PlaceSaid | MaskedPlaceSaid | DemonstrationsSaid:
        """The same as the door is told it: of masks where something is said of them, or pairs lie there; of
        demonstrations likewise.

        Raises:
            SpecError: columns are named that are not of one kind of data.
        """
        from levelfield.data.ingest.columns import TextsSaid
        from levelfield.data.ingest.demonstrations import is_demonstrations
        from levelfield.data.ingest.mask_classes import MasksSaid
        from levelfield.data.ingest.masked_places import MaskedPlaceSaid, is_masked_place
        from levelfield.data.ingest.places import PlaceSaid
        from levelfield.records.errors import SpecError

        of_masks = (self.mask_column, self.split_column, self.sequence_column, self.num_classes, self.ignore_index)
        of_robots = (self.state_columns, self.action_column)
        if of_robots != (None, None) or is_demonstrations(path):
            return self._of_demonstrations(path, of_masks)
        if of_masks == (None,) * 5 and not is_masked_place(path):
            texts = None if self.text_column is None else TextsSaid(column=self.text_column)
            named = {"image_column": self.image_column, "label_column": self.label_column}
            return PlaceSaid(path=path, texts=texts, **named)
        for option, said in (("--label-column", self.label_column), ("--text-column", self.text_column)):
            if said is not None:
                raise SpecError(f"{option} is of labels or texts, and pictures with masks have none: leave it out")
        return MaskedPlaceSaid(
            path=path,
            image_column=self.image_column,
            mask_column=self.mask_column,
            split_column=self.split_column,
            sequence_column=self.sequence_column,
            masks=MasksSaid(num_classes=self.num_classes, ignore_index=self.ignore_index),
        )

    def _of_demonstrations(self, path: str, of_masks: tuple[str | int | None, ...]) -> DemonstrationsSaid:
        from levelfield.data.ingest.demonstrations import DemonstrationsSaid
        from levelfield.records.errors import SpecError

        if (self.label_column, self.text_column, *of_masks) != (None,) * 7:
            raise SpecError("demonstrations have no labels, texts or masks: leave out what is said of those")
        columns = None
        if self.state_columns is not None:
            columns = tuple(name.strip() for name in self.state_columns.split(","))
            if "" in columns or len(set(columns)) < len(columns):
                raise SpecError(
                    f"--state-columns must be distinct names with commas between, saw {self.state_columns!r}"
                )
        return DemonstrationsSaid(
            path=path,
            image_column=self.image_column,
            state_columns=columns,
            action_column=self.action_column,
        )


def says_place(verb: Callable[..., None]) -> Callable[..., None]:
    """``verb`` with the options of :class:`PlaceOptions` on the command line where it has its parameter ``options``."""
    kinds = {
        "image_column": ImageColumn,
        "label_column": LabelColumn,
        "mask_column": MaskColumn,
        "split_column": SplitColumn,
        "sequence_column": SequenceColumn,
        "num_classes": NumClasses,
        "ignore_index": IgnoreIndex,
        "text_column": TextColumn,
        "state_columns": StateColumns,
        "action_column": ActionColumn,
    }
    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(verb, eval_str=True).parameters.items():
        shared = {name: parameter}
        if name == "options":
            shared = {each: parameter.replace(annotation=kind, default=None) for each, kind in kinds.items()}
        parameters += [each.replace(name=given, kind=each.KEYWORD_ONLY) for given, each in shared.items()]

    @functools.wraps(verb)
    def with_options(**given: Any) -> None:
        verb(options=PlaceOptions(**{name: given.pop(name) for name in kinds}), **given)

    with_options.__signature__ = inspect.Signature(parameters)  # pyright: ignore[reportAttributeAccessIssue]
    return with_options


def masked_data(
    place: str,
    *,
    resolution: int,
    select: int,
    report: int | None,
    augment: str | None = None,
    image_column: str | None = None,
    mask_column: str | None = None,
    split_column: str | None = None,
    sequence_column: str | None = None,
    num_classes: int | None = None,
    ignore_index: int | None = None,
    stretch: int | None = None,
) -> DataSpec:
    """The spec of the pictures with masks at ``place``: Parquet with a column of masks, pairs in a folder or in tars,
    or what was built of such, here or far away.

    Raises:
        SpecError: nothing lies there.
    """
    from levelfield.data.ingest.named_files import is_pattern
    from levelfield.data.stores.remote import is_far
    from levelfield.records.codec import from_plain
    from levelfield.records.data import MaskedImagesSpec
    from levelfield.records.errors import SpecError

    said: dict[str, Any] = {"path": place, "resolution": resolution, "select_examples": select}
    said |= {"report_examples": report or _REPORT_UNSAID}
    more = {
        "augment": augment,
        "image_column": image_column,
        "mask_column": mask_column,
        "split_column": split_column,
        "sequence_column": sequence_column,
        "num_classes": num_classes,
        "ignore_index": ignore_index,
        "stretch": stretch,
    }
    said |= {name: value for name, value in more.items() if value is not None}
    if not is_far(place) and not Path(place).expanduser().exists() and not is_pattern(place):
        raise SpecError(f"--data {place!r} is no folder or file here ({Path(place).absolute()})")
    return from_plain(MaskedImagesSpec, said, where=f"--data {place}")


def named_data(
    place: str,
    report_place: Path | None,
    *,
    resolution: int,
    select: int,
    report: int | None,
    augment: str | None = None,
    randaugment: str | None = None,
    image_column: str | None = None,
    label_column: str | None = None,
) -> DataSpec:
    """The spec of the data at ``place``.

    Raises:
        SpecError: nothing lies there, or the augmentation is none of that data.
    """
    from levelfield.data.ingest.named_files import is_pattern
    from levelfield.data.stores.remote import is_far
    from levelfield.records.codec import from_plain
    from levelfield.records.data import DigitsSpec, FractalsSpec, ImagesSpec
    from levelfield.records.errors import SpecError

    said: dict[str, Any] = {"resolution": resolution, "select_examples": select}
    said |= {"report_examples": report or _REPORT_UNSAID}
    if augment is not None:
        said |= {"augment": augment}
    made = {"digits": DigitsSpec, "fractals": FractalsSpec}.get(place)
    if made is not None:
        if randaugment is not None:
            raise SpecError(f"--randaugment is of pictures in files; {place!r} are drawn here: leave it out")
        refuse_columns(f"--data {place!r}", image_column, label_column)
        if report_place is not None:
            raise SpecError(f"--report-data says where held-out images lie; {place!r} are split here: leave it out")
        return from_plain(made, said, where=f"--data {place}")
    if randaugment is not None:
        said |= {"randaugment": randaugment}
    path = Path(place).expanduser()
    said |= {"path": place, "report_path": str(report_place) if report_place else None}
    said |= {"image_column": image_column, "label_column": label_column}
    if not is_far(place) and not path.exists() and not is_pattern(place):
        raise SpecError(f"--data {place!r} is no folder or file here ({path.absolute()}), nor 'digits' or 'fractals'")
    return from_plain(ImagesSpec, said, where=f"--data {place}")


def refuse_columns(place: str, image: str | None, label: str | None) -> None:
    """Refuse columns that were named of ``place``, which has none.

    Raises:
        SpecError: some were.
    """
    from levelfield.records.errors import SpecError

    for option, said in (("--image-column", image), ("--label-column", label)):
        if said is not None:
            raise SpecError(f"{option} names a column of a table, and {place} is none: leave it out")
