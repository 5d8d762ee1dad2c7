"""``levelfield fit``: the law of loss against compute."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from levelfield.cli.columns import TableOptions, reads_table

if TYPE_CHECKING:
    from levelfield.report import LockedPrediction
    from levelfield.scaling.foretold import Foretold
    from levelfield.scaling.results.analysis import Analysis
    from levelfield.scaling.results.laws import LawFit, SizeLaw

EXAMPLES = "Example:  levelfield fit runs.csv --compute flops --loss val_loss --family arch"


@reads_table
def fit(
    source: Annotated[Path, typer.Argument(help="A study's directory, or anybody's table of training runs.")],
    *,
    level: Annotated[float, typer.Option(help="Level of the intervals, in (0, 1).")] = 0.9,
    form: Annotated[
        str | None,
        typer.Option(help="Form to believe whatever backtests prefer: log-log, saturating, shifted, m4 or broken."),
    ] = None,
    recency: Annotated[float | None, typer.Option(help="Power of compute that weighs points; 0 is alike.")] = None,
    measure: Annotated[
        str | None, typer.Option(help="Study: what to judge by instead of what selected, of what was measured: error.")
    ] = None,
    delta: Annotated[float | None, typer.Option(help="Huber scale in ln loss of every law.")] = None,
    backtest: Annotated[
        bool, typer.Option("--backtest", help="Also what each earlier cut of the runs would have foretold.")
    ] = False,
    table: TableOptions,
    json: Annotated[bool, typer.Option("--json", help="Print JSON for a program.")] = False,
) -> None:
    """Fit the laws of held-out loss against compute, and the optimum of a budget, or say why there is none."""
    from levelfield.cli.analysis import read_analysed
    from levelfield.cli.console import plain_with_sentences, say_json
    from levelfield.records.errors import RefusedError
    from levelfield.report.words.of_optima import optimum_sentences
    from levelfield.scaling.foretold import foretold
    from levelfield.scaling.ladder.belief import Asked

    asked = Asked(form=form, recency=recency, delta=delta)
    analysis, rows = read_analysed(source, table, compared=False, level=level, measure=measure, asked=asked)
    cuts = foretold(rows, level=level, asked=asked, sizes_counted=source.is_dir()) if backtest else None
    locked = _locked(source) if backtest else ()
    if json:
        say_json(
            {
                "measure": analysis.measure,
                "laws": [_with_equation(law) for law in analysis.laws],
                "size_laws": [_with_equation(law) for law in analysis.size_laws],
                "allocations": analysis.allocations,
                "optima": [
                    plain_with_sentences(each) | {"sentences": optimum_sentences(each)} for each in analysis.optima
                ],
                "rate_surfaces": analysis.rate_surfaces,
                "refusals": analysis.refusals,
                "notices": analysis.notices,
            }
            | ({} if cuts is None else {"backtest": cuts, "locked": locked})
        )
    else:
        _say(analysis, level)
        if cuts is not None:
            _say_cuts(cuts, locked, analysis.measure.name)
    if not (analysis.laws or analysis.size_laws):
        raise typer.Exit(RefusedError.exit_code)


def _say(analysis: Analysis, level: float) -> None:
    from levelfield.cli.analysis import say_notices, say_optima, say_refusals
    from levelfield.cli.console import say, say_report_table
    from levelfield.report.tables.optimum import optima_table, rates_table, size_laws_table
    from levelfield.report.tables.study import laws_table
    from levelfield.report.words.numbers import percent

    say_notices(analysis)
    if analysis.laws or analysis.size_laws:
        say(
            f"intervals at {percent(level, 0)}, of each law as if its form were true; "
            "what all of them together foretell, errors of form included, is `predict`'s to say"
        )
    say_report_table(laws_table(analysis))
    say_report_table(size_laws_table(analysis))
    say_report_table(optima_table(analysis))
    say_optima(analysis)
    say_report_table(rates_table(analysis))
    say_refusals(analysis)


def _locked(source: Path) -> tuple[LockedPrediction, ...]:
    """What the study at ``source`` locked before its rungs ran; a table has locked nothing."""
    if not source.is_dir():
        return ()
    from levelfield.publish import locked_predictions
    from levelfield.study.outcome.outcome import read_outcome

    return tuple(locked_predictions(read_outcome(source)))


def _say_cuts(cuts: Sequence[Foretold], locked: Sequence[LockedPrediction], measure: str) -> None:
    from levelfield.cli.console import say, say_report_table
    from levelfield.report.tables.foretold import foretold_table
    from levelfield.report.words.foretold import foretold_sentence, locked_sentence

    say_report_table(foretold_table(cuts, locked, measure=measure))
    for told in filter(None, (foretold_sentence(cuts), locked_sentence(locked))):
        say(told)


def _with_equation(law: LawFit | SizeLaw) -> dict[str, Any]:
    """The law for a program, with what its form means and where it comes from."""
    from levelfield.cli.console import plain_with_sentences
    from levelfield.scaling.laws import LAWS

    form = LAWS[law.form]
    return plain_with_sentences(law) | {"equation": form.equation, "latex": form.latex, "source": form.source}
