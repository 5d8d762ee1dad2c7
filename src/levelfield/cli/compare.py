"""``levelfield compare``: the verdict."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from levelfield.cli.columns import TableOptions, reads_table

if TYPE_CHECKING:
    from levelfield.scaling.results.analysis import Analysis

EXAMPLES = "Examples:  levelfield compare runs/quickstart;  levelfield compare runs.csv --family arch --loss val_loss"


@reads_table
def compare(
    source: Annotated[Path, typer.Argument(help="A study's directory, or anybody's table of training runs.")],
    *,
    margin: Annotated[
        float | None, typer.Option(help="Margin of 'equivalent' in ln loss; the study's own, or 0.05.")
    ] = None,
    measure: Annotated[
        str | None, typer.Option(help="Study: what to judge by instead of what selected, of what was measured: error.")
    ] = None,
    confound: Annotated[
        list[str] | None, typer.Option(help="Table: column to list as a confound even where balanced (repeatable).")
    ] = None,
    table: TableOptions,
    json: Annotated[bool, typer.Option("--json", help="Print JSON for a program.")] = False,
) -> None:
    """Say which family has the lower loss at equal compute: better, worse, equivalent or cannot tell."""
    from levelfield.cli.analysis import read_analysis, read_transfers
    from levelfield.cli.console import plain_with_sentences, say_json
    from levelfield.records.errors import SpecError
    from levelfield.report.words.verdicts import comparison_sentence, headline

    if margin is not None and not 0 < margin < 1:
        raise SpecError(f"--margin must be in (0, 1) of ln loss, saw {margin}")
    analysis = read_analysis(source, table, margin=margin, named_confounds=confound or (), measure=measure)
    if json:
        numbers = ("optimism", "seed_noise", "example_noise", "notices")
        names = ("measure", "in_progress", "fixed_margin", "controls", *numbers)
        answer = {name: getattr(analysis, name) for name in names}
        answer["headline"] = headline(analysis)
        answer["comparisons"] = [
            plain_with_sentences(each) | {"sentence": comparison_sentence(analysis, each)}
            for each in analysis.comparisons
        ]
        transfers = [fact.analysis for fact in read_transfers(source)] if source.is_dir() else []
        say_json(answer | ({"transfers": transfers} if transfers else {}))
        return
    _say(analysis, source)


def _say(analysis: Analysis, source: Path) -> None:
    from levelfield.cli.analysis import say_executions, say_notices, say_refusals, say_transfers
    from levelfield.cli.console import say, say_report_table
    from levelfield.report.tables.comparison import confounds_table, optimism_table, trends_table
    from levelfield.report.tables.control import controls_table
    from levelfield.report.tables.study import verdict_table
    from levelfield.report.words.numbers import percent
    from levelfield.report.words.verdicts import comparison_sentence, headline

    say(headline(analysis), "strong")
    say_notices(analysis)
    if not source.is_dir():
        say("(a table that others made: what is confounded with the family is listed, and no cause is claimed)")
    for comparison in analysis.comparisons:
        say()
        say(comparison_sentence(analysis, comparison))
    floors = {"seeds": analysis.seed_noise, "report examples": analysis.example_noise}
    known = [f"{percent(value, 2)} from {what}" for what, value in floors.items() if value is not None]
    if known:
        say()
        say(f"noise floor of ln loss, pooled: {', '.join(known)}")
    for shown in (
        verdict_table(analysis),
        trends_table(analysis),
        confounds_table(analysis),
        optimism_table(analysis),
        controls_table(analysis),
    ):
        say_report_table(shown)
    if source.is_dir():
        say_transfers(source)
        say_executions(source)
    say_refusals(analysis)
