"""What every launcher offers the study."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from levelfield.records.errors import InputError, LevelfieldError, StoreError, TrialError
from levelfield.study.planned import PlannedTransfer, PlannedTrial

Planned: TypeAlias = PlannedTrial | PlannedTransfer
"""A trial, or a probe of frozen features: both have a spec with a name, a fingerprint and a number of steps."""


@dataclass(frozen=True, kw_only=True)
class LaunchEvent:
    """Something that happened to a trial, for the study and for whoever shows it.

    ``step`` and ``num_steps`` tell progress; ``reason`` says why a trial failed or a worker died, ``blame`` whose fault
    that is: the trial's own, the input's (a corrupt image: no retry can mend it), the store's (a full disk: every other
    trial would fail alike), or the worker's (none can start here).
    """

    kind: Literal["started", "progress", "finished", "failed", "restarted"]
    trial: Planned
    step: int = 0
    num_steps: int = 0
    reason: str = ""
    blame: Literal["trial", "input", "store", "worker"] = "trial"


_BLAMED: dict[str, type[LevelfieldError]] = {
    "trial": TrialError,
    "input": InputError,
    "store": StoreError,
    "worker": TrialError,
}


def failure(event: LaunchEvent) -> LevelfieldError:
    """What to raise where a "failed" ``event`` ends the work: the error of whoever is to blame, in its own words."""
    what = "no worker can start here" if event.blame == "worker" else f"trial {event.trial.spec.name}"
    return _BLAMED[event.blame](f"{what}: {event.reason}")


class Launcher(Protocol):
    """Runs trials somewhere, some at a time."""

    def submit(self, trial: Planned) -> None:
        """Queue a trial."""
        ...

    def next_event(self, timeout_s: float | None = None) -> LaunchEvent | None:
        """Wait for the next thing that happens; None where nothing has happened for ``timeout_s``."""
        ...

    def close(self) -> None:
        """Stop everything, saved where it is; unfinished trials resume from their checkpoints another time."""
        ...
