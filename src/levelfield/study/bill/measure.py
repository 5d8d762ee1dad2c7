"""Measuring speeds in a process of its own, which loads torch so that planning need not.

Standard input holds :class:`AskedSpeeds`, in JSON; the last line of standard output :class:`FoundSpeeds`, or the
sentence of why nothing can be measured. Seconds are those that results record: of a CPU's own clock, or of the wall up
to the end of what a GPU was given. Every network is measured in two passes, some time apart, after steps that set up
kernels and memory; of all its steps the median counts.
"""

from __future__ import annotations

import dataclasses
import json
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch

from levelfield import __version__
from levelfield.data.loader import Batch
from levelfield.data.source import Examples
from levelfield.data.sources import Source, open_source_once
from levelfield.records.codec import from_plain, to_plain
from levelfield.records.data import Split
from levelfield.records.errors import InputError
from levelfield.records.execution import Execution
from levelfield.records.trial import TrialSpec
from levelfield.study.bill.foretold import step_flops
from levelfield.study.bill.kept_speeds import KeptDataSpeed, KeptNetworkSpeed, keep, known_data, known_network
from levelfield.study.bill.measure_data import calm, data_speed
from levelfield.study.bill.speed import (
    AskedSpeeds,
    Conditions,
    DataSpeed,
    FoundSpeeds,
    NetworkSpeed,
    Rendering,
    Shape,
    rendering_of,
    shape_of,
)
from levelfield.study.execute.executed import execution_here
from levelfield.study.execute.parts import TrialParts, put_together, training_loader
from levelfield.train.device import resolve_device
from levelfield.train.evaluate import batch_judged, evaluate
from levelfield.train.timing import Stopwatch

BUDGET_SECONDS = 18.0
"""For all that is measured; loading torch, opening data and building networks come on top, within 30."""
_MOST_EACH, _LEAST_EACH = 1.5, 0.1
"""Seconds of a network in both passes together."""
_PASSES, _WARM_UP, _LEAST_STEPS = 2, 3, 3
_RENDERED = 128
"""Examples that steps are measured on, in turn: what is in them makes no step longer."""
_FIRST_FLOPS_A_SECOND = {"cpu": 2e9, "cuda": 2e11}
"""What a step is taken to reach before any was measured: less than any does."""


def measured(asked: AskedSpeeds, *, started_seconds: float) -> FoundSpeeds:
    """The speeds that ``asked`` wants, of as many shapes as there is time for; those kept take none.

    Raises:
        InputError: there is no such device, or some of the data cannot be read.
    """
    device = resolve_device(asked.device)
    execution = execution_here(asked.execution, device)
    torch.set_num_threads(execution.threads)
    begin = time.process_time()
    open_source_once(asked.trials[0].data)
    measure = _Measuring(asked, execution, device, started_seconds + time.process_time() - begin)
    # Beside the cheapest network: what is timed of it is the data.
    dearest_first = sorted(asked.trials, key=lambda trial: -trial.budget_flops / trial.examples)
    data = {rendering_of(trial, asked.facts): trial for trial in dearest_first}
    known = {rendering: measure.data(rendering, trial) for rendering, trial in data.items()}
    return FoundSpeeds(networks=tuple(measure.networks().items()), data=tuple(known.items()))


