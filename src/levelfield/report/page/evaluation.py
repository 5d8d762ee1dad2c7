"""The scores of a network on disk: numbers for a program, a row a class, and the figures."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from levelfield.records.codec import to_json
from levelfield.records.evaluation import Evaluation
from levelfield.records.writing import make_directory, write_atomically
from levelfield.report.figures.confusion import confusion_panel, reliability_panel
from levelfield.report.page.files import write_panel
from levelfield.report.page.svg import draw_svg


def write_evaluation(found: Evaluation, names: Sequence[str], folder: Path) -> tuple[Path, ...]:
    """Write ``evaluation.json``, ``classes.csv`` and two figures into ``folder``.

    Raises:
        StoreError: the folder cannot be written.
    """
    make_directory(folder)
    scores, table = folder / "evaluation.json", folder / "classes.csv"
    write_atomically(scores, to_json(found).encode())
    write_atomically(table, _classes(found).encode())
    written = [scores, table]
    for panel in (confusion_panel(found.confusions, names), reliability_panel(found)):
        written += write_panel(panel, draw_svg(panel.specification, panel.name), folder)
    return tuple(written)


def _classes(found: Evaluation) -> str:
    text = io.StringIO()
    columns = ("label", "name", "num_images", "recall", "precision")
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({column: getattr(each, column) for column in columns} for each in found.classes)
    return text.getvalue()
