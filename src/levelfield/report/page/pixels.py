"""The scores of a network that answers every pixel, as a page: mIoU first, every class, and some of its answers."""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from levelfield.records.codec import to_json
from levelfield.records.evaluation import Confusion, Share
from levelfield.records.fields import IGNORED
from levelfield.records.pixel_evaluation import PixelEvaluation
from levelfield.records.writing import make_directory, write_atomically
from levelfield.report.figures.confusion import confusion_panel
from levelfield.report.page.files import write_panel
from levelfield.report.page.svg import draw_svg, for_page
from levelfield.report.words import numbers
from levelfield.report.words.told import told

_COLOURS = (
    "#4c78a8", "#f58518", "#54a24b", "#e45756", "#72b7b2", "#eeca3b", "#b279a2", "#ff9da6", "#9d755d", "#bab0ac",
    "#1f3b70", "#8c2d04", "#1a6b3c", "#7b0f2b", "#2a7f8e", "#8a6d00", "#5b2a6e", "#c2185b", "#4e342e", "#37474f",
)  # fmt: skip
"""Of classes by number, again from the first where there are more."""
_SHOWN_SIDE = 240

Shown = tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8], float]
"""A picture [3, H, W], its mask and the answer [H, W], and how well it was answered."""


def write_pixel_evaluation(
    found: PixelEvaluation, pictures: Sequence[Shown], folder: Path, *, network: str
) -> tuple[Path, ...]:
    """Write ``evaluation.json``, ``classes.csv``, the confusion as a figure, and ``evaluation.html`` into ``folder``.

    Raises:
        StoreError: the folder cannot be written.
    """
    make_directory(folder)
    contents = {"evaluation.json": to_json(found), "classes.csv": _table(found)}
    names = [each.name for each in found.classes]
    panel = confusion_panel(_confusions(found), names)
    svg = draw_svg(panel.specification, panel.name)
    contents["evaluation.html"] = _page(found, pictures, network, svg)
    for name, content in contents.items():
        write_atomically(folder / name, content.encode())
    return (*(folder / name for name in contents), *write_panel(panel, svg, folder))


def score_rows(found: PixelEvaluation) -> list[tuple[str, str, str]]:
    """What was measured, its value and its interval, in words."""
    rows = [("mIoU of all pictures together", *_told(found.miou, "share"))]
    for each in found.measures:
        unit = "share" if each.name.endswith("mIoU") else each.unit
        what = f"{each.name} in {each.unit}" if each.unit and each.unit != "share" else each.name
        rows.append((f"{what}, mean over pictures", *_told(each.value, unit)))
    return rows


def class_rows(found: PixelEvaluation) -> list[tuple[str, ...]]:
    """Every class: name, share of the pixels, IoU and its interval, recall and precision, in words."""
    missing = numbers.MISSING
    return [
        (
            each.name,
            numbers.percent(each.share),
            *((missing, "") if each.iou is None else _told(each.iou, "share")),
            missing if each.recall is None else numbers.percent(each.recall),
            missing if each.precision is None else numbers.percent(each.precision),
        )
        for each in found.classes
    ]


def resampled_sentence(found: PixelEvaluation) -> str:
    """What the intervals leave out at a time, or why there are none."""
    if found.no_interval is not None:
        return f"No intervals: {told(found.no_interval)}."
    what = "stretches of consecutive pictures" if found.stretched else "pictures, each taken to err for itself"
    return f"Intervals of 90 % leave out one of {found.num_stretches} {what} at a time; they are of this one network."


def _told(share: Share, unit: str) -> tuple[str, str]:
    write = numbers.percent if unit == "share" else numbers.loss
    if share.low is None or share.high is None:
        return write(share.estimate), ""
    low, high = (max(0.0, share.low), min(1.0, share.high)) if unit == "share" else (share.low, share.high)
    return write(share.estimate), f"{write(low)} to {write(high)}"


def _confusions(found: PixelEvaluation) -> list[Confusion]:
    return [
        Confusion(true=true, said=said, num_images=number)
        for true, row in enumerate(found.confusion)
        for said, number in enumerate(row)
        if number
    ]


def _table(found: PixelEvaluation) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("label", "name", "share", "iou", "iou_low", "iou_high", "recall", "precision"))
    for each in found.classes:
        iou = (None, None, None) if each.iou is None else (each.iou.estimate, each.iou.low, each.iou.high)
        writer.writerow((each.label, each.name, each.share, *iou, each.recall, each.precision))
    return text.getvalue()


def _page(found: PixelEvaluation, pictures: Sequence[Shown], network: str, svg: str) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("levelfield.report.page", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    shown = [
        (numbers.percent(score), [_png(_pixels(image)), _png(_coloured(mask)), _png(_coloured(answer, mask))])
        for image, mask, answer, score in pictures
    ]
    return environment.get_template("pixels.html.j2").render(
        found=found,
        network=network,
        scores=score_rows(found),
        classes=list(zip(class_rows(found), map(_colour, range(len(found.classes))), strict=True)),
        sentence=resampled_sentence(found),
        pictures=shown,
        confusion=Markup(for_page(svg)),
    )


def _colour(label: int) -> str:
    return _COLOURS[label % len(_COLOURS)]


def _pixels(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(image.transpose(1, 2, 0).repeat(3 // len(image), axis=2))


def _coloured(classes: NDArray[np.uint8], judged: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
    """``classes`` [H, W] in their colours; white where ``judged`` (itself) is of no class."""
    table = np.array([[int(_colour(label)[place : place + 2], 16) for place in (1, 3, 5)] for label in range(256)])
    drawn = table[classes].astype(np.uint8)
    drawn[(classes if judged is None else judged) == IGNORED] = 255
    return drawn


def _png(pixels: NDArray[Any]) -> str:
    scale = max(1, _SHOWN_SIDE // len(pixels))
    file = io.BytesIO()
    Image.fromarray(pixels.repeat(scale, axis=0).repeat(scale, axis=1)).save(file, "png", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
