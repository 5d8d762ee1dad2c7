"""The rungs whose prediction was written down: their recipes are wanted as they were foretold."""

from __future__ import annotations

from levelfield.study.plan.wants import Wants
from levelfield.study.planned import Candidate, Lock


def want_locked(wants: Wants, lock: Lock) -> None:
    """Want every locked recipe on fresh seeds."""
    entries = {entry.name: entry for entry in wants.spec.families}
    for locked in lock.recipes:
        if locked.family in entries:
            candidate = Candidate(
                architecture=locked.architecture, base_lr=locked.base_lr, axes=tuple(sorted(locked.axes.items()))
            )
            entry = entries[locked.family]
            wants.judge(entry, candidate, lock.budget_flops, wants.fresh_seeds, role="prediction")
