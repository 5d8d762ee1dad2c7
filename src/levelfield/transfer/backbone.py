"""A trained network as a place to start from: its weights, and what is known of them."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from levelfield.families.tensors import tensors_of
from levelfield.weights.kept import NetworkFacts, is_trial, refuse_other_architecture, weights_of_trial
from levelfield.weights.loaded import weights_digest
from levelfield.weights.read import load_model
from levelfield.weights.refed import fed_as_trained


@dataclass(frozen=True, kw_only=True, eq=False)
class PretrainedBackbone:
    """Weights to start from. ``identity`` names what made them, as a trial's spec wants it for its ``start``.

    ``state`` holds every tensor by the family's own names, the old classifier's too. ``train_flops`` is what
    training them had cost; None where nobody knows.
    """

    identity: str
    facts: NetworkFacts
    state: Mapping[str, Tensor]
    train_flops: float | None = None

    @functools.cached_property
    def digest(self) -> str:
        """The name of the weights themselves: a trial that was trained again may have others."""
        return weights_digest(self.facts.architecture, self.state)


def backbone_of_trial(path: Path) -> PretrainedBackbone:
    """The backbone that the trial in directory ``path`` has left.

    Raises:
        WeightsError: there is no such trial, it has not finished, or it kept no weights.
        DamagedError: its files are damaged.
    """
    kept = weights_of_trial(path)
    return PretrainedBackbone(
        identity=f"trial:{kept.spec.fingerprint}", facts=kept.facts, state=kept.state, train_flops=kept.train_flops
    )


def open_backbone(path: Path, *, arch: str | None = None, key: str | None = None) -> PretrainedBackbone:
    """The backbone at ``path``: the directory of a finished trial, or weights of which :func:`load_model` can tell
    what they are, changed to take images as Levelfield feeds them.

    Raises:
        InputError: there is none, its weights cannot be read, or they cannot take images so.
    """
    if is_trial(path):
        refuse_other_architecture(path, arch)
        return backbone_of_trial(path)
    loaded = fed_as_trained(load_model(path, arch=arch, key=key))
    facts = NetworkFacts(
        architecture=loaded.card.architecture,
        resolution=loaded.card.resolution,
        num_outputs=loaded.card.num_outputs,
        pixel_head=loaded.card.pixel_head,
        text_head=loaded.card.text_head,
        in_channels=loaded.card.in_channels,
    )
    state = {name: tensor.detach() for name, tensor in tensors_of(loaded.model).items()}
    return PretrainedBackbone(
        identity=f"weights:{loaded.digest()}", facts=facts, state=state, train_flops=loaded.card.train_flops
    )
