"""The parameter side of SGD and of AdamW in two passes over memory, by our own kernels: for a CPU.

Weights are standardised by the update that changed them, while their rows are in the cache; the forward pass meets the
result, in bfloat16 where the trial computes in it, and gradients reach that. What torch keeps (parameters, momentum,
average) stays where it is, so checkpoints know no engine.

Source: docs/decisions/0027-engines.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from levelfield.families.base import StandardisedWeight, Standardising
from levelfield.families.gelu import gelu_by
from levelfield.native.library import FACTS, SCALE, TENSOR_ROW, Kernels
from levelfield.records.errors import SpecError
from levelfield.records.trial import TrialSpec
from levelfield.train.averaging import ema_decay
from levelfield.train.clipping import unit_axis
from levelfield.train.optimizers import ADAM_EPS, decay_handed
from levelfield.train.state import TrainState
from levelfield.train.update import PlainSide

_NORM_FLOOR = 1e-6
"""Of train/clipping.py, against division by zero."""

_MOMENTS = {
    "sgd": {"momentum": "momentum_buffer"},
    "adamw": {"momentum": "exp_avg", "square": "exp_avg_sq"},
}
"""What torch's optimisers keep, by the field of a row that it lies in."""

Table: TypeAlias = Any
"""A NumPy array of TENSOR_ROW [tensors]."""


def can_update(spec: TrialSpec) -> bool:
    """Whether the kernels know the recipe's update: SGD with momentum, or AdamW, that climbs nowhere first."""
    recipe = spec.recipe
    return (recipe.optimizer == "adamw" or recipe.momentum > 0) and recipe.sam_rho is None


class LeanForward(PlainSide):
    """The plain side, under which forward passes take the kernels' gelu: for recipes of another kind."""

    def __init__(self, spec: TrialSpec, kernels: Kernels) -> None:
        super().__init__(spec)
        self.kernels = kernels

    def weights_met(self, state: TrainState) -> AbstractContextManager[None]:
        return gelu_by(self.kernels)


