"""Scripts that solve the scenes: what a policy is to learn.

Both reached their goal in all of 200 episodes without noise and with 0.1 of it on every action; with 0.2 the second did
in 107 (November 2026, gymnasium-robotics 1.4.2, MuJoCo 3.3.7).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from levelfield.robots.sensed import Sensed

Scripted: TypeAlias = Callable[[Sensed], NDArray[np.float32]]
"""The next action [4] in -1..1 at what is sensed: metres a step are a twentieth of it; the last opens fingers."""

GAIN = 10.0
"""Of a distance in metres: an action of 1 moves by five centimetres at the most, and a tenth of a metre asks for it."""
ABOVE, NEAR, GRASPED = 0.08, 0.012, 0.05
"""Metres: over a block before it is grasped, from it when fingers may close, and between fingers that hold one."""
_OPEN, _CLOSED, _STILL = 1.0, -1.0, 0.0


def reach() -> Scripted:
    """Straight to the goal."""
    return lambda sensed: _towards(sensed.goal - sensed.arm[:3], _STILL)


def pick_and_place() -> Scripted:
    """Over the block with open fingers, down to it, close, and straight to the goal; over it again where it slips."""
    return _pick_and_place


def _pick_and_place(sensed: Sensed) -> NDArray[np.float32]:
    """A function of what is sensed alone, so that a policy without memory can do the same."""
    assert sensed.object is not None, "there is a block to be picked"
    to_block = sensed.object - sensed.arm[:3]
    beside, width = float(np.linalg.norm(to_block[:2])), float(sensed.arm[3:5].sum())
    at_block = bool(np.linalg.norm(to_block) < 2 * NEAR)
    if at_block and width < GRASPED + 0.005:
        return _towards(sensed.goal - sensed.object, _CLOSED)
    if at_block and float(np.linalg.norm(to_block)) < NEAR:
        return _towards(np.zeros(3), _CLOSED)
    if beside < NEAR:
        return _towards(to_block, _OPEN)
    return _towards(to_block + np.array([0.0, 0.0, ABOVE]), _OPEN)


def _towards(way: NDArray[np.float64], fingers: float) -> NDArray[np.float32]:
    return np.append(np.clip(GAIN * way, -1, 1), fingers).astype(np.float32)