class _Measuring:
    """Measures on one device under one execution."""

    def __init__(self, asked: AskedSpeeds, execution: Execution, device: torch.device, start_seconds: float) -> None:
        self.asked, self.execution, self.device, self.start_seconds = asked, execution, device, start_seconds
        self.conditions = Conditions(
            device=execution.device,
            torch_version=execution.torch_version,
            engine=execution.engine,
            engine_version=execution.engine_version,
            threads=execution.threads,
            levelfield_version=__version__,
        )
        self._pools: dict[Rendering, Batch] = {}

    def data(self, rendering: Rendering, trial: TrialSpec) -> DataSpeed:
        """The speed of making the examples of ``trial``, kept or measured."""
        known = None if self.asked.anew else known_data(self.conditions, rendering)
        if known is None:
            known = data_speed(trial, self.device, self.execution, self.start_seconds)
            keep(KeptDataSpeed(conditions=self.conditions, of=rendering, speed=known))
        return known

    def networks(self) -> dict[Shape, NetworkSpeed]:
        """The speeds of all shapes that are kept, and of as many others as there is time for."""
        wanted = {shape_of(trial, self.asked.facts): trial for trial in reversed(self.asked.trials)}
        found: dict[Shape, NetworkSpeed] = {}
        left = []
        for trial in reversed(wanted.values()):
            known = () if self.asked.anew else self._known(trial)
            found.update(known)
            if not known:
                left.append(trial)
        for shape, speed in self._measured(left).items():
            keep(KeptNetworkSpeed(conditions=self.conditions, of=shape, speed=speed))
            found[shape] = speed
        return found

    def _known(self, trial: TrialSpec) -> tuple[tuple[Shape, NetworkSpeed], ...]:
        """What is kept of the shape of ``trial``, else of the same at the largest batch that there was time for."""
        for each in _by_halves(trial):
            shape = shape_of(each, self.asked.facts)
            if (known := known_network(self.conditions, shape)) is not None:
                return ((shape, known),)
        return ()

    def _measured(self, wanted: Sequence[TrialSpec]) -> dict[Shape, NetworkSpeed]:
        """Of ``wanted``, the most important first, as many as there is time for, each at the batch that there is."""
        if not wanted:
            return {}
        each = min(_MOST_EACH, max(_LEAST_EACH, BUDGET_SECONDS / len(wanted))) / _PASSES
        seen: dict[Shape, _Seen] = defaultdict(_Seen)
        rates: dict[str, float] = {}
        begin = self._clock()
        for number in range(_PASSES):
            # There and back: whatever the machine does meanwhile falls on all of them.
            for trial in wanted[::-1] if number % 2 else wanted:
                spent = self._clock() - begin
                if spent > BUDGET_SECONDS * (number + 1) / _PASSES and seen:
                    continue
                fitting = self._fitting(trial, each, rates)
                self._add(seen[shape_of(fitting, self.asked.facts)], fitting, each, rates)
        return {shape: pair.speed for shape, pair in seen.items()}

    def _fitting(self, trial: TrialSpec, seconds: float, rates: Mapping[str, float]) -> TrialSpec:
        """``trial``, by halves of its batch, until some of its steps are expected within ``seconds``."""
        slowest = _FIRST_FLOPS_A_SECOND.get(self.device.type, _FIRST_FLOPS_A_SECOND["cpu"])
        rate = rates.get(trial.family, slowest)
        for smaller in _by_halves(trial):
            trial = smaller
            if step_flops(shape_of(trial, self.asked.facts)) / rate * (_WARM_UP + _LEAST_STEPS) <= 2 * seconds:
                break
        return trial

    def _add(self, seen: _Seen, trial: TrialSpec, seconds: float, rates: dict[str, float]) -> None:
        """Take steps of ``trial`` for about ``seconds``, and evaluate some examples once."""
        parts = put_together(calm(trial), open_source_once(trial.data), device=self.device, execution=self.execution)
        stopwatch, batch = Stopwatch(self.device), self._batch(parts)
        spent, steps = 0.0, []
        while len(steps) < _WARM_UP + _LEAST_STEPS or spent < seconds:
            with stopwatch.charge("step"):
                parts.step(parts.state, batch)
            steps.append(stopwatch.seconds["step"] - spent)
            spent = stopwatch.seconds["step"]
            if spent > 2 * seconds and len(steps) > 1:
                break
        seen.steps += steps[min(_WARM_UP, len(steps) - 1) :]
        rates[trial.family] = step_flops(shape_of(trial, self.asked.facts)) / statistics.median(seen.steps)
        most = round(seconds / 2 / (statistics.median(seen.steps) / trial.global_batch_size / 3))
        examples = max(1, min(batch_judged(trial.head, parts.judged_on.resolution), most))
        seen.evaluated.append(self._evaluated(parts, batch, examples) / examples)

    def _evaluated(self, parts: TrialParts, batch: Batch, examples: int) -> float:
        stopwatch, held = Stopwatch(self.device), cast(Source, _Made(parts.source, batch, examples))
        if parts.state.average is not None:
            parts.state.average.load_into(list(parts.state.parameters.values()))
        with stopwatch.charge("evaluate"):
            evaluate(
                parts.state.model,
                parts.task,
                held,
                "select",
                device=self.device,
                dtype=parts.spec.dtype,
                batch_size=examples,
            )
        return stopwatch.seconds["evaluate"]

    def _batch(self, parts: TrialParts) -> Batch:
        """A global batch of ``parts``, made of a few examples over and over."""
        rendering, spec = rendering_of(parts.spec, self.asked.facts), parts.spec
        if rendering not in self._pools:
            self._pools[rendering] = next(iter(training_loader(_rendered_alone(spec), parts.source, start_step=0)))
        pool = self._pools[rendering]
        rows = np.resize(np.arange(len(pool)), spec.global_batch_size)
        return Batch(
            positions=np.arange(len(rows)),
            epochs=pool.epochs[rows],
            ids=pool.ids[rows],
            augment_keys=pool.augment_keys[rows],
            fields={name: field[rows] for name, field in pool.fields.items()},
            valid=pool.valid[rows],
        )

    def _clock(self) -> float:
        return time.process_time() if self.device.type == "cpu" else time.perf_counter()


