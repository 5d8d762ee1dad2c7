"""The parameter side over flat buffers: everything that changes from step to step is a tensor of the device.

What torch keeps (parameters, momenta, averages) becomes a view of those buffers, so checkpoints know no engine. Weights
are standardised once a step; the forward pass meets the result, in bfloat16 where the trial computes in it.

Source: docs/decisions/0039-graph-engine.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor

from levelfield.families.base import StandardisedWeight, Standardising
from levelfield.records.trial import TrialSpec
from levelfield.train.averaging import ema_decay
from levelfield.train.clipping import gradients_of
from levelfield.train.device import sent
from levelfield.train.engine.graph.layout import Block, FlatTensor, layout_of
from levelfield.train.engine.graph.rows import Facts, StandardisedRows, gradients, rows_of, standardise
from levelfield.train.optimizers import ADAM_EPS, decay_handed
from levelfield.train.state import TrainState

_NORM_FLOOR = 1e-6
"""Of train/clipping.py, against division by zero."""
_MOMENTS = {"sgd": ("momentum_buffer",), "adamw": ("exp_avg", "exp_avg_sq")}
"""What torch's optimisers keep of a parameter."""


class GraphSide:
    """See the module, and :class:`levelfield.train.update.ParameterSide`."""

    def __init__(self, spec: TrialSpec) -> None:
        self.spec = spec
        self._of: object = None

    @property
    def buffers(self) -> object:
        """What whoever captured a step has captured; another object where they are others."""
        return self._of

    def clear(self, state: TrainState) -> None:
        self.take_up(state)
        with torch.no_grad():
            self._facts = [standardise(rows, self._weights, self._met) for rows in self._rows]
        for leaf in self._leaves:
            leaf.grad = None

    def leaves(self, state: TrainState) -> Sequence[Tensor]:
        self.take_up(state)
        return self._leaves

    @contextmanager
    def weights_met(self, state: TrainState) -> Iterator[None]:
        model: Any = state.model
        with model.meeting(self._met_weights) if self._met_weights else nullcontext():
            yield

    @torch.no_grad()
    def gradient_norm(self, state: TrainState) -> Tensor:
        torch._foreach_copy_(self._places, gradients_of(self._leaves))
        for rows, facts in zip(self._rows, self._facts, strict=True):
            gradients(rows, facts, self._weights, self._met_gradients, self._gradients)
        return torch.linalg.vector_norm(self._gradients)

    def update(self, state: TrainState, norm: Tensor, learning_rate: float) -> None:
        self.tell(state, learning_rate)
        self.update_while(self._always, norm)
        state.step += 1

    def tell(self, state: TrainState, learning_rate: float) -> None:
        """Send what the update after ``state.step`` of them takes: the rates of the groups, and the average's share."""
        self.take_up(state)
        recipe = self.spec.recipe
        decay = ema_decay(state.step + 1, num_steps=self.spec.steps, fraction=recipe.ema_fraction or 1.0)
        rates = [learning_rate * group.lr_scale for group in self._layout.groups]
        self._numbers.copy_(sent(torch.tensor([1.0 - decay, *rates], dtype=torch.float32), self._numbers.device))

    @torch.no_grad()
    def update_while(self, alive: Tensor, norm: Tensor) -> None:
        """Clip, step and average by what was told, while ``alive`` is set, a boolean scalar on the device."""
        recipe = self.spec.recipe
        if recipe.agc_lambda is not None:
            for block, limits in self._limits:
                self._clip(block, limits)
        if recipe.global_clip_norm is not None:
            self._gradients.mul_(torch.clamp(recipe.global_clip_norm / norm.clamp(min=_NORM_FLOOR), max=1.0))
        dead = alive.logical_not().float()
        if recipe.optimizer == "adamw":
            self._counts.add_(alive)
        for number, group in enumerate(self._layout.groups):
            span = slice(group.start, group.end)
            self._step(span, self._numbers[1 + number], dead, decay_handed(recipe) if group.decayed else 0.0)
        if self._average is not None:
            self._average.lerp_(self._weights, (self._numbers[0] * alive).to(self._average.dtype))

    def scales(self, state: TrainState) -> Mapping[str, Tensor]:
        return self._scales

    def _clip(self, block: Block, limits: Tensor) -> None:
        """Scale the units of ``block`` whose gradient is longer than ``limits`` [rows, 1] times the unit: AGC."""
        weight, gradient = block.within(self._weights), block.within(self._gradients)
        largest = torch.linalg.vector_norm(weight, dim=1, keepdim=True).clamp_min_(self.spec.recipe.agc_eps)
        length = torch.linalg.vector_norm(gradient, dim=1, keepdim=True).clamp_min_(_NORM_FLOOR)
        scale = largest.mul_(limits).div_(length).clamp_max_(1.0)
        gradient.mul_(scale)
        rows = scale.split([each.rows for each in block.tensors])
        self._scales |= {each.name: row for each, row in zip(block.tensors, rows, strict=True) if each.policy.clipped}

    def _step(self, span: slice, rate: Tensor, dead: Tensor, decay: float) -> None:
        """torch's fused step of what lies in ``span``; one where ``dead`` is 1 changes nothing."""
        recipe = self.spec.recipe
        weight, gradient = [self._weights[span]], [self._gradients[span]]
        moments = [[buffer[span]] for buffer in self._moments.values()]
        if recipe.optimizer == "sgd":
            torch._fused_sgd_(
                weight,
                gradient,
                moments[0] if moments else [],
                weight_decay=decay,
                momentum=recipe.momentum,
                lr=rate,
                dampening=0.0,
                nesterov=recipe.nesterov and recipe.momentum > 0,
                maximize=False,
                is_first_step=False,
                found_inf=dead,
            )
            return
        torch._fused_adamw_(
            weight,
            gradient,
            moments[0],
            moments[1],
            [],
            [self._counts[0]],
            lr=rate,
            beta1=recipe.beta1,
            beta2=recipe.beta2,
            weight_decay=decay,
            eps=ADAM_EPS,
            amsgrad=False,
            maximize=False,
            found_inf=dead,
        )

    def take_up(self, state: TrainState) -> None:
        """Lay ``state`` out in buffers, unless it lies in these; restoring a state replaces its momenta."""
        if self._of is state.optimizer.state:
            return
        self._of = state.optimizer.state
        standardised = self._standardised_of(state)
        self._layout = layout = layout_of(state.parameters, state.policy, standardised)
        first = layout.tensors[0].parameter
        empty = torch.zeros(layout.length, dtype=first.dtype, device=first.device)
        self._weights, self._gradients = empty.clone(), empty.clone()
        self._numbers = torch.zeros(1 + len(layout.groups), device=first.device)
        self._always = torch.ones((), dtype=torch.bool, device=first.device)
        self._scales: dict[str, Tensor] = {}
        self._limits = [found for block in layout.blocks if (found := self._limited(block, first)) is not None]
        with torch.no_grad():
            self._move_weights(state, empty)
            self._move_moments(state, empty)
        self._lay_out_gradients(standardised, empty)

    def _standardised_of(self, state: TrainState) -> Sequence[StandardisedWeight]:
        """The standardised weights of the network, where all of them are trained; what climbs first changes weights
        within the step, so there the network standardises them itself."""
        model = state.model
        if not isinstance(model, Standardising) or self.spec.recipe.sam_rho is not None:
            return ()
        found, trained = model.standardised_parameters(), {id(each) for each in state.parameters.values()}
        return found if all({id(each.weight), id(each.gain)} <= trained for each in found) else ()

    def _limited(self, block: Block, like: Tensor) -> tuple[Block, Tensor] | None:
        """``block`` with AGC's lambda for each row, infinite where it is not clipped; None where no row is."""
        clip_lambda = self.spec.recipe.agc_lambda
        if clip_lambda is None or not any(each.policy.clipped for each in block.tensors):
            return None
        limits = [clip_lambda if each.policy.clipped else torch.inf for each in block.tensors for _ in range(each.rows)]
        return block, torch.tensor(limits, dtype=like.dtype, device=like.device)[:, None]

    def _move_weights(self, state: TrainState, empty: Tensor) -> None:
        for each in self._layout.tensors:
            each.parameter.data = _moved(each, each.parameter.detach(), self._weights)
        self._average = None
        if state.average is not None:
            self._average = empty.clone()
            numbers = {name: number for number, name in enumerate(state.parameters)}
            averages = state.average.averages
            for each in self._layout.tensors:
                averages[numbers[each.name]] = _moved(each, averages[numbers[each.name]], self._average)

    def _move_moments(self, state: TrainState, empty: Tensor) -> None:
        recipe = self.spec.recipe
        names = _MOMENTS[recipe.optimizer] if recipe.optimizer == "adamw" or recipe.momentum > 0 else ()
        self._moments = {name: empty.clone() for name in names}
        self._counts = torch.full((len(self._layout.tensors),), float(state.step), device=empty.device)
        for place, each in enumerate(self._layout.tensors):
            held = state.optimizer.state[each.parameter]
            for name, buffer in self._moments.items():
                found = held.get(name)
                held[name] = each.within(buffer) if found is None else _moved(each, found, buffer)
            if recipe.optimizer == "adamw":
                held["step"] = self._counts[place]

    def _lay_out_gradients(self, standardised: Sequence[StandardisedWeight], empty: Tensor) -> None:
        """Which tensors gradients come to, and where each of those is copied to."""
        starts = {id(each.parameter): each.start for each in self._layout.tensors}
        by_weight = {id(each.parameter): each for each in self._layout.tensors}
        half = self.spec.dtype == "bfloat16"
        like = empty if standardised else empty[:0]
        self._met = like.to(torch.bfloat16) if half else like.clone()
        self._met_gradients = torch.zeros_like(self._met)
        folded = [by_weight[id(each.weight)] for each in standardised]
        self._met_weights = tuple(each.within(self._met).detach().requires_grad_() for each in folded)
        gains = {id(each.gain) for each in standardised}
        weights = {id(each.weight) for each in standardised}
        rest = [each for each in self._layout.tensors if id(each.parameter) not in gains | weights]
        self._leaves: list[Tensor] = [*self._met_weights, *(each.parameter for each in rest)]
        self._places = [each.within(self._met_gradients) for each in folded]
        self._places += [each.within(self._gradients) for each in rest]
        self._rows: list[StandardisedRows] = [
            rows_of(block, starts, empty.device, empty.dtype) for block in self._layout.blocks if block.standardised
        ]
        self._facts: list[Facts] = []


def _moved(each: FlatTensor, tensor: Tensor, buffer: Tensor) -> Tensor:
    """``tensor`` as its part of ``buffer``."""
    return each.within(buffer).copy_(tensor)
