"""``levelfield quickstart``: the whole path in a few minutes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from levelfield.cli.run import CheckpointEvery, Device

EXAMPLES = "Example:  levelfield quickstart --workers 2"


def quickstart(
    directory: Annotated[Path, typer.Option("--dir", help="Where the study lives.")] = Path("runs/quickstart"),
    workers: Annotated[int | None, typer.Option(help="Trials at a time; one a core when left out.", min=1)] = None,
    device: Device = "auto",
    checkpoint_every: CheckpointEvery = 30.0,
    spec: Annotated[bool, typer.Option("--spec", help="Print the study as TOML, to start your own from.")] = False,
) -> None:
    """Race NFNets and ViTs at equal compute on real digits: plan, train, fit, compare, report. Some minutes."""
    import os

    from levelfield.cli.console import say
    from levelfield.cli.progress import run_and_show
    from levelfield.study.spec_file import quickstart_study, quickstart_text

    if spec:
        say(quickstart_text().rstrip())
        return
    run_and_show(
        quickstart_study(),
        directory,
        num_workers=workers or len(os.sched_getaffinity(0)),
        device=device,
        retry_failed=False,
        checkpoint_seconds=checkpoint_every,
    )
