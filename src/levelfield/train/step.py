"""One optimiser update: forward, backward, finite check, clip, step, average. Sharpness-aware ones climb first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from levelfield.data.audit import SeenAudit
from levelfield.data.draws import draw_bits, key_words
from levelfield.data.loader import Batch
from levelfield.data.order import shard
from levelfield.records.errors import SpecError
from levelfield.records.fields import OWN_SHARE, PARTNER
from levelfield.records.trial import NOISE_VERSION, TrialSpec
from levelfield.tasks.base import Fields, MixingTask, Task, answers
from levelfield.train.cuts import own_parts
from levelfield.train.device import sent
from levelfield.train.ranks import ALONE, Ranks
from levelfield.train.recomputed import parts_of, recomputed
from levelfield.train.schedules import warmup_cosine
from levelfield.train.shared_statistics import statistics_over
from levelfield.train.sharpness import climbed
from levelfield.train.state import TrainState
from levelfield.train.statistics import sharing_examples, sharing_parts
from levelfield.train.update import ParameterSide, PlainSide


@dataclass(frozen=True, kw_only=True)
class StepReport:
    """What one step did. ``step`` counts updates, this one included; a step that is not finite changed no weight.

    ``loss`` is the one whose gradient was followed: of a sharpness-aware step, the loss where it had climbed to.
    """

    step: int
    loss: float
    learning_rate: float
    gradient_norm: float
    finite: bool


_STREAM = ""
"""The field of an example's stream: a name that no source has."""


