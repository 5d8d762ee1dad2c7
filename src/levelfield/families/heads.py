"""What heads add to a backbone, counted by hand, and what their parameters are for, whatever they stand on."""

from __future__ import annotations

import re
from collections.abc import Iterator

from levelfield.families.base import Body, Layer, LayerKind, ParameterRole
from levelfield.records.errors import SpecError
from levelfield.records.head import Head, LinearHead, PixelHead, PolicyHead, TextHead

TEXT_MLP_RATIO = 4
"""Source: arXiv 2103.00020, section 2.4; the Transformer of GPT-2."""

_ROLES: dict[str, ParameterRole] = {
    "head.weight": "classifier_kernel",
    "head.bias": "classifier_bias",
    "head.norm.weight": "norm",
    "head.norm.bias": "norm",
    "head.conv.weight": "classifier_kernel",
    "head.conv.bias": "classifier_bias",
}
_TEXT_KERNELS = re.compile(r"head\.(image|texts\.(projection|blocks\.\d+\.(qkv|proj|fc1|fc2)))\.weight")
_ACTOR_KERNELS = re.compile(r"head\.(seen|state|hidden\.\d+|actions)\.weight")
_ACTOR = re.compile(r"head\.(state|hidden\.\d+|actions)\.bias")
_TEXT = re.compile(r"head\.(image|texts|log_scale|bias_of_pairs)\b.*")


def head_role(name: str) -> ParameterRole | None:
    """What the parameter ``name`` of a head is for; None where it is none of a head.

    What pairs images with texts is never clipped unit by unit: of such networks the NFNet alone is (Flamingo, arXiv
    2204.14198, appendix B.1.3). Its kernels are decayed, and nothing else of it. So it is with what acts, as with every
    classifier.
    """
    if name in _ROLES:
        return _ROLES[name]
    if _TEXT_KERNELS.fullmatch(name):
        return "paired_kernel"
    if _ACTOR_KERNELS.fullmatch(name):
        return "actor_kernel"
    if _ACTOR.fullmatch(name):
        return "actor"
    return "paired" if _TEXT.fullmatch(name) else None


def head_layers(head: Head, body: Body, *, resolution: int) -> tuple[Layer, ...]:
    """What ``head`` adds to the layers of ``body`` at images of ``resolution`` pixels.

    Raises:
        SpecError: it needs a map of features, and there is none.
    """
    match head:
        case LinearHead():
            weights = body.num_features * head.num_outputs
            return (Layer(name="head", kind="linear", params=weights + head.num_outputs, forward_macs=weights),)
        case TextHead():
            return tuple(_text_layers(head, body.num_features))
        case PixelHead():
            return _pixel_layers(head, body, resolution)
        case PolicyHead():
            return tuple(_actor_layers(head, body.num_features))


def text_layers(head: TextHead) -> tuple[Layer, ...]:
    """The layers of the tower alone, for one text."""
    return tuple(layer for layer in _text_layers(head, 1) if layer.name.startswith("head.texts."))


def _pixel_layers(head: PixelHead, body: Body, resolution: int) -> tuple[Layer, ...]:
    if body.map_side is None:
        raise SpecError(
            "a head that answers every pixel needs the last map of features, and this network hands out pooled ones "
            "alone: take an nfnet, a vit, or a ConvNet of timm's that ends in pooling"
        )
    weights = body.num_features * head.num_outputs
    grid = -(-resolution // head.output_stride)
    to_grid = _resample_macs(body.map_side, grid, body.num_features)
    to_pixels = _resample_macs(grid, resolution, head.num_outputs)
    return (
        Layer(name="head.to_grid", kind="resample", params=0, forward_macs=to_grid),
        Layer(name="head.norm", kind="batch_norm", params=2 * body.num_features),
        Layer(name="head.conv", kind="conv", params=weights + head.num_outputs, forward_macs=weights * grid**2),
        Layer(name="head.to_pixels", kind="resample", params=0, forward_macs=to_pixels),
    )


def _actor_layers(head: PolicyHead, num_features: int) -> Iterator[Layer]:
    """What is sensed is given, as the image is, and needs no gradient."""

    def linear(name: str, into: int, out: int, *, bias: bool = True, given: bool = False) -> Layer:
        weights = into * out
        params = weights + out * bias
        return Layer(name=f"head.{name}", kind="linear", params=params, forward_macs=weights, takes_image=given)

    yield linear("seen", num_features, head.width, bias=False)
    yield linear("state", head.num_states, head.width, given=True)
    for index in range(head.depth - 1):
        yield linear(f"hidden.{index}", head.width, head.width)
    yield linear("actions", head.width, head.num_outputs)


def _resample_macs(old: int, new: int, channels: int) -> int:
    """Multiply-accumulates of bringing ``channels`` maps of ``old`` cells a side to ``new``, columns before rows."""
    return 0 if old == new else channels * (old * old * new + new * old * new)


def _text_layers(head: TextHead, num_features: int) -> Iterator[Layer]:
    """One image and one text. Attention is counted over all pairs of tokens, as everywhere: a causal one computes half
    of them for nothing. Similarities between the pairs of a batch are of the loss, and no layer."""
    width, tokens, hidden = head.width, head.context, TEXT_MLP_RATIO * head.width

    def linear(name: str, into: int, out: int, *, rows: int = 1, bias: bool = True) -> Layer:
        params, macs = into * out + out * bias, rows * into * out
        return Layer(name=f"head.{name}", kind="linear", params=params, forward_macs=macs)

    def other(name: str, kind: LayerKind, params: int, macs: int = 0) -> Layer:
        return Layer(name=f"head.{name}", kind=kind, params=params, forward_macs=macs)

    yield linear("image", num_features, head.num_outputs, bias=False)
    yield other("texts.tokens", "embedding", head.vocabulary * width)
    yield other("texts.position", "position", tokens * width)
    for block in (f"texts.blocks.{index}" for index in range(head.depth)):
        yield other(f"{block}.norm1", "norm", 2 * width)
        yield linear(f"{block}.qkv", width, 3 * width, rows=tokens)
        yield other(f"{block}.attention", "attention", 0, 2 * tokens * tokens * width)
        yield linear(f"{block}.proj", width, width, rows=tokens)
        yield other(f"{block}.norm2", "norm", 2 * width)
        yield linear(f"{block}.fc1", width, hidden, rows=tokens)
        yield linear(f"{block}.fc2", hidden, width, rows=tokens)
    yield other("texts.norm", "norm", 2 * width)
    yield linear("texts.projection", width, head.num_outputs, bias=False)
    yield other("scale", "scale", 1 + (head.bias is not None))
