"""``levelfield trial run``: one trial or probe of a study to its end, wherever it is started."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from levelfield.cli.run import CheckpointEvery, Device, Prefetch, Threads, seconds_of

EXAMPLES = """Examples:
  levelfield trial run runs/STUDY/trials/NAME --for 50m
  levelfield trial run runs/STUDY/trials/NAME --profile trace.json"""


def run(
    directory: Annotated[Path, typer.Argument(help="The directory of a trial or a probe, with its spec.json.")],
    device: Device = "auto",
    threads: Threads = None,
    prefetch: Prefetch = None,
    checkpoint_every: CheckpointEvery = 30.0,
    piece: Annotated[
        str | None, typer.Option("--for", help="Stop after '50m' (s, m, h), saved: exit code 75 says to run it again.")
    ] = None,
    lease: Annotated[float, typer.Option(help="Seconds of silence after which others may take over.", min=1.0)] = 200.0,
    profile: Annotated[
        Path | None,
        typer.Option(help="First write a trace of some steps to this file, for chrome://tracing; no result changes."),
    ] = None,
) -> None:
    """Run one work item to its end. What becomes of it is written in its directory; run it again to go on.

    Where another process is at it and alive, nothing is done, which is no failure.
    """
    import dataclasses

    from levelfield.cli.console import complain, say
    from levelfield.records.attempts import RESULT
    from levelfield.records.errors import BusyError
    from levelfield.records.lease import clock
    from levelfield.study.execute.item import WorkOrder, asked_of, item_at, run_item
    from levelfield.train.device import resolve_device

    until = None if piece is None else clock() + seconds_of(piece)
    item = item_at(directory)
    execution, keeps_weights = asked_of(item)
    given = {name: value for name, value in (("threads", threads), ("prefetch", prefetch)) if value is not None}
    order = WorkOrder(
        device=resolve_device(device),
        execution=dataclasses.replace(execution, **given),
        checkpoint_seconds=checkpoint_every,
        keeps_weights=keeps_weights,
        until=until,
        term_s=lease,
        patience_s=0.0,
    )
    if profile is not None:
        from levelfield.study.execute.profiled import profile_item

        traced = profile_item(item, order, profile)
        say(f"{item.spec.name}: a trace of {traced} step{'s' * (traced > 1)} in {profile}")
    try:
        run_item(item, order)
    except BusyError as error:
        complain(f"{error}: nothing to do here")
        return
    say(f"{item.spec.name}: done, see {item.directory.path / RESULT}")