class TrainingStep:
    """The update of one trial, for any family and task: it knows tensors by their policy, and fields by their names.

    ``side`` is what becomes of gradients, by the plain rules where it is left out. Each of ``ranks`` takes its share of
    every batch, and runs no more than ``microbatch_size`` examples forward and backward at a time: one after another,
    or where their losses do not add up by :mod:`levelfield.train.recomputed`.

    Raises:
        SpecError: it would cut batches into parts whose losses do not add up, or mix what the task cannot learn of.
    """

    def __init__(
        self,
        spec: TrialSpec,
        task: Task,
        *,
        device: torch.device,
        side: ParameterSide | None = None,
        ranks: Ranks = ALONE,
        microbatch_size: int | None = None,
    ) -> None:
        cut_by = "sam_fraction" if 0 < spec.recipe.ascent_share < 1 else ""
        if spec.recipe.ghost_batch_size not in (None, spec.global_batch_size):
            cut_by = "ghost_batch_size"
        if not ranks.alone:
            cut_by = "num_devices"
        if cut_by and not task.additive:
            raise SpecError(f"{cut_by} cuts a batch into parts, but the loss of task {spec.task!r} is of whole batches")
        self._names, self._loss = task.fields, task.loss
        if spec.recipe.mixes:
            if not isinstance(task, MixingTask):
                raise SpecError(f"mixup_alpha and cutmix_alpha mix labels, of which task {spec.task!r} has none")
            self._names, self._loss = (*task.fields, PARTNER, OWN_SHARE), task.mixed_loss
        self.spec = spec
        self.task = task
        self.device = device
        self.ranks = ranks
        self.side = side or PlainSide(spec)
        self.microbatch_size = microbatch_size
        self.warmup_steps = round(spec.recipe.warmup_fraction * spec.steps)

    def __call__(self, state: TrainState, batch: Batch) -> StepReport:
        learning_rate = self.learning_rate(state.step)
        loss = self.gradient(state, batch)
        norm = self.side.gradient_norm(state)
        # One synchronisation a step: a loss or gradient that is not finite must never reach the weights of any rank.
        loss_value, norm_value = self.ranks.first_of(torch.stack((loss.float(), norm.float()))).tolist()
        finite = math.isfinite(loss_value) and math.isfinite(norm_value)
        if finite:
            self.side.update(state, norm, learning_rate)
            state.losses.append(loss_value)
            seen, masked = self.ranks.seen(batch.audited(SeenAudit()), int((~batch.valid).sum()))
            state.seen, state.masked_examples = state.seen + seen, state.masked_examples + masked
        return StepReport(
            step=state.step, loss=loss_value, learning_rate=learning_rate, gradient_norm=norm_value, finite=finite
        )

    def learning_rate(self, step: int) -> float:
        """That of the update after ``step`` of them."""
        progress = warmup_cosine(step, num_steps=self.spec.steps, warmup_steps=self.warmup_steps)
        return self.spec.recipe.peak_lr * progress

    def fields(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Those fields of the batch that the task wants, on the device."""
        return {name: sent(batch.fields[name], self.device) for name in self._names}

    def inputs(self, state: TrainState, batch: Batch) -> tuple[Fields, torch.Tensor, torch.Tensor]:
        """What a step takes of its batch, on the device: fields, which examples are whole, and what they drop by."""
        streams = noise_streams(self.spec.seed, state.step, batch.positions)
        return self.fields(batch), sent(batch.valid, self.device), sent(streams, self.device)

    def gradient(self, state: TrainState, batch: Batch) -> torch.Tensor:
        """Leave the gradient to follow in the parameters, and give back its loss.

        A sharpness-aware step runs the examples of its ascent as a part of their own, both times, so that they meet the
        same dropout and the same dropped branches at both points.
        """
        recipe, whole = self.spec.recipe, len(batch) if self.ranks.alone else self.spec.global_batch_size
        parts, climbing = sharing_parts(whole, recipe.ascent_examples(whole), recipe.ghost_batch_size)
        if recipe.sam_rho is None:
            return self._backward(state, batch, parts)
        self._backward(state, batch, parts[:climbing])
        with climbed(list(state.parameters.values()), rho=recipe.sam_rho):
            return self._backward(state, batch, parts)

    def _backward(self, state: TrainState, batch: Batch, parts: Sequence[slice]) -> torch.Tensor:
        """Add up the gradient of the mean loss over ``parts`` of the global batch, of which ``batch`` is a share.

        What an example drops is its own, whatever part it is in. Masked examples add nothing to the loss, and nothing
        to statistics that the examples of a part share.
        """
        parts = self._own(batch, parts)
        fields, valid, streams = self.inputs(state, batch)
        self.side.clear(state)
        run = slice(parts[0].start, parts[-1].stop) if parts else slice(0)
        cut, weighs = len(parts) > 1 or not self.ranks.alone, torch.ones(())
        if cut:
            weighs = _at_least_one(self.ranks.total(self.task.weight(_rows(fields, run), valid[run])))
        shared, losses = self._shared_by_ranks(state), []
        for part in parts:
            held, whole = {**_rows(fields, part), _STREAM: streams[part]}, valid[part]
            if state.shares_statistics and not shared:
                held, whole = sharing_examples(held, whole)
            together = statistics_over(self.ranks, state.model, whole) if shared else nullcontext()
            half = torch.autocast(self.device.type, torch.bfloat16, enabled=self.spec.dtype == "bfloat16")
            with half, together:
                loss, weight = self._mean_loss(state, held, whole)
            if cut:
                loss = loss * (weight / weighs)
            loss.backward()
            losses.append(loss.detach())
        summed = losses[0] if len(losses) == 1 else torch.stack(losses or [torch.zeros((), device=self.device)]).sum()
        return self.ranks.sum_gradients(self.side.leaves(state), summed)

    def _own(self, batch: Batch, parts: Sequence[slice]) -> Sequence[slice]:
        """Those of ``parts`` that this rank runs, and how: a piece of its share at a time."""
        at_once = self.microbatch_size if self.task.additive else None
        if self.ranks.alone and at_once is None:
            return parts
        share = range(len(batch))
        if not self.ranks.alone:
            share = shard(0, self.spec.global_batch_size, self.ranks.rank, self.ranks.size)
        return own_parts(parts, share, at_once)

    def _shared_by_ranks(self, state: TrainState) -> bool:
        """Whether the examples that share statistics lie on several ranks: then they are all of the batch."""
        group = self.spec.recipe.ghost_batch_size or self.spec.global_batch_size
        return state.shares_statistics and not self.ranks.alone and group >= self.spec.global_batch_size

    def _mean_loss(self, state: TrainState, fields: Fields, valid: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The mean loss of a part, and what it weighs."""

        def run(rows: slice) -> torch.Tensor:
            held = _rows(fields, rows)
            with state.noise.drawn_from(held.pop(_STREAM)), self.side.weights_met(state):
                return answers(self.task, state.model, held)

        outputs = recomputed(run, parts_of(len(valid), self.microbatch_size), device=self.device)
        weight = self.task.weight(fields, valid)
        return self._loss(outputs, fields, valid, self.spec.recipe) / _at_least_one(weight), weight


def noise_streams(seed: int, step: int, positions: NDArray[np.int64]) -> torch.Tensor:
    """The streams that the examples at ``positions`` of a run drop by in ``step``: int64 [examples]."""
    words = draw_bits(key_words(1, "noise", NOISE_VERSION, seed, step), positions, 1)[:, 0]
    return torch.from_numpy(words.view(np.int64))


def _rows(fields: Fields, part: slice) -> dict[str, torch.Tensor]:
    return {name: field[part] for name, field in fields.items()}


def _at_least_one(weight: torch.Tensor) -> torch.Tensor:
    """Where nothing weighs anything the loss is 0, and stays so."""
    return torch.where(weight > 0, weight, 1)
