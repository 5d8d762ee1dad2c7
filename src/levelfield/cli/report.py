"""``levelfield report``: the page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from levelfield.cli.columns import TableOptions, reads_table

if TYPE_CHECKING:
    from levelfield.scaling.results.analysis import Analysis

EXAMPLES = "Examples:  levelfield report runs/quickstart;  levelfield report runs.csv --family arch --loss val_loss"


@reads_table
def report(
    source: Annotated[Path, typer.Argument(help="A study's directory, or anybody's table of training runs.")],
    *,
    table: TableOptions,
    out: Annotated[
        Path | None, typer.Option(help="Table: where the page goes; <name of the table>-report when left out.")
    ] = None,
    measure: Annotated[
        str | None, typer.Option(help="Study: what to show instead of what selected, of what was measured: error.")
    ] = None,
) -> None:
    """Write report.html and its figures (SVG, PNG): self-contained, no network. A study's lie in its directory."""
    from levelfield.cli.analysis import collecting_nothing
    from levelfield.cli.console import say
    from levelfield.records.errors import SpecError
    from levelfield.report.words.verdicts import headline

    if source.is_dir() and out is not None:
        raise SpecError(f"{source} is a study, whose page lies in it; leave out --out {out}")
    with collecting_nothing():
        written = _of_study(source, table, measure) if source.is_dir() else _of_table(source, table, out, measure)
    page, analysis = written
    say(headline(analysis), "strong")
    say(f"report: {page}")


def _of_study(directory: Path, table: TableOptions, measure: str | None) -> tuple[Path, Analysis]:
    from levelfield.cli.analysis import refuse_columns_of_a_study
    from levelfield.publish import publish

    refuse_columns_of_a_study(directory, table)
    return publish(directory, measure=measure)


def _of_table(source: Path, table: TableOptions, out: Path | None, measure: str | None) -> tuple[Path, Analysis]:
    from levelfield import __version__
    from levelfield.cli.analysis import read_table
    from levelfield.report.page.files import write_report
    from levelfield.report.page.table import table_facts
    from levelfield.scaling.face import analysed

    runs = read_table(source, table, measure=measure)
    analysis = analysed(runs)
    facts = table_facts(analysis, runs.rows, name=source.name, version=__version__)
    return write_report(out or Path(f"{source.stem}-report"), analysis, runs.rows, facts).page, analysis
