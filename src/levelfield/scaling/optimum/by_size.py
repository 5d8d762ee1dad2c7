"""All that the size and length of runs say, of every family: profiles, allocations, laws of size, and the optima."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from levelfield.records.observation import Observation
from levelfield.records.reason import Reason
from levelfield.scaling.noise.uncertainty import Noise
from levelfield.scaling.optimum.isoflop import allocation, isoflop_profiles
from levelfield.scaling.optimum.optimum import optimum
from levelfield.scaling.optimum.size_law import Cloud, clouds_of, size_laws
from levelfield.scaling.results.laws import SizeLaw
from levelfield.scaling.results.optima import Allocation, IsoflopProfile, Optimum
from levelfield.scaling.tables.rows import having

_PROFILES, _CLOUDS, _GAPS = 1, 4, 5
"""The streams of random numbers, of those that ``analyse`` hands out."""


class BySize(NamedTuple):
    """A profile a (family, budget), an allocation a family, laws and an optimum a family whose runs know both."""

    profiles: tuple[IsoflopProfile, ...]
    allocations: tuple[Allocation, ...]
    laws: tuple[SizeLaw, ...]
    optima: tuple[Optimum, ...]


def by_size(
    rows: Sequence[Observation],
    families: Sequence[str],
    noise: Noise,
    *,
    level: float,
    delta: float | None,
    stream: Callable[[int], np.random.Generator],
) -> BySize:
    """What ``rows`` say; ``delta`` is the Huber scale in ln loss, and ``stream`` gives a generator by its number."""
    profiles = isoflop_profiles(
        rows,
        seed_sd=noise.seed_sd,
        degrees_of_freedom=noise.degrees_of_freedom,
        level=level,
        generator=stream(_PROFILES),
    )
    allocations = tuple(allocation(profiles, family, level=level) for family in families)
    laws: list[SizeLaw] = []
    optima = []
    for found in allocations:
        own = [profile for profile in profiles if profile.family == found.family]
        if not own:
            continue
        law, told = _law_of(rows, found.family, level, delta, stream)
        laws.extend(told)
        optima.append(optimum(own, found, law, level=level, generator=stream(_GAPS)))
    return BySize(profiles, allocations, tuple(laws), tuple(optima))


def _law_of(
    rows: Sequence[Observation],
    family: str,
    level: float,
    delta: float | None,
    stream: Callable[[int], np.random.Generator],
) -> tuple[Cloud | Reason, tuple[SizeLaw, ...]]:
    """The believed law of size of ``family``, or why there is none, and all that were fitted."""
    of_family = having(rows, "family", family)
    chance = next(filter(None, of_family.column("chance")), None)
    clouds = clouds_of(of_family, chance=chance, generator=stream(_CLOUDS), delta=delta)
    if isinstance(clouds, Reason):
        return clouds, ()
    told = size_laws(family, clouds, chance=chance, level=level)
    return next(cloud for cloud, each in zip(clouds, told, strict=True) if each.chosen), told
