"""A finished trial as a loaded model: its kept weights, and what its records say of them."""

from __future__ import annotations

from pathlib import Path

from levelfield.weights.card import Card
from levelfield.weights.kept import weights_of_trial
from levelfield.weights.loaded import LoadedModel, assemble
from levelfield.weights.preprocessing import Preprocessing


def load_trial(path: Path) -> LoadedModel:
    """The network that the trial in directory ``path`` has left, for images as it was judged on.

    Raises:
        WeightsError: the trial is not finished, or kept no weights.
        DamagedError: its files are damaged.
    """
    kept = weights_of_trial(path)
    spec, facts = kept.spec, kept.facts
    card = Card.of(
        facts.architecture,
        resolution=facts.resolution,
        num_outputs=facts.num_outputs,
        in_channels=facts.in_channels,
        preprocessing=Preprocessing.of_training(resolution=facts.resolution, in_channels=facts.in_channels),
        classes=facts.classes,
        pixel_head=facts.pixel_head,
        text_head=facts.text_head,
        source=f"trial {spec.name}, {spec.weights} weights",
        train_flops=kept.train_flops,
    )
    return assemble(card, kept.state, where=str(path))
