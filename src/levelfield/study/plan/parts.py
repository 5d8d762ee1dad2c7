"""A plan in parts: one is made anew only when a result comes in that it waited for.

Results are added and never change, so a part that waits for nothing new is what it was. Nothing here is looked up again
for every trial of a study: what a result costs is the part that waited for it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Set
from typing import Any, NamedTuple, Protocol, TypeVar

from levelfield.records.trial import TrialResult
from levelfield.study.planned import PlannedTransfer, PlannedTrial


class Wanting(Protocol):
    """A part of a plan."""

    @property
    def wanted(self) -> Mapping[str, PlannedTrial] | Mapping[str, PlannedTransfer]:
        """What it wants, by fingerprint."""
        ...


W = TypeVar("W", bound=Wanting)


class Lookup:
    """Results by trial fingerprint; those that were looked up in vain are ``awaited``."""

    def __init__(self, results: Mapping[str, TrialResult]) -> None:
        self._results = results
        self.awaited: set[str] = set()

    def get(self, fingerprint: str) -> TrialResult | None:
        found = self._results.get(fingerprint)
        if found is None:
            self.awaited.add(fingerprint)
        return found


class _Part(NamedTuple):
    inputs: tuple[Any, ...]
    made: Any


class PlanParts:
    """The parts of a plan as far as its results go.

    ``results`` are by fingerprint, ``done`` are finished probes. ``waiting`` is what is wanted and not done, ``new``
    what has come to wait since somebody emptied it.
    """

    def __init__(self, results: Mapping[str, TrialResult], done: Set[str]) -> None:
        self.results = dict(results)
        self._done = set(done)
        self._parts: dict[Hashable, _Part] = {}
        self._waiting_for: dict[str, set[Hashable]] = {}
        self._stale: set[Hashable] = set()
        self._known: set[str] = set()
        self.waiting: dict[str, PlannedTrial | PlannedTransfer] = {}
        self.new: list[PlannedTrial | PlannedTransfer] = []

    @property
    def num_wanted(self) -> int:
        return len(self._known)

    def learn(self, fingerprint: str, result: TrialResult | None) -> None:
        """Take in the result of a trial, or that a probe is done (None)."""
        if result is None:
            self._done.add(fingerprint)
        else:
            self.results[fingerprint] = result
        self.waiting.pop(fingerprint, None)
        self._stale |= self._waiting_for.pop(fingerprint, set())

    def part(self, key: Hashable, inputs: tuple[Any, ...], make: Callable[[Lookup], W]) -> W:
        """What ``make`` gives, or gave from equal ``inputs`` and the same results."""
        part = self._parts.get(key)
        if part is None or key in self._stale or part.inputs != inputs:
            lookup = Lookup(self.results)
            part = self._parts[key] = _Part(inputs, make(lookup))
            self._stale.discard(key)
            for fingerprint in lookup.awaited:
                self._waiting_for.setdefault(fingerprint, set()).add(key)
            self._want(part.made.wanted)
        return part.made

    def _want(self, wanted: Mapping[str, PlannedTrial | PlannedTransfer]) -> None:
        """What a part has once wanted it wants for good: a decision waits for all that it depends on."""
        for fingerprint, planned in wanted.items():
            if fingerprint not in self._known:
                self._known.add(fingerprint)
                if fingerprint not in self.results and fingerprint not in self._done:
                    self.waiting[fingerprint] = planned
                    self.new.append(planned)
