"""What ``levelfield race`` says of a long shelf: its probes, and who goes on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from levelfield.data.sources import Source
    from levelfield.study.race.design import Shelved

MOST_RACING = 4
"""Weights that race where more are given; the search of each costs as much as that of a family."""


def shortened(
    shelf: Sequence[Shelved], source: Source, place: Path, *, keep: int | None, device: str
) -> tuple[Shelved, ...]:
    """Those of ``shelf`` that race: all, or the ``keep`` best by frozen probes, which are said and kept in ``place``.

    Raises:
        SpecError: there are no more than are to be kept.
    """
    from levelfield.cli.console import say
    from levelfield.records.errors import SpecError
    from levelfield.records.sealed import write_record
    from levelfield.report.words.numbers import flops
    from levelfield.study.race.screen import screen_shelf
    from levelfield.train.device import resolve_device

    most = MOST_RACING if keep is None else keep
    if keep is not None and len(shelf) <= keep:
        raise SpecError(
            f"--screen {keep}: {len(shelf)} weights are no more than that, so all of them race; leave it out"
        )
    if len(shelf) <= most:
        return tuple(shelf)
    screen = screen_shelf(shelf, source, keep=most, device=resolve_device(device))
    place.mkdir(parents=True, exist_ok=True)
    write_record(place / "screen.json", screen)
    say(
        f"{len(shelf)} weights, of which the {most} best by a probe of frozen features race (--screen): fitted to "
        f"{screen.num_train:,} images, by their loss on the {screen.num_select:,} that choose; {flops(screen.flops)}"
    )
    for each in screen.weights:
        say(f"  {each.loss:.3g}  {each.name}  {each.architecture}{'' if each.kept else '  does not race'}")
    kept = {each.name for each in screen.weights if each.kept}
    return tuple(each for each in shelf if each.name in kept)
