"""A trained network as a place to start from: its weights, and what is known of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from levelfield.records.errors import InputError
from levelfield.records.store import TrialDirectory, read_record
from levelfield.records.trial import TrialSpec
from levelfield.weights.kept import NetworkFacts, read_weights
from levelfield.weights.read import load_model
from levelfield.weights.refed import fed_as_trained


@dataclass(frozen=True, kw_only=True, eq=False)
class Backbone:
    """Weights to start from. ``identity`` names what made them, as :class:`TrialSpec` wants it for its ``start``.

    ``state`` holds every parameter by the family's own names, the old classifier's too. ``train_flops`` is what
    training them had cost; None where nobody knows.
    """

    identity: str
    facts: NetworkFacts
    state: Mapping[str, Tensor]
    train_flops: float | None = None


def backbone_of_trial(path: Path) -> Backbone:
    """The backbone that the trial in directory ``path`` has left.

    Raises:
        InputError: there is no such trial, it has not finished, or it kept no weights.
        StoreError: its files are damaged.
    """
    directory = TrialDirectory(path)
    if not (path / "spec.json").exists():
        raise InputError(f"{path} is no trial: expected the directory of one, with its spec.json and result.json")
    spec, result = read_record(TrialSpec, path / "spec.json"), directory.result()
    if result is None or result.status != "finished":
        state = "is not finished" if result is None else "diverged"
        raise InputError(f"trial {path.name} {state}: its weights are no place to start from")
    if not directory.weights_path.exists():
        raise InputError(
            f"trial {path.name} kept no weights; `levelfield finetune` and `levelfield probe` train it again for them"
        )
    kept, state = read_weights(directory.weights_path, result)
    before = 0.0 if spec.start is None else result.start_flops
    return Backbone(
        identity=f"trial:{spec.fingerprint}",
        facts=kept.network,
        state=state,
        train_flops=None if before is None else result.train_flops + before,
    )


def open_backbone(path: Path, *, arch: str | None = None, key: str | None = None) -> Backbone:
    """The backbone at ``path``: the directory of a finished trial, or weights of which :func:`load_model` can tell
    what they are, changed to take images as Levelfield feeds them.

    Raises:
        InputError: there is none, its weights cannot be read, or they cannot take images so.
    """
    if (path / "spec.json").exists():
        return backbone_of_trial(path)
    loaded = fed_as_trained(load_model(path, arch=arch, key=key))
    facts = NetworkFacts(
        architecture=loaded.card.architecture,
        resolution=loaded.card.resolution,
        num_classes=loaded.card.num_classes,
        in_channels=loaded.card.in_channels,
    )
    state = {name: parameter.detach() for name, parameter in loaded.model.named_parameters()}
    return Backbone(
        identity=f"weights:{loaded.digest()}", facts=facts, state=state, train_flops=loaded.card.train_flops
    )
