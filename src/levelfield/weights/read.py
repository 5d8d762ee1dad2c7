"""Weights from a file or a folder, whoever wrote them, in one of our networks.

===================================  ==========================================================================
where                                what says which network it is
===================================  ==========================================================================
the directory of a finished trial    its records
our own safetensors                  its header; a file whose header leaves the rules out is refused
a folder in the layout of the hub    its config.json: our part of it, or timm's
DeepMind's NFNet archives            their tensors: the released rules hold, ws=clamp and gelu=tanh
any other file of timm's tensors     ``arch``: timm's name for it, or one of our texts
===================================  ==========================================================================
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from levelfield.families.registry import build, conversion, parameter_role, parse
from levelfield.families.tensors import tensors_of
from levelfield.records.errors import SpecError, WeightsError
from levelfield.weights.card import Card, read_card
from levelfield.weights.hub import HubConfig, read_config
from levelfield.weights.kept import is_trial, refuse_contradiction, refuse_other_architecture
from levelfield.weights.loaded import LoadedModel, assemble
from levelfield.weights.preprocessing import Preprocessing
from levelfield.weights.tensors import WeightFile, read_tensors
from levelfield.weights.timm_names import architecture_named, preprocessing_named
from levelfield.weights.trial import load_trial

HUB_FILES = ("model.safetensors", "pytorch_model.bin")


def load_model(
    path: Path, *, arch: str | None = None, key: str | None = None, resolution: int | None = None
) -> LoadedModel:
    """The network whose weights lie at ``path``.

    ``arch`` is timm's name of a network ("vit_base_patch16_224.augreg_in21k") or one of our texts
    ("nfnet:F0,ws=timm,gelu=erf"), where nothing beside the weights says which it is, and may not contradict what does.
    ``key`` chooses among the sets of weights of a training checkpoint. ``resolution`` replaces that of the
    preprocessing; positions learned for another are not resampled, so it is for networks without them.

    Raises:
        WeightsError: the file is damaged, reading it would run code, a tensor is missing, left over or not finite, or
            nothing says what the weights are.
        SpecError: the architecture is none that our families hold.
    """
    if is_trial(path):
        refuse_other_architecture(path, arch)
        return _at(load_trial(path), resolution)
    folder, file = path.parent, path
    if path.is_dir():
        folder, file = path, _hub_file(path)
    read = read_tensors(file, key=key)
    if (card := read_card(read.header, where=str(file))) is not None:
        if arch is not None:
            refuse_contradiction(arch, card.architecture, where=str(file))
        return _at(assemble(card, read.tensors, where=str(file)), resolution)
    if any("/nf_block" in name or name.startswith("nf_block") for name in read.tensors):
        return _at(_from_released(read, arch), resolution)
    config = read_config(folder / "config.json", arch=arch) if (folder / "config.json").exists() else None
    return _from_timm(read, arch, config, resolution)


def _hub_file(folder: Path) -> Path:
    for name in HUB_FILES:
        if (folder / name).exists():
            return folder / name
    raise WeightsError(f"{folder} is neither a trial nor a folder of weights: it has no {' or '.join(HUB_FILES)}")


def _at(loaded: LoadedModel, resolution: int | None) -> LoadedModel:
    if resolution in (None, loaded.card.resolution):
        return loaded
    if any(parameter_role(loaded.spec, name) == "position" for name, _ in loaded.model.named_parameters()):
        raise SpecError(
            f"the learned positions are for {loaded.card.resolution} px, not for {resolution}; `levelfield finetune` "
            "resamples them"
        )
    preprocessing = dataclasses.replace(loaded.preprocessing, resolution=resolution)
    card = dataclasses.replace(loaded.card, resolution=resolution, preprocessing=preprocessing)
    state = tensors_of(loaded.model)
    return assemble(card, state, where=loaded.source)


def _from_released(read: WeightFile, arch: str | None) -> LoadedModel:
    released = conversion("nfnet:F0").released
    text = released.architecture_of(read.tensors)
    if arch is not None:
        refuse_contradiction(arch, text, where=str(read.path))
    try:
        num_outputs, in_channels = released.sizes_in(read.tensors)
    except (KeyError, IndexError) as error:
        raise WeightsError(f"{read.path} is no whole NFNet of DeepMind's: it lacks {error}") from None
    variant = text.removeprefix("nfnet:F")[:1]
    published = preprocessing_named(f"dm_nfnet_f{min(int(variant), 6)}" if variant.isdigit() else "dm_nfnet_f0")
    card = Card.of(
        text,
        resolution=published.resolution,
        num_outputs=num_outputs,
        in_channels=in_channels,
        preprocessing=published,
        source=f"{read.path.name}, a released NFNet archive",
    )
    return _converted(card, read, released.from_released)


def _from_timm(read: WeightFile, arch: str | None, config: HubConfig | None, resolution: int | None) -> LoadedModel:
    name = arch or (config.architecture if config else None)
    if name is None:
        raise WeightsError(
            f"nothing says which network {read.path} holds: name it by --arch, as timm does (dm_nfnet_f0, "
            "vit_base_patch16_224.augreg_in21k) or in our own grammar (nfnet:F0,ws=timm,gelu=erf)"
        )
    text = name if ":" in name else architecture_named(name)
    sizes = _sizes(text, read)
    preprocessing = config.preprocessing if config else None
    if preprocessing is None and (":" not in name or name.startswith("timm:")):
        preprocessing = preprocessing_named(name)
    pixels = sizes["resolution"] or resolution or (preprocessing.resolution if preprocessing else None)
    if pixels is None:
        raise WeightsError(f"{read.path}: nothing says how large its images are: give --resolution")
    if preprocessing is None:
        preprocessing = Preprocessing.of_training(resolution=pixels, in_channels=sizes["in_channels"] or 3)
    card = Card.of(
        text,
        resolution=pixels,
        num_outputs=sizes["num_outputs"],
        in_channels=sizes["in_channels"],
        preprocessing=dataclasses.replace(preprocessing, resolution=pixels),
        classes=config.classes if config else None,
        source=f"{read.path.name}, {name}",
    )
    return _converted(card, read, conversion(text).from_timm)


def _sizes(text: str, read: WeightFile) -> dict[str, Any]:
    try:
        return conversion(text).sizes_in_timm(read.tensors)
    except SpecError as error:
        raise WeightsError(f"{read.path}: {error}") from None
    except (KeyError, IndexError) as error:
        raise WeightsError(f"{read.path} is no {parse(text).text} in timm's names: it lacks {error}") from None


def _converted(card: Card, read: WeightFile, convert: Any) -> LoadedModel:
    with torch.device("meta"):
        shape = build(card.architecture, head=card.head, resolution=card.resolution, in_channels=card.in_channels)
    try:
        state: dict[str, Tensor] = convert(read.tensors, shape)
    except SpecError as error:
        raise WeightsError(f"{read.path}: {error}") from None
    return assemble(card, state, where=str(read.path))
