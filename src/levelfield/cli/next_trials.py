"""``levelfield plan --target --spend``: the next trials of a study that has results."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from levelfield.scaling.design import Proposal


def plan_next_trials(
    source: Path,
    *,
    target: float | None,
    spend: float | None,
    want: str,
    about: str | None,
    columns: dict[str, str | None],
    json: bool,
) -> None:
    """Print the trials that tell most of ``target`` for ``spend`` training FLOPs.

    Raises:
        SpecError: one of the two numbers is missing, or ``want`` is neither loss nor verdict.
    """
    from levelfield.cli.analysis import read_analysis
    from levelfield.cli.console import say_json
    from levelfield.records.errors import SpecError
    from levelfield.scaling.design import propose

    if target is None or spend is None:
        raise SpecError("next trials need both: --target FLOPS (to be predicted) and --spend FLOPS (still allowed)")
    wanted: Literal["loss", "verdict"]
    if want == "loss" or want == "verdict":
        wanted = want
    else:
        raise SpecError(f"--want must be loss or verdict, saw {want!r}")
    analysis = read_analysis(source, columns=columns)
    proposal = propose(analysis, target=target, allowance=spend, want=wanted, family=about)
    if json:
        say_json(proposal)
    else:
        _say(proposal)


def _say(proposal: Proposal) -> None:
    from levelfield.cli.console import say, say_table
    from levelfield.report.numbers import family_name, flops, percent, prose

    names = " and ".join(map(family_name, proposal.families))
    wanted = "loss of" if proposal.want == "loss" else "verdict on"
    say(f"{wanted} {names} at {flops(proposal.target_flops)}: the trials that tell most per FLOP", "strong")
    rows = [
        (family_name(trial.family), flops(trial.budget_flops), str(trial.num_seeds), flops(trial.flops))
        for trial in proposal.trials
    ]
    say_table("Next trials", ("family", "budget", "seeds", "training"), rows, numeric=(False, True, True, True))
    say(f"{flops(proposal.flops)} of {flops(proposal.allowance_flops)} allowed")
    say(f"standard error of ln loss there: {percent(proposal.sd_before)} now, {percent(proposal.sd_after)} after")
    for note in proposal.notes:
        say(f"  note: {prose(note)}", "faint")
