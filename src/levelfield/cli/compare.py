"""``levelfield compare``: the verdict."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

EXAMPLES = "Example:  levelfield compare runs/quickstart --margin 0.05"


def compare(
    directory: Annotated[Path, typer.Argument(help="The directory of a study.")],
    margin: Annotated[
        float | None, typer.Option(help="Margin of 'equivalent' in ln loss; the study's own when left out.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON for a program.")] = False,
) -> None:
    """Say which family has the lower loss at equal compute: better, worse, equivalent or cannot tell."""
    from levelfield.cli.analysis import read_analysis, read_transfers, say_refusals, say_transfers
    from levelfield.cli.console import say, say_json, say_report_table
    from levelfield.records.errors import SpecError
    from levelfield.report.control_tables import controls_table
    from levelfield.report.numbers import prose
    from levelfield.report.tables import verdict_table

    if margin is not None and not 0 < margin < 1:
        raise SpecError(f"--margin must be in (0, 1) of ln loss, saw {margin}")
    analysis = read_analysis(directory, margin=margin)
    if json:
        answer = {"headline": analysis.headline, "comparisons": analysis.comparisons, "controls": analysis.controls}
        transfers = [fact.analysis for fact in read_transfers(directory)]
        say_json(answer | ({"transfers": transfers} if transfers else {}))
        return
    say(prose(analysis.headline), "strong")
    if margin is not None:
        say(f"(margin {margin} given on the command line, after the fact; the study fixed its own in advance)")
    for comparison in analysis.comparisons:
        say()
        say(prose(comparison.sentence))
    say_report_table(verdict_table(analysis))
    say_report_table(controls_table(analysis))
    say_transfers(directory)
    say_refusals(analysis)
