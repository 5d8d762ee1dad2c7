"""``levelfield quickstart``: a race on a stream, in a few minutes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from levelfield.cli.run import CheckpointEvery, Device

EXAMPLES = "Example:  levelfield quickstart --workers 2"


def quickstart(
    directory: Annotated[Path, typer.Option("--dir", help="Where the race lives.")] = Path("runs/quickstart"),
    workers: Annotated[int | None, typer.Option(help="Trials at a time; one a core when left out.", min=1)] = None,
    device: Device = "auto",
    checkpoint_every: CheckpointEvery = 30.0,
    spec: Annotated[bool, typer.Option("--spec", help="Print the study as TOML, to start your own from.")] = False,
) -> None:
    """Race NFNets and ViTs at equal compute on real digits: plan, train, fit, compare, report. Some minutes."""
    import os

    from levelfield.cli.console import say
    from levelfield.cli.race import run_race, say_next
    from levelfield.records.errors import SpecError
    from levelfield.study.race.race import study_file, write_study
    from levelfield.study.spec_file import load_study, quickstart_study, quickstart_text

    if spec:
        say(quickstart_text().rstrip())
        return
    workers = workers or len(os.sched_getaffinity(0))
    begun = study_file(directory).exists()
    race = load_study(study_file(directory)) if begun else quickstart_study()
    if race.name != quickstart_study().name:
        raise SpecError(
            f"{directory} holds the race {race.name!r}: `levelfield race` goes on with it; give the quickstart another "
            "directory (--dir)"
        )
    if not begun:
        write_study(directory, race)
    analysis = run_race(
        race, directory, race.data.source, workers=workers, device=device, checkpoint_every=checkpoint_every,
        seconds=None,
    )  # fmt: skip
    say_next(directory, race.data.source, analysis, None, workers)
