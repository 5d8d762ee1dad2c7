"""Weights for others: our own safetensors, a checkpoint for timm, a folder in the layout of the hub."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from levelfield.families.registry import conversion
from levelfield.families.tensors import tensors_of
from levelfield.records.codec import to_plain
from levelfield.records.errors import SpecError
from levelfield.records.writing import make_directory, write_atomically
from levelfield.weights.card import Card
from levelfield.weights.loaded import LoadedModel


@dataclass(frozen=True, kw_only=True)
class TimmCall:
    """``timm.create_model(name, **arguments)`` builds the network that the checkpoint written is of."""

    name: str
    arguments: Mapping[str, Any]

    def __str__(self) -> str:
        said = "".join(f", {key}={value!r}" for key, value in self.arguments.items())
        return f"timm.create_model({self.name!r}{said})"


def save_safetensors(loaded: LoadedModel, path: Path) -> None:
    """Write the weights by our own names, with a header that says all that must be known of them.

    Raises:
        StoreError: the file cannot be written.
    """
    write_atomically(path, save(_own_state(loaded), metadata=loaded.card.header()))


def save_timm(loaded: LoadedModel, path: Path) -> TimmCall:
    """Write a state dict that timm loads, as safetensors or, for .pth and .pt, as a torch file.

    Raises:
        SpecError: timm cannot express the network; the message says why.
        StoreError: the file cannot be written.
    """
    _, call, state = _for_timm(loaded)
    content = save(state)
    if path.suffix in (".pth", ".pt", ".bin"):
        buffer = io.BytesIO()
        torch.save(state, buffer)
        content = buffer.getvalue()
    write_atomically(path, content)
    return call


def save_hub(loaded: LoadedModel, folder: Path) -> TimmCall | None:
    """Write ``config.json`` and ``model.safetensors`` into ``folder``.

    Where timm can express the network, ``timm.create_model("local-dir:FOLDER", pretrained=True)`` loads it, and the
    call is returned; else the folder is for Levelfield alone.

    Raises:
        StoreError: the folder cannot be written.
    """
    make_directory(folder)
    try:
        card, call, state = _for_timm(loaded)
    except SpecError:
        config = {"library_name": "levelfield", "levelfield": to_plain(loaded.card)}
        write_atomically(folder / "model.safetensors", save(_own_state(loaded), metadata=loaded.card.header()))
        write_atomically(folder / "config.json", _json(config))
        return None
    arguments = {key: value for key, value in call.arguments.items() if key not in ("num_classes", "in_chans")}
    config = {
        "architecture": call.name,
        "num_classes": card.num_outputs,
        "num_features": loaded.model.num_features,
        "global_pool": arguments.get("global_pool", "avg"),
        "model_args": arguments | {"in_chans": card.in_channels},
        "pretrained_cfg": _pretrained(card),
        "levelfield": to_plain(card),
    }
    if card.classes is not None:
        config["label_names"] = list(card.classes)
    write_atomically(folder / "model.safetensors", save(state, metadata={"format": "pt"}))
    write_atomically(folder / "config.json", _json(config))
    return call


def _own_state(loaded: LoadedModel) -> dict[str, Tensor]:
    return {name: tensor.detach().contiguous() for name, tensor in tensors_of(loaded.model).items()}


def _for_timm(loaded: LoadedModel) -> tuple[Card, TimmCall, dict[str, Tensor]]:
    """The network as timm has it: its card, the call that builds it, and its state dict."""
    if loaded.card.pixel_head is not None:
        raise SpecError(f"timm cannot express {loaded.spec.text} with a head that answers every pixel")
    if loaded.card.text_head is not None:
        raise SpecError(f"timm cannot express {loaded.spec.text} with a tower that reads texts")
    spec, name, arguments = conversion(loaded.spec).timm_call(loaded.model)
    arguments = arguments | {"num_classes": loaded.card.num_outputs}
    if loaded.card.in_channels != 3:
        arguments["in_chans"] = loaded.card.in_channels
    facts = {field.name: getattr(loaded.card, field.name) for field in dataclasses.fields(loaded.card)}
    del facts["architecture"], facts["rules"]
    state = {key: tensor.contiguous() for key, tensor in conversion(spec).to_timm(loaded.model).items()}
    return Card.of(spec.text, **facts), TimmCall(name=name, arguments=arguments), state


def _pretrained(card: Card) -> dict[str, Any]:
    """What timm is to feed it. Our own resizing differs from its "center" by a rounding of the longer side."""
    fed = card.preprocessing
    return {
        "input_size": [card.in_channels, fed.resolution, fed.resolution],
        "mean": list(fed.mean),
        "std": list(fed.std),
        "interpolation": fed.interpolation,
        "crop_pct": fed.crop_pct,
        "crop_mode": "center" if fed.crop_mode == "cover" else fed.crop_mode,
        "num_classes": card.num_outputs,
    }


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()
