"""Networks as programs for others' runtimes: ONNX and torch.export, with weight standardisation folded away."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from levelfield.families.registry import conversion
from levelfield.records.codec import to_json
from levelfield.records.errors import WeightsError
from levelfield.records.writing import write_atomically
from levelfield.weights.card import HEADER
from levelfield.weights.loaded import LoadedModel

IMAGES, LOGITS = "images", "logits"
_TRACED_BATCH = 4


def folded(loaded: LoadedModel) -> nn.Module:
    """An evaluation-only network that computes the same from plain weights; the original is left alone."""
    return conversion(loaded.spec).folded(loaded.model)


def save_torch_export(loaded: LoadedModel, path: Path) -> None:
    """Write a program that ``torch.export.load`` reads: images of the loaded resolution, any number at a time.

    The card lies in it as the extra file "levelfield.json".

    Raises:
        StoreError: the file cannot be written.
    """
    buffer = io.BytesIO()
    with _quiet():
        torch.export.save(_program(loaded), buffer, extra_files={f"{HEADER}.json": to_json(loaded.card)})
    write_atomically(path, buffer.getvalue())


def save_onnx(loaded: LoadedModel, path: Path) -> None:
    """Write an ONNX graph from "images" to "logits", any number of images at a time; the card is in its metadata.

    Raises:
        WeightsError: the exporter is not installed.
        StoreError: the file cannot be written.
    """
    try:
        import onnxscript  # noqa: F401  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise WeightsError("ONNX needs onnx and onnxscript: pip install 'levelfield[onnx]'") from None
    with _quiet():
        exported: Any = torch.onnx.export(
            _program(loaded), input_names=[IMAGES], output_names=[LOGITS], dynamo=True, verbose=False
        )
    exported.model.metadata_props[HEADER] = to_json(loaded.card, indent=None)
    proto = exported.model_proto
    write_atomically(path, proto.SerializeToString())


def _program(loaded: LoadedModel) -> torch.export.ExportedProgram:
    card = loaded.card
    images = torch.zeros(_TRACED_BATCH, card.in_channels, card.resolution, card.resolution)
    with _quiet():  # and with gradients on: without them torch 2.15 makes the batch a constant
        return torch.export.export(folded(loaded), (images,), dynamic_shapes=({0: torch.export.Dim("batch")},))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporters warn of their own deprecations."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
