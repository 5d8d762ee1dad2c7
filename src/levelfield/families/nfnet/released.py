"""Weights of the released NFNets: Haiku's names and layouts (deepmind-research nfnets/nfnet.py, base.py).

Haiku names a module by the path to it, counts those of one class, and lays kernels out as (height, width, in, out).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from torch import Tensor

from levelfield.families.nfnet.model import NFNet
from levelfield.families.nfnet.spec import PUBLISHED_DEPTHS, PUBLISHED_WIDTHS
from levelfield.records.errors import SpecError

_BLOCK_PARTS = {
    "shortcut": "conv_shortcut",
    "conv1": "conv0",
    "conv2": "conv1",
    "conv3": "conv1b",
    "conv4": "conv2",
    "squeeze": "squeeze_excite/~/linear",
    "excite": "squeeze_excite/~/linear_1",
}
_LINEAR = re.compile(r"(^|/)linear(_1)?$")


def architecture_of(arrays: Mapping[str, Tensor]) -> str:
    """The text of the variant that ``arrays`` ("module/parameter") are of, by its number of blocks and its width.

    The released code rounds the bottleneck of the "+" variants, and so does the text.

    Raises:
        SpecError: they are no NFNet of DeepMind's.
    """
    blocks = {name for name in arrays if re.search(r"/nf_block(_\d+)?/skip_gain$", name)}
    stem = next((tensor for name, tensor in arrays.items() if name.endswith("/stem_conv3/w")), None)
    size, rest = divmod(len(blocks), sum(PUBLISHED_DEPTHS))
    if stem is None or rest or not 1 <= size <= 8:
        raise SpecError(f"these are no weights of a released NFNet: they have {len(blocks)} blocks of its kind")
    plus = "+" if 2 * stem.shape[-1] == PUBLISHED_WIDTHS["+"][0] else ""
    return f"nfnet:F{size - 1}{plus}" + (",rounding=released" if plus else "")


def sizes_in(arrays: Mapping[str, Tensor]) -> tuple[int, int]:
    """(number of classes, channels of the image)."""
    root = _root(arrays)
    return arrays[f"{root}/linear/w"].shape[1], arrays[f"{root}/stem_conv0/w"].shape[2]


def from_released(arrays: Mapping[str, Tensor], model: NFNet) -> dict[str, Tensor]:
    """What ``model.load_state_dict`` takes, from ``arrays`` by "module/parameter".

    Raises:
        SpecError: a tensor is missing, left over or of another shape; the message names it.
    """
    root, rest, weights = _root(arrays), dict(arrays), {}
    for name, parameter in model.named_parameters():
        theirs = f"{root}/{_released_name(name, model.spec.depths)}"
        tensor = rest.pop(theirs, None)
        if tensor is not None and tensor.ndim == 4:
            tensor = tensor.permute(3, 2, 0, 1)
        elif tensor is not None and tensor.ndim == 2:
            tensor = tensor.T
        if tensor is None or tensor.shape != parameter.shape:
            seen = "no such array" if tensor is None else f"shape {tuple(tensor.shape)} in our order"
            raise SpecError(
                f"{model.spec.text}: {name} wants {theirs!r} of shape {tuple(parameter.shape)} in our order, saw {seen}"
            )
        weights[name] = tensor
    if rest:
        raise SpecError(f"{model.spec.text} has no place for {', '.join(map(repr, rest))}")
    return weights


def _root(arrays: Mapping[str, Tensor]) -> str:
    for name in arrays:
        if name.endswith("/stem_conv0/w"):
            return name.removesuffix("/stem_conv0/w")
    raise SpecError("these are no weights of a released NFNet: no array ends in '/stem_conv0/w'")


def _released_name(name: str, depths: Sequence[int]) -> str:
    """Our ``stages.1.0.conv2.weight`` as ``nf_block_1/~/conv1/w``."""
    if match := re.fullmatch(r"stages\.(\d+)\.(\d+)\.(\w+)(?:\.(\w+))?", name):
        stage, index, part, leaf = match.groups()
        number = sum(depths[: int(stage)]) + int(index)
        block = f"nf_block_{number}" if number else "nf_block"
        if part == "skip_gain":
            return f"{block}/skip_gain"
        module = f"{block}/~/{_BLOCK_PARTS[part]}"
    else:
        module, _, leaf = name.rpartition(".")
        module = re.sub(r"^stem\.conv(\d+)$", lambda found: f"stem_conv{int(found[1]) - 1}", module)
        module = "linear" if module == "head" else module
    if leaf == "weight":
        return f"{module}/w"
    return f"{module}/b" if leaf == "bias" and _LINEAR.search(module) else f"{module}/{leaf}"
