"""The bare network's tensors, from whatever a training script wrapped them in.

Two kinds of wrapper, in any order and nesting: dictionaries within a checkpoint ("state_dict", "model_ema", …) and
prefixes of names (DistributedDataParallel's "module.", torch.compile's "_orig_mod.", "model.", "backbone.", …). Where
several sets of weights lie side by side - raw and averaged, student and teacher - nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from levelfield.records.errors import WeightsError

_RAW = "state_dict model model_state_dict module net network backbone encoder student params"
_AVERAGED = "state_dict_ema model_ema ema_model ema ema_state_dict params_ema averaged_model teacher"
_WRAPPERS = (*_RAW.split(), *_AVERAGED.split())
_ALL_OR_NONE = ("encoder",)
"""Of a prefix that some networks have beside others of their own: a wrapper's only where every name has it."""

_ANYWHERE = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")
"""What torch puts into names wherever a module was wrapped; no network calls a part so."""

_COUNTERS = ("n_averaged", "num_updates", "initted", "step")
"""Numbers that averaged models keep beside their weights."""

_DEEPEST = 16
_SHOWN = 5


def bare_tensors(value: Any, *, where: str, key: str | None = None) -> dict[str, Tensor]:
    """The state dict within the checkpoint ``value``, under the names that the bare network has.

    ``key`` chooses among several sets of weights, by the name of their dictionary or their prefix.

    Raises:
        WeightsError: there are several and ``key`` is None, or ``key`` is none of them; or there is no state dict.
    """
    if not isinstance(value, Mapping):
        raise WeightsError(f"{where} holds a {type(value).__name__}, expected a state dict")
    inner, left = _unpacked(value, where, key)
    others = [str(name) for name, item in inner.items() if not isinstance(item, Tensor)]
    if others:
        raise WeightsError(f"{where} holds more than tensors: {', '.join(others[:_SHOWN])}; expected a state dict")
    tensors, left = _unprefixed({str(name): tensor for name, tensor in inner.items()}, where, left)
    if left is not None:
        sets = [name for name in _WRAPPERS if isinstance(value.get(name), Mapping)]
        raise WeightsError(f"{where} has no state dict {key!r}; it holds {', '.join(map(repr, sets)) or 'none'}")
    return tensors


def _unpacked(value: Mapping[Any, Any], where: str, key: str | None) -> tuple[Mapping[Any, Any], str | None]:
    """The innermost dictionary, and the key if it has not been used yet."""
    for _ in range(_DEEPEST):
        sets = [name for name in _WRAPPERS if isinstance(value.get(name), Mapping)]
        if key is not None and isinstance(value.get(key), Mapping):
            value, key = value[key], None
        elif not sets:
            return value, key
        elif len(sets) > 1:
            raise WeightsError(f"{where} holds several sets of weights, {', '.join(sets)}: say which with --key")
        else:
            value = value[sets[0]]
    raise WeightsError(f"{where} wraps its weights more than {_DEEPEST} deep; save the state dict alone")


def _unprefixed(tensors: dict[str, Tensor], where: str, key: str | None) -> tuple[dict[str, Tensor], str | None]:
    """The tensors without the prefixes that wrappers give, and the key if it has not been used yet."""
    for part in _ANYWHERE:
        tensors = _renamed(tensors, {name: name.replace(part, "") for name in tensors}, where)
    for _ in range(_DEEPEST):
        groups = {each: names for each in _WRAPPERS if (names := _under(each, tensors))}
        if key is not None and key in groups:
            tensors, key = {name.removeprefix(f"{key}."): tensors[name] for name in groups[key]}, None
            continue
        if not groups:
            return tensors, key
        if len(groups) > 1:
            raise WeightsError(f"{where} holds several sets of weights, {', '.join(groups)}: say which with --key")
        kept = {name: tensor for name, tensor in tensors.items() if name not in _COUNTERS or tensor.numel() != 1}
        (prefix,) = groups
        tensors = _renamed(kept, {name: name.removeprefix(f"{prefix}.") for name in kept}, where)
    raise WeightsError(f"{where} prefixes its names more than {_DEEPEST} times; save the state dict alone")


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> list[str]:
    names = [name for name in tensors if name.startswith(f"{prefix}.")]
    return names if prefix not in _ALL_OR_NONE or len(names) == len(tensors) else []


def _renamed(tensors: Mapping[str, Tensor], names: Mapping[str, str], where: str) -> dict[str, Tensor]:
    renamed = {names[name]: tensor for name, tensor in tensors.items()}
    if len(renamed) < len(tensors):
        often = [name for name in tensors if names[name] != name and names[name] in tensors]
        raise WeightsError(f"{where} holds {often[0] if often else 'a tensor'} with and without a wrapper's prefix")
    return renamed
