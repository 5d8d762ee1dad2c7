"""The layout of a model on the Hugging Face hub: ``config.json`` beside ``model.safetensors``, as timm reads it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from levelfield.records.codec import parse_json
from levelfield.records.errors import LevelfieldError, SpecError, WeightsError
from levelfield.records.files import read_regular
from levelfield.weights.card import Card, card_from_plain
from levelfield.weights.kept import refuse_contradiction
from levelfield.weights.preprocessing import Preprocessing
from levelfield.weights.timm_names import architecture_named

# Arguments of timm's that change nothing that is not seen in the tensors themselves.
_HARMLESS_ARGUMENTS = frozenset({"img_size", "num_classes", "in_chans", "drop_rate", "drop_path_rate"})


MAX_CONFIG_BYTES = 32 * 2**20
"""The names of a million classes."""


@dataclass(frozen=True, kw_only=True)
class HubConfig:
    """What a config.json says. ``card`` is there where we wrote it."""

    architecture: str
    preprocessing: Preprocessing | None
    classes: tuple[str, ...] | None
    card: Card | None


def read_config(path: Path, *, arch: str | None = None) -> HubConfig:
    """Read timm's or our own config.json; ``arch`` says which network it is where the file does not.

    Raises:
        WeightsError: it is no such file, or names a network changed by arguments that we do not read, without ``arch``.
        SpecError: ``arch`` is another network than the file names.
    """
    try:
        plain = parse_json(read_regular(path, at_most=MAX_CONFIG_BYTES), where=str(path), error=WeightsError)
    except OSError as error:
        raise WeightsError(f"{path} {error.strerror}") from None
    if not isinstance(plain, dict):
        raise WeightsError(f"{path} holds no table")
    if "levelfield" in plain:
        card = card_from_plain(plain["levelfield"], where=str(path))
        text = card.architecture
        if arch is not None:
            refuse_contradiction(arch, text, where=str(path))
        return HubConfig(architecture=text, preprocessing=card.preprocessing, classes=card.classes, card=card)
    pretrained = plain.get("pretrained_cfg") or {}
    return HubConfig(
        architecture=_architecture(plain, pretrained, path, arch),
        preprocessing=_preprocessing(pretrained, path),
        classes=_classes(plain),
        card=None,
    )


def _architecture(plain: dict[str, Any], pretrained: dict[str, Any], path: Path, arch: str | None) -> str:
    """timm's name of the network, or ``arch``; they must agree where the name is one of ours and says it all."""
    named, changed = plain.get("architecture"), set(plain.get("model_args") or {}) - _HARMLESS_ARGUMENTS
    if not isinstance(named, str):
        if arch is None:
            raise WeightsError(f"{path} names no architecture of timm's: say which network it is by --arch")
        return arch
    if arch is None and changed:
        raise WeightsError(
            f"{path} changes {named} by {', '.join(sorted(changed))}: say by --arch, in our own grammar, which network "
            "that is"
        )
    if arch is None:
        return named + (f".{pretrained['tag']}" if pretrained.get("tag") else "")
    known = None if changed else _known_architecture(named)
    if known is not None:
        refuse_contradiction(arch, known, where=str(path))
    return arch


def _known_architecture(named: str) -> str | None:
    """Our text of a network of timm's; None where only ``--arch`` can say what it is."""
    try:
        return architecture_named(named)
    except SpecError:
        return None


def _preprocessing(pretrained: dict[str, Any], path: Path) -> Preprocessing | None:
    if "mean" not in pretrained:
        return None
    size = pretrained.get("test_input_size") or pretrained.get("input_size") or (3, 0, 0)
    try:
        return Preprocessing(
            resolution=int(size[-1]),
            mean=tuple(pretrained["mean"]),
            std=tuple(pretrained["std"]),
            interpolation=pretrained.get("interpolation") or "bicubic",
            crop_pct=pretrained.get("test_crop_pct") or pretrained.get("crop_pct") or 0.875,
            crop_mode=pretrained.get("crop_mode") or "center",
        )
    except (LevelfieldError, KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{path}: its pretrained_cfg cannot be followed ({error})") from None


def _classes(plain: dict[str, Any]) -> tuple[str, ...] | None:
    names = plain.get("label_names") or (plain.get("pretrained_cfg") or {}).get("label_names")
    descriptions = plain.get("label_descriptions") or {}
    if not isinstance(names, list):
        return None
    return tuple(str(descriptions.get(name, name)) for name in names)
