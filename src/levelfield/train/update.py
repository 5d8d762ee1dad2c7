"""What becomes of gradients: their norm, clipping, the step of the optimiser, the average. The plain form of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from torch import Tensor

from levelfield.records.trial import TrialSpec
from levelfield.train.clipping import clip_adaptively, clip_globally, global_norm
from levelfield.train.optimizers import set_learning_rate, step_while
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

    def scales(self, state: TrainState) -> Mapping[str, Tensor]:
        """What adaptive clipping has last multiplied by, [units] of every tensor that it clips, by the tensor's name;
        empty where it clips none."""
        ...


class PlainSide:
    """By torch's operators, a tensor at a time: the slow twin of every other, and what runs everywhere."""

    def __init__(self, spec: TrialSpec) -> None:
        self.recipe = spec.recipe
        self._scales: dict[str, Tensor] = {}

    def clear(self, state: TrainState) -> None:
        state.optimizer.zero_grad(set_to_none=True)

    def leaves(self, state: TrainState) -> Sequence[Tensor]:
        return list(state.parameters.values())

    def weights_met(self, state: TrainState) -> AbstractContextManager[None]:
        return nullcontext()

    def gradient_norm(self, state: TrainState) -> Tensor:
        return global_norm(list(state.parameters.values()))

    def update(self, state: TrainState, norm: Tensor, learning_rate: float) -> None:
        self._clip(state, norm)
        set_learning_rate(state.optimizer, learning_rate)
        state.optimizer.step()
        state.step += 1
        if state.average:
            state.average.update(list(state.parameters.values()), step=state.step)

    def update_while(self, alive: Tensor, state: TrainState, norm: Tensor, learning_rate: float) -> None:
        """The same, to the last bit, while ``alive`` is set, a boolean scalar on the device; else nothing but the count
        of steps changes. Nobody waits to know which."""
        self._clip(state, norm)
        set_learning_rate(state.optimizer, learning_rate)
        step_while(alive, state.optimizer)
        state.step += 1
        if state.average:
            state.average.update(list(state.parameters.values()), step=state.step, alive=alive)

    def _clip(self, state: TrainState, norm: Tensor) -> None:
        recipe = self.recipe
        clipped = {row.name: state.parameters[row.name] for row in state.policy if row.clipped}
        if clipped and recipe.agc_lambda is not None:
            held = list(clipped.values())
            scales = clip_adaptively(held, clip_lambda=recipe.agc_lambda, eps=recipe.agc_eps)
            self._scales = dict(zip(clipped, scales, strict=True))
        if recipe.global_clip_norm is not None:
            clip_globally(list(state.parameters.values()), norm=norm, max_norm=recipe.global_clip_norm)

    def scales(self, state: TrainState) -> Mapping[str, Tensor]:
        return self._scales
