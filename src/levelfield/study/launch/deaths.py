"""How often those who worked at a trial have died, and when it is given up."""

from __future__ import annotations

from typing import Literal, TypeAlias

MAX_DEATHS = 3
"""A trial whose workers die so often without a checkpoint in between is given up: it takes the machine down, and a
retry would only repeat that. With one in between they may die as often as machines do."""

Blamed: TypeAlias = Literal["trial", "worker"]


class Deaths:
    """Counts them by fingerprint."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, int]] = {}
        self._at_work: set[str] = set()

    def give_up(self, key: str, *, reached: int, started: bool) -> Blamed | None:
        """Whom to blame where the trial is given up after one more death, with its last checkpoint at step ``reached``;
        None where it is tried again. The trial is to blame where one of its workers had ``started`` on it."""
        deaths, reached_before = self._seen.get(key, (0, reached))
        deaths = deaths + 1 if reached == reached_before else 1
        self._seen[key] = deaths, reached
        if started:
            self._at_work.add(key)
        if deaths < MAX_DEATHS:
            return None
        return "trial" if key in self._at_work else "worker"
