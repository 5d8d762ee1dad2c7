"""``levelfield data audit``: how often a trial has seen each example, proven from its ledger."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

EXAMPLES = "Example:  levelfield data audit runs/STUDY/trials/NAME"


def audit(
    trial: Annotated[Path, typer.Argument(help="The directory of a trial, finished or not.")],
    data: Annotated[Path | None, typer.Option("--data", help="Where its data lies now, if it has moved.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON for a program.")] = False,
) -> None:
    """Prove how often a trial saw each example: its ledger against the order of its data, exit code 2 unless equal."""
    from levelfield.cli.console import say, say_json
    from levelfield.records.codec import to_plain
    from levelfield.records.errors import InputError
    from levelfield.records.store import TrialDirectory
    from levelfield.study.audit import audit_trial, moved_data

    spec = TrialDirectory(trial).spec()
    if spec is None:
        raise InputError(f"{trial} is no trial: name the directory of one, as runs/STUDY/trials/NAME")
    found = audit_trial(trial, moved_data(spec.data, data) if data is not None else None)
    if json:
        say_json(to_plain(found))
        return
    so_far = "" if found.finished else " so far"
    order = f"order version {found.order_version}"
    say(f"{found.trial}: {found.examples:,} positions{so_far}, each seen exactly once, in {order}")
    for number, part in enumerate(found.parts, start=1):
        which = f"part {number}: " if len(found.parts) > 1 else ""
        say(
            f"  {which}{part.seen:,} of {part.num_examples:,} examples seen, each {_times(part.least, part.most)}; "
            f"{part.epochs:.4g} epochs"
        )
    say(f"  masked: {found.masked:,}; digest {found.digest}, compared at {found.lines} lines of the ledger")


def _times(least: int, most: int) -> str:
    if least == 0:
        return "once" if most == 1 else f"1 to {most} times"
    said = f"{least} times" if least == most else f"{least} to {most} times"
    return "once" if said == "1 times" else said
