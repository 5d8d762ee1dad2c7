"""A trained network as a place to start from: its weights, and what is known of them.

A trial that keeps its weights leaves them in ``weights.safetensors``: the weights it was judged by, averaged where its
spec says so, with a header that says what network they are. Reading them executes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from levelfield.records.codec import from_plain, record, to_json
from levelfield.records.errors import InputError, StoreError
from levelfield.records.store import TrialDirectory, read_record, write_atomically
from levelfield.records.trial import TrialSpec

_HEADER = "levelfield"  # one key: a map of several would be written in any order, and equal weights in unequal bytes


@record
class NetworkFacts:
    """What must be known to build the network that some weights belong to."""

    architecture: str
    resolution: int
    num_classes: int
    in_channels: int


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


def keep_weights(directory: TrialDirectory, model: nn.Module, facts: NetworkFacts) -> None:
    """Write the parameters of ``model`` beside the result of its trial; equal weights give equal bytes.

    Raises:
        StoreError: the directory cannot be written.
    """
    tensors = {name: parameter.detach().cpu().contiguous() for name, parameter in model.named_parameters()}
    header = {_HEADER: to_json(facts, indent=None)}
    write_atomically(directory.weights_path, save(tensors, metadata=header))


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
    facts, state = read_weights(directory.weights_path)
    before = 0.0 if spec.start is None else result.start_flops
    return Backbone(
        identity=f"trial:{spec.fingerprint}",
        facts=facts,
        state=state,
        train_flops=None if before is None else result.train_flops + before,
    )


def read_weights(path: Path) -> tuple[NetworkFacts, dict[str, Tensor]]:
    """What :func:`keep_weights` wrote.

    Raises:
        StoreError: the file is damaged, or was not written by it.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = (file.metadata() or {}).get(_HEADER)
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise StoreError(f"{path} cannot be read as safetensors ({error}); remove it and run again") from None
    if header is None:
        raise StoreError(f"{path} does not say what network it holds: Levelfield did not write it")
    return from_plain(NetworkFacts, json.loads(header), where=str(path)), state


def open_backbone(path: Path) -> Backbone:
    """The backbone at ``path``: the directory of a finished trial.

    Raises:
        InputError: there is none.
    """
    if not path.is_dir():
        raise InputError(f"{path} is no directory of a trial, such as runs/STUDY/trials/NAME")
    return backbone_of_trial(path)
