"""``levelfield verify``: train some finished trials again, as they were executed, and compare them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from levelfield.cli.run import Data, Device, ReportData, Workers

if TYPE_CHECKING:
    from levelfield.study.launch.base import LaunchEvent

EXAMPLES = "Example:  levelfield verify runs/quickstart --sample 2"


def verify(
    directory: Annotated[Path, typer.Argument(help="The directory of a study.")],
    sample: Annotated[int, typer.Option(help="How many finished trials to train again.", min=1)] = 2,
    seed: Annotated[int, typer.Option(help="Which ones: another seed draws others.")] = 0,
    data: Data = None,
    report_data: ReportData = None,
    workers: Workers = 1,
    device: Device = "auto",
    tolerance: Annotated[
        float | None,
        typer.Option(help="Share by which losses may differ where bits cannot be repeated; draws low rungs.", min=0),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON for a program.")] = False,
) -> None:
    """Train random finished trials again and compare every bit, or losses to rounding; check locked predictions."""
    from levelfield.cli.console import say, say_json
    from levelfield.records.errors import WorkError
    from levelfield.study.outcome.outcome import read_outcome
    from levelfield.study.spec_file import relocated
    from levelfield.study.verify import verify_study

    def told(event: LaunchEvent) -> None:
        if event.kind in ("finished", "restarted") and not json:
            say(f"{event.kind}: {event.trial.spec.name} {event.reason}".rstrip())

    moved = relocated(read_outcome(directory).spec, data, report_data).data if data or report_data else None
    checked = verify_study(
        directory,
        sample=sample,
        seed=seed,
        data=moved,
        device=device,
        num_workers=workers,
        tolerance=tolerance,
        on_event=told,
    )
    if json:
        say_json([{"what": c.what, "how": c.how, "holds": c.holds, "differences": c.differences} for c in checked])
    else:
        for each in checked:
            same = "equal" if each.how == "bit for bit" else "agrees"
            say(f"{same if each.holds else 'DIFFERENT'}: {each.what}", "plain" if each.holds else "alarm")
            for line in (*each.differences, each.made_elsewhere):
                if line:
                    say(f"  {line}")
        hows = [each.how for each in checked]
        say("checked: " + ", ".join(f"{hows.count(how)} {how}" for how in dict.fromkeys(hows)))
    failed = sum(not each.holds for each in checked)
    if failed:
        raise WorkError(f"{failed} of {len(checked)} checks found a difference")