class LeanSide:
    """See the module, and :class:`levelfield.train.update.ParameterSide`. Rows are shared out over ``threads``."""

    def __init__(self, spec: TrialSpec, kernels: Kernels, *, threads: int = 1) -> None:
        self.spec, self.kernels = spec, kernels
        self._pool = ThreadPoolExecutor(threads, "levelfield-lean") if threads > 1 else None
        self._threads = threads
        self._gelu = kernels if threads == 1 else None  # torch's own shares itself out
        self._met: tuple[Tensor, ...] = ()
        self._of: object = None
        self._scales: dict[str, Tensor] = {}

    def clear(self, state: TrainState) -> None:
        self._take_up(state)
        for tensor in self._graded:
            tensor.grad = None

    def leaves(self, state: TrainState) -> Sequence[Tensor]:
        return self._graded

    @contextmanager
    def weights_met(self, state: TrainState) -> Iterator[None]:
        model: Any = state.model
        with gelu_by(self._gelu), model.meeting(self._met) if self._met else nullcontext():
            yield

    def gradient_norm(self, state: TrainState) -> Tensor:
        for tensor, place in zip(self._graded, self._table_places, strict=True):
            gradient = tensor.grad
            if gradient is None:
                raise ValueError("every trained parameter needs a gradient; a frozen one must not be listed")
            if gradient.stride() != tensor.stride():
                tensor.grad = gradient = torch.empty_like(tensor).copy_(gradient)
            assert gradient.dtype == tensor.dtype
            self._table["gradient"][place] = gradient.data_ptr()
        squares = sum(each[0] for table in self._in_turn for each in self._over(self.kernels.measure, table))
        return torch.tensor(math.sqrt(squares) if squares >= 0 else math.nan, dtype=torch.float64)

    def update(self, state: TrainState, norm: Tensor, learning_rate: float) -> None:
        recipe, scale = self.spec.recipe, 1.0
        if recipe.global_clip_norm is not None:
            scale = min(1.0, recipe.global_clip_norm / max(float(norm), _NORM_FLOOR))
        state.step += 1
        decay = ema_decay(state.step, num_steps=self.spec.steps, fraction=recipe.ema_fraction) if state.average else 1.0
        self._table["rate"] = learning_rate * self._lr_scales

        if self._counts:
            torch._foreach_add_(self._counts, 1)

        def step(table: Table) -> None:
            taken = 1.0 - decay
            if recipe.optimizer == "sgd":
                how = {"momentum": recipe.momentum, "nesterov": recipe.nesterov}
                self.kernels.update(table, scale=scale, taken=taken, **how)
            else:
                betas = recipe.beta1, recipe.beta2
                self.kernels.update_adam(table, scale=scale, betas=betas, step=state.step, eps=ADAM_EPS, taken=taken)

        for table in reversed(self._in_turn):  # gains before the weights that they are part of
            self._over(step, table)

    def scales(self, state: TrainState) -> Mapping[str, Tensor]:
        return self._scales

    def _over(self, call: Callable[[Table], Any], table: Table) -> list[Any]:
        """``call`` on the tensors of ``table``, on so many threads."""
        if self._pool is None or len(table) < 2:
            return [call(table)]
        ends = np.cumsum(table["rows"] * table["size"])
        cuts = np.searchsorted(ends, ends[-1] * np.arange(1, self._threads) / self._threads)
        return list(self._pool.map(call, np.split(table, np.unique(cuts))))

    def _take_up(self, state: TrainState) -> None:
        """Write the table of ``state``'s tensors, unless it is of just these; restoring a state replaces momenta."""
        if self._of is state.optimizer.state:
            return
        self._of = state.optimizer.state
        names = {id(parameter): name for name, parameter in state.parameters.items()}
        standardised = _all_trained(state, names)
        half = self.spec.dtype == "bfloat16"
        self._met = tuple(
            torch.empty_like(each.weight, dtype=torch.bfloat16 if half else torch.float32).requires_grad_()
            for each in standardised
        )
        folded = {id(each.weight): place for place, each in enumerate(standardised)}
        self._gain_gradients = {id(each.gain): torch.empty_like(each.gain) for each in standardised}
        rest = [name for name, parameter in state.parameters.items() if id(parameter) not in folded]
        order = [names[id(each.weight)] for each in standardised] + rest
        self._table: Table = np.zeros(len(order), dtype=TENSOR_ROW)
        self._facts = [self._write(place, name, state) for place, name in enumerate(order)]
        self._scales = {
            name: facts[:, SCALE]
            for name, facts, clip_lambda in zip(order, self._facts, self._table["clip_lambda"], strict=True)
            if clip_lambda > 0
        }
        for place, (each, met) in enumerate(zip(standardised, self._met, strict=True)):
            self._write_standardised(self._table[place], each, met)
        policy = {row.name: row for row in state.policy}
        self._lr_scales = np.array([policy[name].lr_scale for name in order], dtype=np.float32)
        plain = [place for place, name in enumerate(order) if id(state.parameters[name]) not in self._gain_gradients]
        self._table_places = plain
        self._graded: list[Tensor] = [
            self._met[place] if place < len(self._met) else state.parameters[order[place]] for place in plain
        ]
        self._in_turn = [table for table in np.split(self._table, [len(standardised)]) if len(table)]
        self._counts = _counts(state) if self.spec.recipe.optimizer == "adamw" else []
        with torch.no_grad():
            self.kernels.standardise(self._table)

    def _write(self, place: int, name: str, state: TrainState) -> Tensor:
        """The row of a tensor as it is, and the scratch that it needs."""
        parameter, row = state.parameters[name], self._table[place]
        policy = next(each for each in state.policy if each.name == name)
        rows = parameter.shape[0] if unit_axis(parameter) == 0 else 1
        facts = torch.zeros(rows, FACTS)
        row["weight"], row["facts"] = parameter.data_ptr(), facts.data_ptr()
        held = state.optimizer.state[parameter]
        for field, moment in _MOMENTS[self.spec.recipe.optimizer].items():
            if held.get(moment) is None:
                held[moment] = torch.zeros_like(parameter)
            held[moment] = _laid_out(held[moment], parameter)
            row[field] = held[moment].data_ptr()
        if state.average:
            number = list(state.parameters).index(name)
            state.average.averages[number] = average = _laid_out(state.average.averages[number], parameter)
            row["average"] = average.data_ptr()
        row["rows"], row["size"] = rows, parameter.numel() // rows
        recipe = self.spec.recipe
        row["clip_lambda"] = recipe.agc_lambda if policy.clipped and recipe.agc_lambda is not None else 0.0
        row["clip_eps"] = recipe.agc_eps
        row["decay"] = decay_handed(recipe) if policy.decayed else 0.0
        if id(parameter) in self._gain_gradients:
            row["gradient"] = self._gain_gradients[id(parameter)].data_ptr()
        return facts

    def _write_standardised(self, row: Any, each: StandardisedWeight, met: Tensor) -> None:
        row["gain"], row["standardised"] = each.gain.data_ptr(), met.data_ptr()
        row["gain_gradient"] = self._gain_gradients[id(each.gain)].data_ptr()
        row["input_scale"], row["floor"], row["added"] = each.input_scale, each.floor, each.added
        row["gradient_bfloat16"] = row["standardised_bfloat16"] = met.dtype == torch.bfloat16


def _counts(state: TrainState) -> list[Tensor]:
    """The count of steps that torch's AdamW keeps beside every parameter."""
    held = [state.optimizer.state[parameter] for parameter in state.parameters.values()]
    for each in held:
        each.setdefault("step", torch.zeros((), dtype=torch.float32))
    return [each["step"] for each in held]


def _all_trained(state: TrainState, names: dict[int, str]) -> Sequence[StandardisedWeight]:
    """The standardised weights of the network, where all of them are trained."""
    model = state.model
    found = model.standardised_parameters() if isinstance(model, Standardising) else ()
    trained = all(id(each.weight) in names and id(each.gain) in names for each in found)
    return found if trained else ()


def _laid_out(tensor: Tensor, like: Tensor) -> Tensor:
    """``tensor`` with its numbers in memory in the order of ``like``, whose units lie one after the other."""
    if not (like.is_contiguous() or like.is_contiguous(memory_format=torch.channels_last)):
        raise SpecError(
            f"the lean engine steps tensors whose units lie one after another, and one of shape {tuple(like.shape)} "
            f"has strides {like.stride()}: say execution.engine = 'plain'"
        )
    return tensor if tensor.stride() == like.stride() else torch.empty_like(like).copy_(tensor)
