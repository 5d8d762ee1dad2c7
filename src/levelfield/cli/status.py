"""``levelfield status``: where a study stands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

EXAMPLES = "Example:  levelfield status runs/quickstart --json"


def status(
    directory: Annotated[Path, typer.Argument(help="The directory of a study.")],
    json: Annotated[bool, typer.Option("--json", help="Print JSON for a program.")] = False,
) -> None:
    """Show what is done, what is wanted next, what failed, and what it has cost."""
    from levelfield.cli.analysis import collecting_nothing
    from levelfield.cli.console import say, say_json, say_table
    from levelfield.report.words.executions import mixed_executions
    from levelfield.report.words.numbers import flops, seconds, sentence
    from levelfield.study.outcome.outcome import read_outcome

    with collecting_nothing():
        outcome = read_outcome(directory)
        pending = outcome.planned.pending(outcome.results, outcome.probes)
        ledger = outcome.ledger
    if json:
        say_json(
            {
                "study": outcome.spec.name,
                "complete": outcome.complete,
                "finished": outcome.planned.num_wanted - len(pending),
                "pending": [trial.spec.name for trial in pending],
                "failed": outcome.failed,
                "ledger": ledger,
                "executions": [
                    {"trials": num, "executions": executions} for executions, num in outcome.executions.items()
                ],
            }
        )
        return
    wanted = outcome.planned.num_wanted
    state = "complete" if outcome.complete else "in progress"
    say(f"{outcome.spec.name}: {state}, {wanted - len(pending)} of {wanted} trials wanted so far are done", "strong")
    if mixed := mixed_executions(outcome.executions):
        say(sentence(mixed))
    for name, reason in outcome.failed.items():
        say(f"failed: {name}: {reason}", "alarm")
    say(
        f"training {flops(ledger.train_flops)}, evaluation {flops(ledger.evaluate_flops)}, "
        f"lost to crashes {flops(ledger.failed_flops)}, {seconds(outcome.device_seconds)} of device time"
    )
    rows = [(trial.role, flops(trial.budget_flops), trial.spec.name) for trial in pending]
    say_table("Wanted next", ("role", "budget", "trial"), rows)
