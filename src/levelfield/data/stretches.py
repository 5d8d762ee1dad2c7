"""Which pictures resemble one another because they were taken one after the other: stretches of a film."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from levelfield.data.draws import Int64s

_FRAME = re.compile(r"(.*?)(\d*)(\.[A-Za-z]\w*)?", re.DOTALL)


def stretches(frames: Sequence[str], length: int) -> Int64s:
    """The stretch that each of ``frames`` is of, numbered from 0: at least ``length`` consecutive frames of one film.

    A film is what stands before the number that a name ends in ("Seq05VD_f05040.png": film "Seq05VD_f", frame 5040);
    one shorter than ``length`` is a stretch of its own. Stretches of a film differ by one frame in length at most.
    """
    films: dict[str, list[tuple[int, str, int]]] = {}
    for place, name in enumerate(frames):
        match = _FRAME.fullmatch(name)
        assert match is not None
        films.setdefault(match[1], []).append((int(match[2] or 0), name, place))
    found, number = np.empty(len(frames), dtype=np.int64), 0
    for film in sorted(films):
        places = np.array([place for _, _, place in sorted(films[film])], dtype=np.int64)
        for part in np.array_split(places, max(1, len(places) // length)):
            found[part], number = number, number + 1
    return found
