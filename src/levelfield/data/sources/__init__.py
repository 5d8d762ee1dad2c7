"""Where images come from: one file a source, and the table that opens them."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from levelfield.data.source import Examples, Source
from levelfield.records.data import (
    DataSpec,
    DemonstrationsSpec,
    DigitPairsSpec,
    DigitsSpec,
    DigitStringsSpec,
    FractalsSpec,
    ImagesSpec,
    MaskedImagesSpec,
    MixtureSpec,
    SourceSpec,
    TextedImagesSpec,
)
from levelfield.records.errors import SpecError

if TYPE_CHECKING:
    import torch

__all__ = ["Examples", "Source", "near", "open_source", "open_source_once", "refuse_overruled_sizes"]


def open_source(spec: DataSpec, *, rehash: bool = False) -> Source:
    """The source that ``spec`` describes, opened: content listed and fingerprinted, no image decoded yet.

    Files that have not changed are known by the digests kept of them; with ``rehash`` every byte is read.

    Raises:
        DataError: the data is missing, empty or not what the spec says; the message names the place.
    """
    match spec:
        case DigitPairsSpec() | DigitStringsSpec():
            from levelfield.data.generated.digit_strings import DigitStrings

            return DigitStrings(spec)
        case DigitsSpec():
            from levelfield.data.generated.digits import Digits

            return Digits(spec)
        case FractalsSpec():
            from levelfield.data.generated.fractals import Fractals

            return Fractals(spec)
        case MixtureSpec():
            from levelfield.data.sources.mixture import MixtureSource

            return MixtureSource(spec, [_part(part.data, rehash=rehash) for part in spec.parts])
        case MaskedImagesSpec():
            from levelfield.data.ingest.mask_classes import MasksSaid
            from levelfield.data.ingest.masked_places import MaskedPlaceSaid, masked_stores_at
            from levelfield.data.sources.masked import MaskedSource

            place = MaskedPlaceSaid(
                path=spec.path,
                report_path=spec.report_path,
                image_column=spec.image_column,
                mask_column=spec.mask_column,
                split_column=spec.split_column,
                sequence_column=spec.sequence_column,
                masks=MasksSaid(num_classes=spec.num_classes, ignore_index=spec.ignore_index),
            )
            return MaskedSource(spec, masked_stores_at(place, rehash=rehash))
        case TextedImagesSpec():
            from levelfield.data.ingest.columns import TextsSaid
            from levelfield.data.ingest.places import PlaceSaid, texted_at
            from levelfield.data.sources.texted import TextedSource

            said = PlaceSaid(
                path=spec.path,
                report_path=spec.report_path,
                image_column=spec.image_column,
                label_column=spec.label_column,
                texts=TextsSaid(column=spec.text_column),
            )
            return TextedSource(spec, texted_at(said, rehash=rehash))
        case DemonstrationsSpec():
            from levelfield.data.ingest.demonstrations import DemonstrationsSaid, demonstrations_at
            from levelfield.data.sources.demonstrations import DemonstrationSource

            said = DemonstrationsSaid(
                path=spec.path,
                image_column=spec.image_column,
                state_columns=spec.state_columns,
                action_column=spec.action_column,
            )
            return DemonstrationSource(spec, demonstrations_at(said, rehash=rehash))
        case ImagesSpec():
            from levelfield.data.ingest.places import PlaceSaid, stores_at
            from levelfield.data.sources.splits import image_source

            said = PlaceSaid(
                path=spec.path,
                report_path=spec.report_path,
                image_column=spec.image_column,
                label_column=spec.label_column,
            )
            return image_source(spec, *stores_at(said, rehash=rehash))


def _part(spec: SourceSpec, *, rehash: bool) -> Source:
    source = open_source(spec, rehash=rehash)
    refuse_overruled_sizes(source, spec.report_examples)
    return source


def refuse_overruled_sizes(source: Source, report_examples: int | None) -> None:
    """Refuse a number of report examples that somebody said and that the data's own report split overrules.

    Raises:
        SpecError: the split holds another number.
    """
    held = source.split_sizes["report"]
    if report_examples not in (None, held):
        raise SpecError(
            f"{report_examples} report examples are asked for, but the data has a report split of its own that holds "
            f"{held}, all of which judge: leave the number out, or say {held}"
        )


@functools.lru_cache(maxsize=4)
def open_source_once(spec: DataSpec) -> Source:
    """:func:`open_source`, kept for the next trial of this process with its decoded images.

    For long-lived workers: files are assumed to stay as they are while the process lives.
    """
    return open_source(spec)


def near(source: Source, device: torch.device) -> Source:
    """``source`` with its pictures made on ``device``, where that is a GPU and the source knows how; equal pictures."""
    if device.type == "cpu":
        return source
    from levelfield.data.generated.digit_strings import DigitStrings
    from levelfield.data.generated.fractals import Fractals

    match source:
        case DigitStrings():
            from levelfield.data.generated.digit_renderer import rendered_on

            return rendered_on(source, device)
        case Fractals():
            from levelfield.data.generated.fractal_renderer import fractals_on

            return fractals_on(source, device)
        case _:
            return source
