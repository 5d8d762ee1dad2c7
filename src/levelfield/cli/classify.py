"""``levelfield classify``: what a network sees in one's own pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from levelfield.cli.data import Arch, Key, Start
from levelfield.cli.run import Device

EXAMPLES = "Example:  levelfield classify runs/STUDY/trials/NAME holiday.jpg pictures/"


def classify(
    start: Start,
    images: Annotated[list[Path], typer.Argument(help="Pictures, and folders of them.")],
    arch: Arch = None,
    key: Key = None,
    top: Annotated[int, typer.Option(help="Classes to name for each.", min=1)] = 5,
    device: Device = "auto",
    json: Annotated[bool, typer.Option("--json", help="Print a line of JSON for each picture.")] = False,
) -> None:
    """Name the most probable classes of pictures. What cannot be read is named at the end, with exit code 2."""
    from levelfield.cli.console import say, say_json_line, say_table
    from levelfield.inference.answers import classify as run_classify
    from levelfield.inference.pictures import Unreadable, find_pictures
    from levelfield.records.errors import DataError, SpecError
    from levelfield.report.words.numbers import percent
    from levelfield.study.execute.backbones import model_at
    from levelfield.train.device import resolve_device

    where = resolve_device(device)
    paths = find_pictures(images)
    loaded = model_at(start, device=where, arch=arch, key=key)
    if loaded.card.pixel_head is not None:
        raise SpecError(f"{start} answers every pixel, and has no class for a whole picture: `levelfield evaluate` it")
    if loaded.card.text_head is not None:
        raise SpecError(f"{start} places pictures beside texts, and its outputs are no classes: its study judges it")
    unreadable: list[Unreadable] = []
    found = run_classify(loaded, paths, device=where, top=top, unreadable=unreadable)
    if json:
        for each in found:
            say_json_line(each)
    else:
        card = loaded.card
        rows = [
            (each.picture if rank == 1 else "", str(rank), guess.name, percent(guess.probability))
            for each in found
            for rank, guess in enumerate(each.guesses, start=1)
        ]
        say(f"{card.architecture}, {card.num_outputs} classes, {card.resolution} px, from {card.source}")
        say_table("Classes", ("picture", "rank", "class", "confidence"), rows)
    if unreadable:
        listed = "\n".join(f"  {each}" for each in unreadable)
        others = "; the others are above" if len(unreadable) < len(paths) else ""
        raise DataError(f"{len(unreadable)} of {len(paths)} pictures cannot be read{others}:\n{listed}")
