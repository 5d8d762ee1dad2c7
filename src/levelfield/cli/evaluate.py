"""``levelfield evaluate``: how good a network is on labelled images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from levelfield.cli.data import Arch, ImageColumn, Key, LabelColumn, Start, refuse_columns
from levelfield.cli.run import Device

if TYPE_CHECKING:
    from levelfield.records.evaluation import Evaluation, Share
    from levelfield.weights.loaded import LoadedModel

EXAMPLES = "Example:  levelfield evaluate runs/STUDY/trials/NAME --data flowers/test --out flowers-scores"
_SHOWN = 20


def evaluate(
    start: Start,
    data: Annotated[
        str | None,
        typer.Option(
            "--data", help="Labelled images: class folders, tars, Parquet, a table, … A trial's own when left out."
        ),
    ] = None,
    arch: Arch = None,
    key: Key = None,
    image_column: ImageColumn = None,
    label_column: LabelColumn = None,
    out: Annotated[Path | None, typer.Option(help="A folder for scores and figures.")] = None,
    device: Device = "auto",
    json: Annotated[bool, typer.Option("--json", help="Print JSON for a program.")] = False,
) -> None:
    """Score a network: top-1, top-5, loss, calibration, every class, and which are taken for which.

    Images that cannot be read are named at the end, with exit code 2; the others are judged.
    """
    from levelfield.cli.console import say, say_json
    from levelfield.data.ingest.places import PlaceSaid
    from levelfield.inference.answers import class_names
    from levelfield.inference.labelled import judged_resolution, score_place, score_trial
    from levelfield.records.errors import DataError, SpecError
    from levelfield.report.page.evaluation import write_evaluation
    from levelfield.study.execute.backbones import model_at
    from levelfield.train.device import resolve_device

    where = resolve_device(device)
    at = judged_resolution(start) if data is None else None
    loaded = model_at(start, device=where, arch=arch, key=key, resolution=at)
    if loaded.card.text_head is not None:
        raise SpecError(f"{start} places pictures beside texts, and its outputs are no classes: its study judges it")
    if loaded.card.pixel_head is not None:
        if data is not None:
            raise SpecError("--data names labelled images, and this network answers every pixel: leave it out")
        _evaluate_pixels(start, loaded, where, out, json=json)
        return
    if data is None:
        refuse_columns("the trial's own data", image_column, label_column)
        found, unreadable, place = score_trial(start, loaded, device=where)
    else:
        said = PlaceSaid(path=data, image_column=image_column, label_column=label_column)
        found, unreadable, place = score_place(said, loaded, device=where)
    written = write_evaluation(found, class_names(loaded), out) if out is not None else ()
    if json:
        say_json(found)
    else:
        card = loaded.card
        say(f"{card.architecture}, {card.num_outputs} classes, {card.resolution} px, from {card.source}")
        _say(found, place)
        for path in written:
            say(f"written: {path}")
    if unreadable:
        total, listed = found.num_images + len(unreadable), "\n".join(f"  {each}" for each in unreadable)
        raise DataError(f"{len(unreadable)} of {total} images cannot be read; the others are judged above:\n{listed}")


def _evaluate_pixels(start: Path, loaded: LoadedModel, device: Any, out: Path | None, *, json: bool) -> None:
    from levelfield.cli.console import say, say_json, say_table
    from levelfield.inference.pixels import score_pixels
    from levelfield.report.page.pixels import class_rows, resampled_sentence, score_rows, write_pixel_evaluation

    found, pictures = score_pixels(start, loaded, device=device)
    card = loaded.card
    network = f"{card.architecture}, {card.num_outputs} classes a pixel, {card.resolution} px, from {card.source}"
    written = write_pixel_evaluation(found, pictures, out, network=network) if out is not None else ()
    if json:
        say_json(found)
        return
    say(network)
    judged = f"{found.num_images} pictures of the trial's own report split"
    say_table(judged, ("score", "value", "90 % interval"), score_rows(found))
    say_table("Classes", ("class", "of the pixels", "IoU", "90 %", "recall", "precision"), class_rows(found))
    say(resampled_sentence(found))
    for path in written:
        say(f"written: {path}")


def _say(found: Evaluation, place: str) -> None:
    from levelfield.cli.console import say, say_table
    from levelfield.report.words.numbers import percent

    def number(value: float | None) -> str:
        return "-" if value is None else f"{value:.4f}"

    def told(share: Share, text) -> tuple[str, str]:
        return text(share.estimate), f"{text(share.low)} to {text(share.high)}"

    rows = [
        ("top-1", *told(found.top1, percent)),
        *([] if found.top5 is None else [("top-5", *told(found.top5, percent))]),
        ("loss in nats", *told(found.loss, number)),
        ("expected calibration error", percent(found.calibration_error), ""),
    ]
    say_table(f"{found.num_images} images of {place}", ("score", "value", "90 % interval over the images"), rows)
    worst = sorted((each for each in found.classes if each.num_images), key=lambda each: each.recall or 0.0)
    shown = [(each.name, str(each.num_images), _share(each.recall), _share(each.precision)) for each in worst[:_SHOWN]]
    say_table(
        "Classes, the least found first", ("class", "images", "found (recall)", "right when said (precision)"), shown
    )
    if len(worst) > _SHOWN:
        say(f"and {len(worst) - _SHOWN} more classes: --json or --out lists them")
    names = {each.label: each.name for each in found.classes}
    wrong = sorted((each for each in found.confusions if each.true != each.said), key=lambda each: -each.num_images)
    pairs = [(names[each.true], names[each.said], str(each.num_images)) for each in wrong[:10]]
    say_table("Most often taken for another", ("class", "taken for", "images"), pairs)


def _share(value: float | None) -> str:
    from levelfield.report.words.numbers import percent

    return "-" if value is None else percent(value)
