"""The report on disk: the page, and every panel as SVG, PNG and Vega-Lite."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from levelfield.records.observation import Observation
from levelfield.records.writing import make_directory, write_atomically
from levelfield.report.facts import StudyFacts
from levelfield.report.figures.figure import Panel
from levelfield.report.page.figures import study_figures
from levelfield.report.page.page import draw_panels, render_figures
from levelfield.report.page.svg import draw_png
from levelfield.report.tables.study import study_tables
from levelfield.report.tables.table import Table
from levelfield.scaling.results.analysis import Analysis


@dataclass(frozen=True, kw_only=True)
class ReportFiles:
    """Where the report lies: ``figures`` as SVG, PNG and ``.vl.json``, as ``tables`` those too long for a page."""

    page: Path
    figures: tuple[Path, ...]
    tables: tuple[Path, ...] = ()


def write_report(
    directory: Path, analysis: Analysis, observations: Sequence[Observation], facts: StudyFacts
) -> ReportFiles:
    """Write ``report.html``, ``figures/`` and, of a long study, ``tables/`` into ``directory``; equal input gives equal
    bytes.

    Raises:
        StoreError: the directory cannot be written.
    """
    figures = study_figures(analysis, observations, facts.predictions, facts.transfers, facts.foretold)
    pictures = draw_panels(figures)
    folder = directory / "figures"
    make_directory(folder)
    written = []
    for panel in (panel for figure in figures.values() for panel in figure.panels):
        written += write_panel(panel, pictures[panel.name], folder)
    _forget_others(folder, {path.name for path in written})
    tables = study_tables(analysis, facts)
    long = _write_long(directory, tables.values())
    page = directory / "report.html"
    write_atomically(page, render_figures(analysis, facts, figures, pictures, tables).encode())
    return ReportFiles(page=page, figures=tuple(written), tables=long)


def _write_long(directory: Path, tables: Iterable[Table]) -> tuple[Path, ...]:
    """Write the tables that the page does not show whole, and remove those of an earlier report that it does."""
    written = []
    for table in tables:
        path = directory / table.file
        if table.is_long:
            make_directory(path.parent)
            write_atomically(path, table.csv().encode())
            written.append(path)
        else:
            path.unlink(missing_ok=True)
    return tuple(written)


def write_panel(panel: Panel, svg: str, folder: Path) -> tuple[Path, ...]:
    """Write ``panel``, drawn as ``svg``, into ``folder`` as SVG, PNG and Vega-Lite."""
    specification = json.dumps(panel.specification, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    contents = {"svg": svg.encode(), "png": draw_png(svg), "vl.json": specification.encode()}
    for suffix, content in contents.items():
        write_atomically(folder / f"{panel.name}.{suffix}", content)
    return tuple(folder / f"{panel.name}.{suffix}" for suffix in contents)


def _forget_others(folder: Path, written: set[str]) -> None:
    """Remove panels of an earlier report that this one no longer has: a stale picture is an untrue one."""
    for path in sorted(folder.glob("*.vl.json")):
        name = path.name.removesuffix(".vl.json")
        if path.name not in written:
            for suffix in ("svg", "png", "vl.json"):
                (folder / f"{name}.{suffix}").unlink(missing_ok=True)