class _Seen:
    """What was measured of one shape by now."""

    def __init__(self) -> None:
        self.steps: list[float] = []
        self.evaluated: list[float] = []

    @property
    def speed(self) -> NetworkSpeed:
        return NetworkSpeed(
            step_seconds=statistics.median(self.steps), evaluate_seconds=statistics.median(self.evaluated)
        )


class _Made:
    """``examples`` made of those of a batch, as a source of held-out ones that takes no time."""

    def __init__(self, source: Source, batch: Batch, examples: int) -> None:
        self._source, self._batch = source, batch
        self.split_sizes: Mapping[Split, int] = {**source.split_sizes, "select": examples}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def batch(self, split: Split, ids: Any, augment_keys: Any = None) -> Examples:
        rows = ids % len(self._batch)
        fields = {name: field[rows] for name, field in self._batch.fields.items()}
        return Examples(fields, self._batch.valid[rows].numpy())


def _by_halves(trial: TrialSpec) -> Iterator[TrialSpec]:
    """``trial``, and the same at half its batch again and again, as far as its recipe allows."""
    while True:
        yield trial
        if trial.global_batch_size == 1:
            return
        try:
            trial = dataclasses.replace(trial, global_batch_size=trial.global_batch_size // 2)
        except InputError:  # a part of the recipe needs a batch as large
            return


def _rendered_alone(spec: TrialSpec) -> TrialSpec:
    """``spec`` with a batch of just the examples that steps are measured on."""
    recipe = dataclasses.replace(spec.recipe, sam_rho=None, sam_fraction=1.0, ghost_batch_size=None)
    return dataclasses.replace(spec, recipe=recipe, global_batch_size=max(_RENDERED, recipe.mix_block))


def _main() -> None:
    try:
        asked = from_plain(AskedSpeeds, json.load(sys.stdin))
        answer: Any = to_plain(measured(asked, started_seconds=time.process_time()))
    except InputError as error:  # the sentence is the answer: a device that is not there, an image that is no image
        answer = str(error)
    print(json.dumps(answer))


if __name__ == "__main__":
    _main()
