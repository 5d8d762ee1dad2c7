"""Which tensor is clipped, which is decayed: a table by name, written into the record of every trial.

Positions in a list are never used: the classifier is recognised by its role, whatever the network's order is.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from levelfield.records.codec import later, record
from levelfield.records.trial import RecipeSpec
from levelfield.train.clipping import unit_axis


@record
class TensorPolicy:
    """How the step treats one parameter.

    ``unit_axis`` is AGC's axis of output units, absent for whole tensors; ``lr_scale`` multiplies the learning rate.
    """

    name: str
    shape: tuple[int, ...]
    role: str
    clipped: bool
    decayed: bool
    unit_axis: int | None
    lr_scale: float = later(default=1.0)


# 2102.06171 (code): the classifier's kernel is never clipped; gains, biases and skip gains are clipped, not decayed.
_NEVER_CLIPPED = frozenset({"classifier_kernel", "paired_kernel", "paired", "actor_kernel", "actor"})
# Kernels alone are decayed, in both families (2102.06171 section 6; big_vision's `.*/kernel` mask).
_DECAYED = frozenset({"kernel", "classifier_kernel", "paired_kernel", "actor_kernel"})


def policy_table(
    parameters: Mapping[str, Tensor],
    roles: Mapping[str, str],
    recipe: RecipeSpec,
    *,
    depths: Mapping[str, int] | None = None,
) -> tuple[TensorPolicy, ...]:
    """One row a parameter, in the network's order.

    ``roles`` and ``depths`` give each name its role and how many blocks lie before it (the family's own statement);
    depths are needed for layer-wise decay of the learning rate alone: every block between a tensor and the head
    multiplies its rate by ``recipe.layer_decay`` (BEiT, arXiv 2106.08254, appendix).

    Raises:
        ValueError: the recipe decays layer by layer and there are no depths.
    """
    if recipe.layer_decay != 1 and depths is None:
        raise ValueError("layer-wise decay needs the depth of every parameter")
    deepest = max(depths.values()) if depths else 0
    return tuple(
        TensorPolicy(
            name=name,
            shape=tuple(parameter.shape),
            role=roles[name],
            clipped=_is_clipped(roles[name], recipe),
            decayed=recipe.weight_decay > 0 and roles[name] in _DECAYED,
            unit_axis=unit_axis(parameter),
            lr_scale=recipe.layer_decay ** (deepest - depths[name]) if depths else 1.0,
        )
        for name, parameter in parameters.items()
    )


def _is_clipped(role: str, recipe: RecipeSpec) -> bool:
    if recipe.agc_lambda is None or role in _NEVER_CLIPPED:
        return False
    return recipe.clip_skip_gain or role != "skip_gain"
