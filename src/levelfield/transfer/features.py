"""Frozen features: computed once for each backbone, data set and execution, exact, kept by what they are."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from levelfield.data.loader import evaluation_batches
from levelfield.data.order import Order
from levelfield.data.sources import Source
from levelfield.data.transforms import to_float
from levelfield.families.judged import weights_held
from levelfield.families.registry import parse
from levelfield.records.data import Split, data_identity
from levelfield.records.errors import SpecError, WeightsError
from levelfield.records.fingerprint import digest, fingerprint
from levelfield.records.probe import ProbeSpec
from levelfield.records.sealed import read_file
from levelfield.records.store import MOST_COMPANION_BYTES
from levelfield.records.writing import make_directory, write_atomically
from levelfield.train.device import device_name
from levelfield.train.evaluate import EVALUATION_BATCH
from levelfield.transfer.backbone import PretrainedBackbone
from levelfield.transfer.surgery import assembled

logger = logging.getLogger(__name__)

FEATURES_VERSION = 2
"""Part of every key: a change that moves a single feature must change it."""
_SEAL_BYTES = 16


@dataclass(frozen=True, kw_only=True, eq=False)
class Features:
    """The whole examples of a split in its order: ``x`` float32 [num_examples, num_features], ``y`` int64."""

    x: NDArray[np.float32]
    y: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.y)

    def subset(self, num_examples: int, key: str) -> Features:
        """``num_examples`` of them in an order that depends on ``key`` alone; small subsets lie inside large ones."""
        if num_examples >= len(self):
            return self
        order = Order(num_examples=num_examples, seed=0, fingerprint=key, subset_of=len(self))
        _, rows = order.ids(np.arange(num_examples))
        rows = np.sort(rows)
        return Features(x=self.x[rows], y=self.y[rows])


def features_of(
    spec: ProbeSpec, backbone: PretrainedBackbone, source: Source, split: Split, *, folder: Path, device: torch.device
) -> Features:
    """The features of every example of ``split``, from ``folder`` where they are kept there already.

    Raises:
        SpecError: ``backbone`` is not what the probe starts from, or cannot take such images.
        DataError: an image is corrupt and not masked.
        WeightsError: a feature is no finite number.
        StoreError: the folder cannot be written.
    """
    if spec.start != backbone.identity:
        raise SpecError(f"probe {spec.name} starts from {spec.start}, but was given {backbone.identity}")
    content = [FEATURES_VERSION, backbone.digest, data_identity(spec.data), source.fingerprint, split, spec.dtype]
    rounded_by = [device_name(device), str(torch.__version__), torch.get_num_threads()]
    key = fingerprint("features", content + rounded_by)
    path = folder / f"{key}.features"
    if (kept := _read(path, key)) is not None:
        return kept
    family = parse(backbone.facts.architecture)
    shape = {"resolution": source.resolution, "in_channels": source.in_channels}
    model = assembled(family, backbone.state, head=backbone.facts.head, **shape)
    found = _extract(model.to(device), source, split, device=device, bfloat16=spec.dtype == "bfloat16")
    buffer = io.BytesIO()
    np.savez(buffer, x=found.x, y=found.y)
    make_directory(folder)
    payload = buffer.getvalue()
    write_atomically(path, _seal(key, payload) + payload)
    return found


def features_at(
    model: nn.Module, source: Source, split: Split, rows: NDArray[np.int64], *, device: torch.device
) -> Features:
    """The features, by ``model`` in evaluation mode, of those examples at ``rows`` of ``split`` that are whole.

    Raises:
        WeightsError: a feature is no finite number.
    """
    starts = range(0, len(rows), EVALUATION_BATCH)
    batches = (source.batch(split, rows[start : start + EVALUATION_BATCH]) for start in starts)
    parts = ((torch.as_tensor(b.fields["image"]), torch.as_tensor(b.fields["label"]), b.valid) for b in batches)
    return _features(model, parts, device=device, bfloat16=False)


def _extract(model: nn.Module, source: Source, split: Split, *, device: torch.device, bfloat16: bool) -> Features:
    """Features in batches of one size, so that the batch never changes their last bits."""
    batches = evaluation_batches(source, split, EVALUATION_BATCH)
    parts = ((batch.fields["image"], batch.fields["label"], batch.valid) for batch in batches)
    return _features(model, parts, device=device, bfloat16=bfloat16)


@torch.inference_mode()
def _features(
    model: nn.Module, parts: Iterable[tuple[Tensor, Tensor, Any]], *, device: torch.device, bfloat16: bool
) -> Features:
    """Of the whole ones among images and labels that come in ``parts``."""
    x, y = [], []
    with weights_held(model, half=bfloat16):
        for images, labels, valid in parts:
            with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
                features = model.features(to_float(images.to(device)))  # pyright: ignore[reportCallIssue]
            x.append(features.float().cpu()[valid])
            y.append(labels[valid])
    found = Features(x=torch.cat(x).numpy(), y=torch.cat(y).numpy())
    wrong = int((~np.isfinite(found.x)).any(axis=1).sum())
    if wrong:
        raise WeightsError(
            f"the features of {wrong} of {len(found.x)} images are not finite: the weights overflow; take a checkpoint "
            "from before they diverged"
        )
    return found


def _read(path: Path, key: str) -> Features | None:
    """What was kept under ``key``; nothing where the file is damaged, or was kept under another."""
    content = read_file(path, limit=MOST_COMPANION_BYTES, remedy="move it away and run again")
    if content is None:
        return None
    seal, payload = content[:_SEAL_BYTES], content[_SEAL_BYTES:]
    if seal != _seal(key, payload):
        logger.warning("%s is damaged, or was kept for something else; computing its features again", path)
        return None
    with np.load(io.BytesIO(payload), allow_pickle=False) as kept:
        return Features(x=kept["x"], y=kept["y"])


def _seal(key: str, payload: bytes) -> bytes:
    """What stands before a NumPy archive and binds it to the key that it was computed for."""
    return bytes.fromhex(digest(key.encode() + payload))
