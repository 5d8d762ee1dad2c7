"""``levelfield trial run``: one trial or probe of a study to its end, wherever it is started."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from levelfield.cli.run import CheckpointEvery, Device, Prefetch, Threads, seconds_of

EXAMPLES = """Examples:
  levelfield trial run runs/STUDY/trials/NAME --for 50m
  levelfield trial run runs/STUDY/trials/NAME --profile trace.json"""
_HUNG_TERMS = 3
"""A rank that has not answered for so many terms of a lease hangs."""


def run(
    directory: Annotated[Path, typer.Argument(help="The directory of a trial or a probe, with its spec.json.")],
    device: Device = "auto",
    threads: Threads = None,
    prefetch: Prefetch = None,
    checkpoint_every: CheckpointEvery = 30.0,
    piece: Annotated[
        str | None, typer.Option("--for", help="Stop after '50m' (s, m, h), saved: exit code 75 says to run it again.")
    ] = None,
    devices: Annotated[
        int | None,
        typer.Option(help="Devices that share a batch, if not those of [execution].", min=1),
    ] = None,
    ordered: Annotated[
        Path | None, typer.Option("--order", help="A launcher's own order, which says all the rest.", hidden=True)
    ] = None,
    lease: Annotated[float, typer.Option(help="Seconds of silence after which others may take over.", min=1.0)] = 200.0,
    profile: Annotated[
        Path | None,
        typer.Option(help="First write a trace of some steps to this file, for chrome://tracing; no result changes."),
    ] = None,
) -> None:
    """Run one work item to its end. What becomes of it is written in its directory; run it again to go on.

    Where another process is at it and alive, nothing is done, which is no failure. Started by torchrun, all of its
    processes train one trial.
    """
    import dataclasses

    from levelfield.cli.console import complain, say
    from levelfield.records.attempts import RESULT
    from levelfield.records.errors import BusyError
    from levelfield.records.lease import clock
    from levelfield.study.execute.following import follow
    from levelfield.study.execute.item import WorkOrder, asked_of, item_at, run_item
    from levelfield.study.execute.torchrun import end_with_stdin, told_once
    from levelfield.train.device import resolve_device
    from levelfield.train.ranks import ranks_here

    if ordered is not None:
        _run_ordered(directory, ordered)
        return
    until = None if piece is None else clock() + seconds_of(piece)
    given = {"threads": threads, "prefetch": prefetch, "num_devices": devices}
    end_with_stdin()
    where = resolve_device(device)
    with ranks_here(where, hung_after_s=_HUNG_TERMS * lease) as ranks, told_once(directory, ranks):
        if not ranks.is_first:
            follow(ranks, where)
            return
        item = item_at(directory)
        execution, keeps_weights = asked_of(item)
        order = WorkOrder(
            device=where,
            execution=dataclasses.replace(execution, **{name: n for name, n in given.items() if n is not None}),
            checkpoint_seconds=checkpoint_every,
            keeps_weights=keeps_weights,
            until=until,
            term_s=lease,
            patience_s=0.0,
            ranks=ranks,
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


def _run_ordered(directory: Path, path: Path) -> None:
    from levelfield.cli.console import say
    from levelfield.study.launch.job import order_at, run_job

    order = order_at(path)
    if order is None:
        say(f"{path} has been withdrawn: nothing to do here")
        return
    run_job(directory, order)
    say(f"{directory.name}: nothing is left to do")
