"""The weights that a trial keeps in ``weights.safetensors``: those it was judged by, averaged where its spec says so.

A header says what network they are, and of which trial and data; the trial's result holds the digest of the numbers.
Both are compared whenever they are read, so that a file of another trial is never taken for this one's.
"""

from __future__ import annotations

import json
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from levelfield.records.codec import from_plain, later, record, to_json
from levelfield.records.difference import changed_data
from levelfield.records.errors import StoreError
from levelfield.records.store import TrialDirectory, write_atomically
from levelfield.records.trial import TrialResult
from levelfield.weights.card import HEADER
from levelfield.weights.loaded import weights_digest


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


@record
class KeptFacts:
    """What the header of kept weights says: the network, and the fingerprints of the trial and data that made it."""

    network: NetworkFacts
    trial: str
    data: str


def keep_weights(directory: TrialDirectory, model: nn.Module, facts: KeptFacts) -> None:
    """Write the parameters of ``model`` beside the result of its trial; equal weights give equal bytes.

    Raises:
        StoreError: the directory cannot be written.
    """
    tensors = {name: parameter.detach().cpu().contiguous() for name, parameter in model.named_parameters()}
    write_atomically(directory.weights_path, save(tensors, metadata={HEADER: to_json(facts, indent=None)}))


def read_weights(path: Path, result: TrialResult) -> tuple[KeptFacts, dict[str, Tensor]]:
    """What :func:`keep_weights` wrote for the trial of ``result``.

    Raises:
        StoreError: the file is damaged, was not written by it, or holds other weights than ``result`` was judged by.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = (file.metadata() or {}).get(HEADER)
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise StoreError(f"{path} cannot be read as safetensors ({error}); remove it and run again") from None
    if header is None:
        raise StoreError(f"{path} does not say what network it holds: Levelfield did not write it")
    facts = from_plain(KeptFacts, json.loads(header), where=str(path))
    if facts.trial != result.fingerprint:
        raise _of_another(path, f"they are of trial {facts.trial}, not of {result.fingerprint}")
    if facts.data != result.data_fingerprint:
        raise _of_another(path, changed_data(facts.data, result.data_fingerprint))
    if weights_digest(facts.network.architecture, state) != result.weights_digest:
        raise _of_another(path, "their numbers are not those that the trial was judged by")
    return facts, state


def _of_another(path: Path, why: str) -> StoreError:
    return StoreError(f"{path} holds other weights than this trial's: {why}; remove it, and they are trained again")
