"""The rungs whose prediction was written down: their recipes are wanted as they were foretold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from levelfield.study.plan.competitor import Competitor
from levelfield.study.plan.wants import Wants
from levelfield.study.planned import Candidate, Lock


def want_locked(wants: Wants, competitors: Mapping[str, Competitor], lock: Lock, seeds: Iterable[int]) -> None:
    """Want every locked recipe on fresh ``seeds``."""
    for locked in lock.recipes:
        if locked.family in competitors:
            candidate = Candidate(
                architecture=locked.architecture, base_lr=locked.base_lr, axes=tuple(sorted(locked.axes.items()))
            )
            wants.judge(competitors[locked.family], candidate, lock.budget_flops, seeds, role="prediction")
