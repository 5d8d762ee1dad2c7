"""How a trial, a probe, or an attempt at one stands."""

from __future__ import annotations

from typing import Literal

from levelfield.records.codec import record


@record
class TrialState:
    """Where the trial of that fingerprint stands; only an attempt says that it is running.

    ``attempts`` counts starts, ``lost_steps`` the steps that crashes made it train again.
    """

    fingerprint: str
    state: Literal["running", "finished", "diverged", "failed"]
    attempts: int = 1
    lost_steps: int = 0
    reason: str = ""
