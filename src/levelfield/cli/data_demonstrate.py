"""``levelfield data demonstrate``: episodes of a scripted expert, recorded to be learnt from."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

EXAMPLES = "Example:  levelfield data demonstrate fetch-reach reach/ --episodes 300"


def demonstrate(
    scene: Annotated[str, typer.Argument(help="fetch-reach or fetch-pick-and-place.")],
    out: Annotated[Path, typer.Argument(help="A new folder, in LeRobot's layout.")],
    episodes: Annotated[int, typer.Option(help="How many are tried; those that fail are left out.", min=1)] = 300,
    side: Annotated[int, typer.Option(help="Pixels of a picture along a side.", min=8)] = 96,
    noise: Annotated[
        float, typer.Option(help="On what is acted, not on what is recorded, so that mistakes are mended.", min=0)
    ] = 0.1,
    seed: Annotated[int, typer.Option(help="Draws the scenes.", min=0)] = 0,
    workers: Annotated[int | None, typer.Option(help="Processes; as many as there are cores unsaid.", min=1)] = None,
) -> None:
    """Let a scripted expert act in a simulated scene, and record what was seen, sensed and done."""
    from levelfield.cli.console import say
    from levelfield.cli.data_build import counted
    from levelfield.records.errors import StoreError
    from levelfield.robots.demonstrate import Acting
    from levelfield.robots.demonstrate import demonstrate as run_demonstrate

    how = Acting(scene=scene, side=side, noise=noise, seed=seed)
    if out.exists():
        raise StoreError(f"{out} is there already: name a new folder for demonstrations")
    with counted("episodes") as told:
        found = run_demonstrate(
            how,
            out,
            episodes=episodes,
            workers=workers or min(os.cpu_count() or 1, 16),
            told=lambda done: told(done, episodes),
        )
    say(f"written: {out}, {found.kept:,} episodes of {found.frames:,} frames ({found.tried:,} tried, the rest failed)")
