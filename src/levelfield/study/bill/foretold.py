"""How long trials take, from speeds that were measured: exactly those shapes, or others near them."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from levelfield.compute.analytic import STATISTICS_EXAMPLES
from levelfield.records.codec import record
from levelfield.records.trial import TrialSpec
from levelfield.study.bill.speed import DataSpeed, NetworkSpeed, Rendering, Shape, rendering_of, shape_of
from levelfield.study.facts import DataFacts
from levelfield.study.plan.candidate import Cost, cost_of

USUAL_SLOPE = 0.8
"""How the time of a step grows with its FLOPs where one size alone was measured: as a power, below 1 since something is
fixed. Source: benchmarks/results/foretold_time_cpu_202611.md, between the sizes of both families there."""


@record
class TrialSeconds:
    """Seconds of one trial as its record tells them apart (:class:`levelfield.records.trial.TrialTiming`), and
    ``around``: what it takes beside them."""

    step: float
    data: float
    evaluate: float
    around: float

    @property
    def total(self) -> float:
        return self.step + self.data + self.evaluate + self.around


@dataclass(frozen=True, kw_only=True, eq=False)
class Speeds:
    """What was measured here for a study on the data of ``facts``: at least one shape and one rendering."""

    facts: DataFacts
    networks: Mapping[Shape, NetworkSpeed]
    data: Mapping[Rendering, DataSpeed]

    def of(self, trial: TrialSpec, *, held_examples: int) -> TrialSeconds:
        """The seconds of ``trial``, judged on ``held_examples``, in a process that has decoded its pictures before.

        What the first trial of a process takes on top is :meth:`first_seconds`.
        """
        shape, data = shape_of(trial, self.facts), self.rendering(rendering_of(trial, self.facts))
        network = self.network(shape)
        again = 1 - data.kept
        settled = STATISTICS_EXAMPLES if _cost(shape).shares_statistics else 0
        train = data.train_seconds + again * data.train_decode_seconds
        held = data.held_seconds + again * data.held_decode_seconds
        return TrialSeconds(
            step=trial.steps * network.step_seconds + settled * network.evaluate_seconds,
            data=(trial.examples + settled) * train,
            evaluate=held_examples * (network.evaluate_seconds + held),
            around=data.around_seconds,
        )

    def first_seconds(self, *, train_examples: int, held_examples: int) -> float:
        """What a process takes once: to start, and to decode the pictures of so many examples that it then keeps."""
        slowest = max(self.data.values(), key=lambda data: data.train_decode_seconds)
        train = min(train_examples, self.facts.num_train) * slowest.train_decode_seconds
        return slowest.start_seconds + slowest.kept * (train + held_examples * slowest.held_decode_seconds)

    def rendering(self, rendering: Rendering) -> DataSpeed:
        """The speed of ``rendering``: as measured, else the slowest of the others, which differ in how they augment."""
        known = self.data.get(rendering)
        return known if known is not None else max(self.data.values(), key=lambda data: data.train_seconds)

    def network(self, shape: Shape) -> NetworkSpeed:
        """The speed of ``shape``: as measured, else that of the nearest measured ones of its kind, by FLOPs a step."""
        if (known := self.networks.get(shape)) is not None:
            return known
        kind = self._alike(shape)
        seconds = _between([(step_flops(each), self.networks[each].step_seconds) for each in kind], step_flops(shape))
        near = min(kind, key=lambda each: abs(math.log(step_flops(each) / step_flops(shape))))
        # An example is evaluated in the same share of what it takes to train on it.
        each_now, each_near = (
            time / of.global_batch_size for time, of in ((seconds, shape), (self.networks[near].step_seconds, near))
        )
        evaluate = self.networks[near].evaluate_seconds * each_now / each_near
        return NetworkSpeed(step_seconds=seconds, evaluate_seconds=evaluate)

    def _alike(self, shape: Shape) -> list[Shape]:
        """Measured shapes that tell most of ``shape``: of its network, else of its family, else any."""
        for told in (
            lambda each: (each.architecture, each.recipe),
            lambda each: each.architecture,
            lambda each: (each.architecture.partition(":")[0], each.recipe),
            lambda each: each.architecture.partition(":")[0],
        ):
            if alike := [each for each in self.networks if told(each) == told(shape)]:
                return alike
        return list(self.networks)


def _between(points: Sequence[tuple[float, float]], flops: float) -> float:
    """Seconds at ``flops`` from ``points`` of (FLOPs, seconds), on lines in log-log; beyond them by their slope.

    Several points of equal FLOPs count as their median.
    """
    by_flops: dict[float, list[float]] = {}
    for at, seconds in points:
        by_flops.setdefault(at, []).append(seconds)
    xs = np.log(sorted(by_flops))
    ys = np.log([float(np.median(by_flops[at])) for at in sorted(by_flops)])
    x = math.log(flops)
    if xs[0] <= x <= xs[-1]:
        return math.exp(float(np.interp(x, xs, ys)))
    slope = min(1.0, max(0.0, float(np.polyfit(xs, ys, 1)[0]))) if len(xs) > 1 else USUAL_SLOPE
    end = 0 if x < xs[0] else -1
    return math.exp(float(ys[end] + slope * (x - xs[end])))


def _cost(shape: Shape) -> Cost:
    return cost_of(shape.architecture, shape.resolution, shape.head, shape.in_channels)


@functools.lru_cache(maxsize=4096)
def step_flops(shape: Shape) -> float:
    """Training FLOPs of one step, the ascent of a sharpness-aware one with them."""
    batch = shape.global_batch_size
    return _cost(shape).flops_per_example * (batch + shape.recipe.ascent_examples(batch))
