"""``levelfield next``: the trials that tell most of a budget still out of reach, per FLOP."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from levelfield.cli.columns import TableOptions, reads_table

if TYPE_CHECKING:
    from levelfield.scaling.next.design import Proposal, Want

EXAMPLES = "Example:  levelfield next runs/quickstart --target 1e13 --spend 5e12 --want verdict"


@reads_table
def next_trials(
    source: Annotated[Path, typer.Argument(help="A study's directory, or anybody's table of training runs.")],
    *,
    target: Annotated[float, typer.Option(help="The budget to be predicted, in training FLOPs.")],
    spend: Annotated[float, typer.Option(help="The training FLOPs still allowed.")],
    want: Annotated[str, typer.Option(help="What to know there: loss, size or verdict.")] = "loss",
    about: Annotated[str | None, typer.Option(help="The family whose loss or size is wanted.")] = None,
    table: TableOptions,
    json: Annotated[bool, typer.Option("--json", help="Print JSON for a program.")] = False,
) -> None:
    """Propose the trials that tell most of a target above the rungs, for an allowance of training FLOPs."""
    from levelfield.cli.analysis import read_analysis
    from levelfield.cli.console import plain_with_sentences, say_json
    from levelfield.records.errors import SpecError
    from levelfield.scaling.next.design import propose

    wanted = _wanted(want)
    if wanted == "verdict" and about is not None:
        raise SpecError(f"--about names the family whose loss or size is wanted, saw {about!r}; a verdict is on both")
    if source.suffix == ".toml":
        raise SpecError(f"{source} plans a study; next trials follow from results: name its directory, or a table")
    analysis = read_analysis(source, table, compared=False)
    proposal = propose(analysis, target=target, allowance=spend, want=wanted, family=about)
    if json:
        say_json(plain_with_sentences(proposal) | {"notices": analysis.notices})
    else:
        _say(proposal, analysis.notices)


def _wanted(text: str) -> Want:
    from levelfield.records.errors import SpecError
    from levelfield.scaling.next.design import Want

    for want in get_args(Want):
        if want == text:
            return want
    raise SpecError(f"--want must be loss, size or verdict, saw {text!r}")


def _say(proposal: Proposal, notices: Sequence[str]) -> None:
    from levelfield.cli.console import say, say_table
    from levelfield.report.words.numbers import count, family_name, flops, percent
    from levelfield.report.words.told import told

    names = " and ".join(map(family_name, proposal.families))
    wanted = {"loss": "loss of", "size": "optimal size of", "verdict": "verdict on"}[proposal.want]
    say(f"{wanted} {names} at {flops(proposal.target_flops)}: the trials that tell most per FLOP", "strong")
    sized = proposal.want == "size"
    rows = [
        (
            family_name(trial.family),
            flops(trial.budget_flops),
            " ".join(map(count, trial.sizes)) if sized else str(trial.num_seeds),
            flops(trial.flops),
        )
        for trial in proposal.trials
    ]
    columns = ("family", "budget", "one run of each size" if sized else "seeds", "training")
    say_table("Next trials", columns, rows, numeric=(False, True, True, True))
    say(f"{flops(proposal.flops)} of {flops(proposal.allowance_flops)} allowed")
    of = "ln of the optimal size" if sized else "ln loss"
    say(f"standard error of {of} there: {percent(proposal.sd_before)} now, {percent(proposal.sd_after)} after")
    for note in (*notices, *map(told, proposal.notes)):
        say(f"  note: {note}", "faint")
