"""What becomes of gradients: their norm, clipping, the step of the optimiser, the average. The plain form of it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from torch import Tensor

from levelfield.records.trial import TrialSpec
from levelfield.train.clipping import clip_adaptively, clip_globally, global_norm
from levelfield.train.optimizers import set_learning_rate
from levelfield.train.state import TrainState


class ParameterSide(Protocol):
    """All of a training step but forward and backward pass."""

    def clear(self, state: TrainState) -> None:
        """Take all gradients off."""
        ...

    def leaves(self, state: TrainState) -> Sequence[Tensor]:
        """The tensors that gradients come to."""
        ...

    def weights_met(self, state: TrainState) -> AbstractContextManager[None]:
        """What forward passes run in, so that their gradients come to where this side looks for them."""
        ...

    def gradient_norm(self, state: TrainState) -> Tensor:
        """The L2 norm of all gradients together, a scalar; not finite where any gradient is not."""
        ...

    def update(self, state: TrainState, norm: Tensor, learning_rate: float) -> None:
        """Clip, step and average by gradients whose norm is known, and finite."""
        ...


class PlainSide:
    """By torch's operators, a tensor at a time: the slow twin of every other, and what runs everywhere."""

    def __init__(self, spec: TrialSpec) -> None:
        self.recipe = spec.recipe

    def clear(self, state: TrainState) -> None:
        state.optimizer.zero_grad(set_to_none=True)

    def leaves(self, state: TrainState) -> Sequence[Tensor]:
        return list(state.parameters.values())

    def weights_met(self, state: TrainState) -> AbstractContextManager[None]:
        return nullcontext()

    def gradient_norm(self, state: TrainState) -> Tensor:
        return global_norm(list(state.parameters.values()))

    def update(self, state: TrainState, norm: Tensor, learning_rate: float) -> None:
        recipe = self.recipe
        clipped = [state.parameters[row.name] for row in state.policy if row.clipped]
        if clipped and recipe.agc_lambda is not None:
            clip_adaptively(clipped, clip_lambda=recipe.agc_lambda, eps=recipe.agc_eps)
        if recipe.global_clip_norm is not None:
            clip_globally(list(state.parameters.values()), norm=norm, max_norm=recipe.global_clip_norm)
        set_learning_rate(state.optimizer, learning_rate)
        state.optimizer.step()
        state.step += 1
        if state.average:
            state.average.update(list(state.parameters.values()), step=state.step)
