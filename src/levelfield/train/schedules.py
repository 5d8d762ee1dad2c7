"""Learning-rate schedules: pure functions of the step."""

from __future__ import annotations

import math


def warmup_cosine(step: int, *, num_steps: int, warmup_steps: int) -> float:
    """The fraction of the peak learning rate at ``step`` (0-based): linear warm-up, then a cosine to zero.

    Step 0 takes 1/warmup of the peak, the first step after the warm-up takes all of it, and the cosine would reach
    zero one step after the last, so that every step counts (the released code starts at zero and wastes one). Source:
    2102.06171 App. A (cosine to zero after a linear warm-up, the warm-up counted in the length).
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    progress = (step - warmup_steps) / max(1, num_steps - warmup_steps)
    return 0.5 * (1.0 + math.cos(math.pi * progress))
