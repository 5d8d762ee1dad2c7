"""What episodes hold, before anything is spent on them: how many, how long, within which bounds, and what is broken."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from levelfield.data.ingest.demonstrations import Demonstrations
from levelfield.data.ingest.inspect import MOST_NAMED, Unusable
from levelfield.data.ingest.validity import fault_of
from levelfield.records.codec import record

_CHUNK = 256


@record
class NumbersFacts:
    """The least, the mean and the most of each number of a field, and how many of them never change."""

    least: tuple[float, ...]
    mean: tuple[float, ...]
    most: tuple[float, ...]
    num_still: int


@record
class DemonstrationsInspection:
    """``lengths`` are the frames of the shortest, the median and the longest episode; ``twins`` episodes are there a
    second time, to the bit; ``num_unusable`` pictures cannot be read."""

    num_episodes: int
    num_frames: int
    lengths: tuple[int, int, int]
    state: NumbersFacts
    action: NumbersFacts
    twins: int
    num_unusable: int
    named_unusable: tuple[Unusable, ...]
    remarks: tuple[str, ...]
    fingerprint: str


def inspect_demonstrations(
    held: Demonstrations, *, workers: int, told: Callable[[int], None] = lambda done: None
) -> DemonstrationsInspection:
    """Look at every frame of every episode.

    Raises:
        DataError: a file is damaged, which is no fault of one picture.
    """
    lengths, rows = held.lengths, held.rows.tolist()
    unusable: list[Unusable] = []
    with ThreadPoolExecutor(workers) as pool:
        for start in range(0, len(rows), _CHUNK):
            here = rows[start : start + _CHUNK]
            for row, fault in zip(here, pool.map(lambda row: fault_of(held.pictures.read(row)), here), strict=True):
                if fault is not None:
                    unusable.append(Unusable(name=held.pictures.name(row), why=fault.why, said=fault.said))
            told(start + len(here))
    return DemonstrationsInspection(
        num_episodes=held.num_episodes,
        num_frames=len(rows),
        lengths=(int(lengths.min()), int(np.median(lengths)), int(lengths.max())),
        state=_facts(held.states),
        action=_facts(held.actions),
        twins=held.twins,
        num_unusable=len(unusable),
        named_unusable=tuple(unusable[:MOST_NAMED]),
        remarks=held.remarks,
        fingerprint=held.fingerprint,
    )


def _facts(numbers: NDArray[np.float32]) -> NumbersFacts:
    least, most = numbers.min(0), numbers.max(0)
    return NumbersFacts(
        least=tuple(least.astype(float).tolist()),
        mean=tuple(numbers.mean(0, dtype=np.float64).tolist()),
        most=tuple(most.astype(float).tolist()),
        num_still=int((least == most).sum()),
    )
