"""``levelfield plan --target --spend``: the next trials of a study that has results."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from levelfield.cli.columns import TableOptions
    from levelfield.scaling.next.design import Proposal


def plan_next_trials(
    source: Path,
    *,
    target: float | None,
    spend: float | None,
    want: str,
    about: str | None,
    table: TableOptions,
    json: bool,
) -> None:
    """Print the trials that tell most of ``target`` for ``spend`` training FLOPs.

    Raises:
        SpecError: one of the two numbers is missing, or ``want`` is none of loss, size and verdict.
    """
    from levelfield.cli.analysis import read_analysis
    from levelfield.cli.console import say_json
    from levelfield.records.errors import SpecError
    from levelfield.scaling.next.design import propose

    if target is None or spend is None:
        raise SpecError("next trials need both: --target FLOPS (to be predicted) and --spend FLOPS (still allowed)")
    if want not in ("loss", "size", "verdict"):
        raise SpecError(f"--want must be loss, size or verdict, saw {want!r}")
    analysis = read_analysis(source, table, compared=False)
    proposal = propose(analysis, target=target, allowance=spend, want=want, family=about)
    proposal = dataclasses.replace(proposal, notes=(*analysis.notices, *proposal.notes))
    if json:
        say_json(proposal)
    else:
        _say(proposal)


def _say(proposal: Proposal) -> None:
    from levelfield.cli.console import say, say_table
    from levelfield.report.words.numbers import count, family_name, flops, percent, prose

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
    told = "ln of the optimal size" if sized else "ln loss"
    say(f"standard error of {told} there: {percent(proposal.sd_before)} now, {percent(proposal.sd_after)} after")
    for note in proposal.notes:
        say(f"  note: {prose(note)}", "faint")
