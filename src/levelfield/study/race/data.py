"""What a race is run on, from a place or the name of a stream, with held-out parts as large as the data can spare."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path

from levelfield.data.sources import open_source
from levelfield.records.data import DataSpec, ImagesSpec
from levelfield.records.drawn import DigitPairsSpec, DigitStringsSpec, FractalsSpec
from levelfield.records.errors import DataError, InputError, SpecError

logger = logging.getLogger(__name__)

STREAMS: dict[str, type[DigitPairsSpec] | type[DigitStringsSpec] | type[FractalsSpec]] = {
    "digit-pairs": DigitPairsSpec,
    "digit-strings": DigitStringsSpec,
    "fractals": FractalsSpec,
}
RESOLUTION = 32
_SELECT_SHARE, _REPORT_SHARE = 0.1, 0.2
_MOST_SELECT, _MOST_REPORT = 2000, 10_000
_ENOUGH_SELECT = 100
_FEWEST_HELD_OUT = 50
_FEW, FOLDS = 10_000, 5
"""Images of which a part judges too noisily, and the parts into which they are cut so that all do."""


def race_data(place: str, report_place: Path | None, *, resolution: int | None, fields: dict[str, str]) -> DataSpec:
    """The data at ``place``, judged on what lies at ``report_place``; or the stream of that name.

    A tenth of the images choose (of few ones up to a quarter, a hundred at the least), a fifth judges where none lie
    apart for it; of few ones all that do not choose judge, in folds. ``fields`` are other fields of the spec.

    Raises:
        SpecError: a stream is asked for other images to judge, or for columns.
        InputError: there is nothing, or too little to hold out images that judge.
    """
    if place in STREAMS and not Path(place).exists():
        if report_place is not None or fields:
            said = ", ".join(filter(None, (report_place and str(report_place), *fields)))
            raise SpecError(
                f"{place} is a stream, which judges itself and has no columns; leave out what names them: {said}"
            )
        stream = STREAMS[place]
        return stream() if resolution is None else stream(resolution=resolution)
    spec = ImagesSpec(
        path=place if "://" in place else str(Path(place).absolute()),
        report_path=None if report_place is None else str(report_place.absolute()),
        resolution=resolution or RESOLUTION,
        select_examples=1,
        report_examples=1,
        **fields,  # pyright: ignore[reportArgumentType]
    )
    sizes = open_source(spec).split_sizes
    apart = sizes["report"] > 1
    num = sizes["train"] + sizes["select"] + (0 if apart else sizes["report"])
    select = min(_MOST_SELECT, max(round(_SELECT_SHARE * num), min(_ENOUGH_SELECT, num // 4)))
    report = None if apart else min(_MOST_REPORT, round(_REPORT_SHARE * num))
    if report is not None and num < _FEW and select >= _FEWEST_HELD_OUT:
        folded = dataclasses.replace(spec, select_examples=select, report_examples=None, folds=FOLDS)
        try:
            open_source(folded)
        except DataError as error:  # a class of which there are too few
            logger.warning("%s; so one part of the images judges", error)
        else:
            return folded
    if min(select, sizes["report"] if report is None else report) < _FEWEST_HELD_OUT:
        raise InputError(
            f"{place} has {num} images, too few to race on: a quarter at the most chooses and the rest or a fifth "
            f"judges, at least {_FEWEST_HELD_OUT} each; fine-tune a backbone on them instead (`levelfield finetune`)"
        )
    return dataclasses.replace(spec, select_examples=select, report_examples=report)
