"""Verdicts and controls alone: what :func:`analyse` says of them, without the time that laws take."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from levelfield.records.observation import Observation
from levelfield.scaling.noise.uncertainty import HeldOutLosses
from levelfield.scaling.results.analysis import Analysis
from levelfield.scaling.results.verdicts import Comparison, Control
from levelfield.scaling.tables.rungs import checked
from levelfield.scaling.verdicts.contest import contest_of
from tests.scaling.planted import winner_rows


def contested(
    rows: Iterable[Observation],
    held_out_losses: HeldOutLosses | None = None,
    *,
    margin: float = 0.05,
    order: Sequence[str] | None = None,
) -> tuple[tuple[Comparison, ...], tuple[Control, ...]]:
    """The comparisons and controls of ``rows``, from the random numbers that :func:`analyse` gives them."""
    known = checked(rows)
    contest = contest_of(
        known,
        held_out_losses=held_out_losses,
        margin=margin,
        level=0.9,
        compared=order or sorted({row.family for row in known}),
        generator=np.random.default_rng([0, 3]),
    )
    return contest.held(generator=np.random.default_rng([0, 2]))


def flops(found: Iterable[Observation] | Analysis, held_out_losses: HeldOutLosses | None = None, **asked) -> Comparison:
    """The comparison at equal FLOPs, of an analysis that is there or of rows."""
    return _by("flops", found, held_out_losses, **asked)


def seconds(found: Iterable[Observation] | Analysis) -> Comparison:
    """As :func:`flops`, at equal device-seconds."""
    return _by("device_seconds", found, None)


def _by(currency: str, found: Iterable[Observation] | Analysis, held: HeldOutLosses | None, **asked) -> Comparison:
    comparisons = found.comparisons if isinstance(found, Analysis) else contested(found, held, **asked)[0]
    return next(each for each in comparisons if each.currency == currency)


def planted_rows(*, place: int = 0, **planted) -> list[Observation]:
    """Winners as planted by one seed, in several places."""
    return winner_rows(np.random.default_rng([5, place]), **planted)
