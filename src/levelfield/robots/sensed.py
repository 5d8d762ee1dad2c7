"""What a scene tells of itself, beside pictures."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Sensed(NamedTuple):
    """``arm`` float [5], where the gripper is and how far its fingers are open; ``object`` and ``goal`` [3] in metres,
    the object's None where there is none."""

    arm: NDArray[np.float64]
    object: NDArray[np.float64] | None
    goal: NDArray[np.float64]
