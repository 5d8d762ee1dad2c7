"""Weights from timm's own checkpoints of borrowed networks: the body by timm's names, the classifier as the head."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from levelfield.families.borrowed.model import BorrowedNetwork
from levelfield.families.tensors import tensors_of
from levelfield.records.errors import SpecError

_CLASSIFIERS = ("head.fc", "head", "classifier", "fc")
_FIRST = ("stem", "patch_embed", "conv_stem", "conv1", "conv")


def from_timm(state: Mapping[str, Tensor], model: BorrowedNetwork) -> dict[str, Tensor]:
    """The tensors of ``model`` from timm's state dict.

    Raises:
        SpecError: a tensor is missing, left over or of another shape; the message names it.
    """
    rest = dict(state)
    classifier = _classifier(rest)
    weights: dict[str, Tensor] = {}
    for name, wanted in tensors_of(model).items():
        theirs = (
            name.removeprefix("body.") if name.startswith("body.") else f"{classifier}.{name.removeprefix('head.')}"
        )
        if theirs not in rest:
            raise SpecError(f"{model.spec.text} wants timm's {theirs!r}: no such tensor")
        tensor = rest.pop(theirs)
        if tensor.shape != wanted.shape:
            raise SpecError(
                f"{model.spec.text} wants timm's {theirs!r} of shape {tuple(wanted.shape)}, "
                f"saw shape {tuple(tensor.shape)}"
            )
        weights[name] = tensor
    for name, _ in model.named_buffers():
        rest.pop(name.removeprefix("body."), None)
    if rest:
        raise SpecError(f"{model.spec.text} has no place for timm's {sorted(rest)[0]!r}")
    return weights


def sizes_in_timm(state: Mapping[str, Tensor]) -> dict[str, int | None]:
    """Number of classes and of image channels; None for the resolution, which not all weights tell.

    Raises:
        KeyError: there is no classifier, or nothing that takes an image.
    """
    num_outputs = len(state[f"{_classifier(state)}.weight"])
    kernels = sorted(name for name, tensor in state.items() if tensor.ndim == 4)
    first = [name for beginning in _FIRST for name in kernels if name.startswith(beginning)]
    if not first:
        raise KeyError(f"a first convolution ({', '.join(_FIRST)})")
    return {"num_outputs": num_outputs, "in_channels": state[first[0]].shape[1], "resolution": None}


def timm_call(model: BorrowedNetwork) -> tuple[Any, str, dict[str, Any]]:
    """See :func:`to_timm`."""
    sized = {} if model.img_size is None else {"img_size": model.img_size}
    return model.spec, model.spec.name, {**model.spec.arguments, **sized}


def to_timm(model: BorrowedNetwork) -> dict[str, Tensor]:
    """The state dict of ``model`` by timm's names."""
    import timm

    classifier = timm.get_pretrained_cfg_value(model.spec.name, "classifier")
    return {
        name.removeprefix("body.") if name.startswith("body.") else f"{classifier}.{name.removeprefix('head.')}": tensor
        for name, tensor in ((name, tensor.detach()) for name, tensor in tensors_of(model).items())
    }


def folded(model: BorrowedNetwork) -> BorrowedNetwork:
    """The network itself: nothing is standardised."""
    return model


def _classifier(state: Mapping[str, Tensor]) -> str:
    found = next((name for name in _CLASSIFIERS if state.get(f"{name}.weight") is not None), None)
    if found is None:
        raise KeyError(f"a classifier ({', '.join(_CLASSIFIERS)})")
    return found
