"""Learning a head on a backbone that stays as it is."""

from __future__ import annotations

from typing import Any


def freeze(network: Any) -> None:
    """Let nothing of ``network`` learn but its head: the backbone keeps its weights and runs as it is judged.

    Dropout and dropped branches are off there, and its BatchNorm layers normalise by the statistics that they have.
    """
    network.eval()
    network.requires_grad_(False)
    network.head.train()
    network.head.requires_grad_(True)
