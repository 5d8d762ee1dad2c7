"""A finished trial as a loaded model: its kept weights, and what its records say of them."""

from __future__ import annotations

from pathlib import Path

from levelfield.records.errors import WeightsError
from levelfield.records.store import TrialDirectory, read_record
from levelfield.records.trial import TrialSpec
from levelfield.weights.card import Card
from levelfield.weights.kept import read_weights
from levelfield.weights.loaded import LoadedModel, assemble
from levelfield.weights.preprocessing import Preprocessing


def load_trial(path: Path) -> LoadedModel:
    """The network that the trial in directory ``path`` has left, for images as it was judged on.

    Raises:
        WeightsError: the trial is not finished, or kept no weights.
        StoreError: its files are damaged.
    """
    directory = TrialDirectory(path)
    spec, result = read_record(TrialSpec, path / "spec.json"), directory.result()
    if result is None or result.status != "finished":
        state = "is not finished" if result is None else "diverged"
        raise WeightsError(f"trial {path.name} {state}: it has no weights to read")
    if not directory.weights_path.exists():
        raise WeightsError(
            f"trial {path.name} kept no weights; `levelfield finetune` and `levelfield probe` train it again for them"
        )
    kept, state = read_weights(directory.weights_path, result)
    facts = kept.network
    before = 0.0 if spec.start is None else result.start_flops
    card = Card.of(
        facts.architecture,
        resolution=facts.resolution,
        num_classes=facts.num_classes,
        in_channels=facts.in_channels,
        preprocessing=Preprocessing.of_training(resolution=facts.resolution, in_channels=facts.in_channels),
        classes=facts.classes,
        source=f"trial {spec.name}, {spec.weights} weights",
        train_flops=None if before is None else result.train_flops + before,
    )
    return assemble(card, state, where=str(directory.weights_path))
