"""The weights that a trial keeps in ``weights.safetensors``: those it was judged by, averaged where its spec says so.

A header says what network they are; the rest of what is known of them stands in the trial's own records.
"""

from __future__ import annotations

import json
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from levelfield.records.codec import from_plain, later, record, to_json
from levelfield.records.errors import StoreError
from levelfield.records.store import TrialDirectory, write_atomically
from levelfield.weights.card import HEADER


@record
class NetworkFacts:
    """What must be known to build the network that some weights belong to, and what its outputs are called.

    ``classes`` is None in files of before they were kept.
    """

    architecture: str
    resolution: int
    num_classes: int
    in_channels: int
    classes: tuple[str, ...] | None = later(default=None)


def keep_weights(directory: TrialDirectory, model: nn.Module, facts: NetworkFacts) -> None:
    """Write the parameters of ``model`` beside the result of its trial; equal weights give equal bytes.

    Raises:
        StoreError: the directory cannot be written.
    """
    tensors = {name: parameter.detach().cpu().contiguous() for name, parameter in model.named_parameters()}
    write_atomically(directory.weights_path, save(tensors, metadata={HEADER: to_json(facts, indent=None)}))


def read_weights(path: Path) -> tuple[NetworkFacts, dict[str, Tensor]]:
    """What :func:`keep_weights` wrote.

    Raises:
        StoreError: the file is damaged, or was not written by it.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = (file.metadata() or {}).get(HEADER)
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise StoreError(f"{path} cannot be read as safetensors ({error}); remove it and run again") from None
    if header is None:
        raise StoreError(f"{path} does not say what network it holds: Levelfield did not write it")
    return from_plain(NetworkFacts, json.loads(header), where=str(path)), state
