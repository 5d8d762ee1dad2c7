"""Weights that race: opened once, to see which network each is and which images it was trained on."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from levelfield.records.errors import SpecError
from levelfield.records.stated import is_name
from levelfield.study.race.design import Shelved


def shelf_of(told: Sequence[str]) -> tuple[tuple[Shelved, ...], int | None]:
    """What lies at the places ``told``, and the largest side, in px, of images that it was trained on.

    Each is a finished trial or a file of weights, or "ARCHITECTURE=FILE" where nothing beside it says what it is.

    Raises:
        InputError: one cannot be read, or nothing says what it is.
    """
    import torch

    from levelfield.study.execute.backbones import backbone_at

    shelf, sides = [], []
    for text in told:
        arch, apart, file = (None, "", text) if Path(text).exists() else _split(text)
        place = Path(file if apart else text)
        found = backbone_at(place, device=torch.device("cpu"), arch=arch)
        kept = {"architecture": found.facts.architecture, "place": str(place.absolute()), "identity": found.identity}
        shelf.append(Shelved(name=_name(place), **kept))
        sides.append(found.facts.resolution)
    return _told_apart(shelf), max(sides, default=None)


def _split(text: str) -> tuple[str | None, str, str]:
    arch, apart, file = text.rpartition("=")
    return arch or None, apart, file


def _name(place: Path) -> str:
    """The file without its ending, or the folder of a trial."""
    stem = place.name.partition(".")[0] if place.is_file() else place.name
    if not is_name(stem):
        raise SpecError(f"{place}: weights are called by their file in a race; rename it to letters, digits, - and _")
    return stem


def _told_apart(shelf: Sequence[Shelved]) -> tuple[Shelved, ...]:
    """Those of one name with a number."""
    counts, seen = Counter(each.name for each in shelf), Counter[str]()
    found = []
    for each in shelf:
        seen[each.name] += 1
        name = each.name if counts[each.name] == 1 else f"{each.name}-{seen[each.name]}"
        found.append(dataclasses.replace(each, name=name))
    return tuple(found)
