"""Labels that are wrong at a known rate, which plants a known floor under the loss."""

from __future__ import annotations

import numpy as np

from levelfield.data.draws import Int64s, UInt64s, below, unit_interval


def noisy_labels(labels: Int64s, label_noise: float, bits: UInt64s, num_classes: int) -> Int64s:
    """``labels``, each replaced by one of the others with probability ``label_noise``; bits ``[B, 2]``."""
    replaced = unit_interval(bits[:, 0]) < label_noise
    others = (labels + 1 + below(bits[:, 1], num_classes - 1)) % num_classes
    return np.where(replaced, others, labels)
