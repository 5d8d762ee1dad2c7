"""A study on a cluster that is not at hand: how long it takes, what it keeps busy, what it stores, how often it saves.

The plan itself is run on supposed losses, as :mod:`levelfield.study.bill.supposed` does, on as many devices: a trial
begins when one is free and the plan wants it, so that what waits for results waits here, too.
"""

from __future__ import annotations

import functools
import heapq
import itertools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from levelfield.compute.analytic import count
from levelfield.compute.devices import device
from levelfield.records.codec import record
from levelfield.records.data import Split
from levelfield.records.errors import SpecError
from levelfield.records.study import StudySpec
from levelfield.records.trial import TrialSpec
from levelfield.study.bill.foretold import Speeds
from levelfield.study.bill.supposed import supposed_locked, supposed_results
from levelfield.study.facts import DataFacts
from levelfield.study.plan.candidate import cost_of
from levelfield.study.plan.plan import Planner
from levelfield.study.planned import Plan, PlannedTrial, dearest_first

FAILURE_HOURS = 54 * 24 * 16384 / 419
"""Hours of one device between two failures, 50,700: 419 in 54 days on 16,384 GPUs.
Source: "The Llama 3 Herd of Models", arXiv 2407.21783, section 3.3.4 and table 5."""
WRITTEN_A_SECOND = 1e9
"""Bytes of a checkpoint that a shared file system takes from one trial: of one node on 10 Gbit/s, about."""
STARTED_SECONDS = 10.0
"""Of every trial before its first step: imports, the device, the first batch."""
_TENSORS_KEPT = {"sgd": 3, "adamw": 4}
"""Of the size of the weights in float32 in a checkpoint: weights, moments, average."""
_STEP_BYTES, _TRIAL_BYTES, _VALUE_BYTES = 40, 40_000, 8
"""Of records: a step, a trial, a value of an example; measured on a race of CIFAR-10."""


@record
class Cluster:
    """``devices`` of one kind, ``each`` of them to one trial, at ``utilisation`` of their peak."""

    devices: int
    kind: str
    utilisation: float
    each: int = 1

    @property
    def slots(self) -> int:
        """Trials at a time."""
        return self.devices // self.each


@record
class ClusterBill:
    """What a study is expected to take on ``cluster``, in supposed courses of its plan.

    ``seconds`` pass from the first trial to the last, ``busy`` is the share of the devices' time that is worked in,
    ``longest`` the seconds of the longest trial. ``checkpoint_bytes`` lie there at the most at one time, and
    ``record_bytes`` at the end. A trial of the largest kind saves every ``save_seconds``, by which the share ``lost``
    of its time goes to saving, and to what is done again after a failure.
    """

    cluster: Cluster
    trials: int
    seconds: float
    device_hours: float
    busy: float
    longest: float
    checkpoint_bytes: float
    record_bytes: float
    save_seconds: float
    lost: float


def cluster_of(text: str, *, utilisation: float, each: int = 1) -> Cluster:
    """The cluster of a text such as "64x h100".

    Raises:
        SpecError: it is no such text, nothing is known of the device, or a trial wants more of them than there are.
    """
    found = re.fullmatch(r"\s*([1-9][0-9]*)\s*x\s*([\w.-]+)\s*", text, flags=re.IGNORECASE)
    if found is None:
        raise SpecError(f"a cluster is a number of devices of one kind, such as '64x h100'; saw {text!r}")
    if not 0 < utilisation <= 1:
        raise SpecError(f"--mfu is a share of the peak, in (0, 1]; saw {utilisation!r}")
    devices, kind = int(found[1]), device(found[2]).name
    if each > devices:
        raise SpecError(f"a trial is to take {each} devices, but there are {devices}")
    return Cluster(devices=devices, kind=kind, utilisation=utilisation, each=each)


def measured_utilisation(
    spec: StudySpec, facts: DataFacts, trials: Sequence[PlannedTrial], speeds: Speeds, *, kind: str
) -> float:
    """The share of the peak of a device of ``kind`` that ``trials`` would reach by the ``speeds`` measured on one."""
    flops = sum(trial.budget_flops for trial in trials)
    seconds = sum(speeds.of(trial.spec, held_examples=facts.held(spec.data)["select"]).step for trial in trials)
    return min(1.0, flops / (seconds * device(kind).peak("bfloat16")))


def cluster_bill(spec: StudySpec, facts: DataFacts, planned: Plan, cluster: Cluster, *, draw: int = 0) -> ClusterBill:
    """What ``spec`` is expected to take on ``cluster``, transfers left out.

    Several devices are taken to be as many times as fast as one, and data to come as fast as it is wanted.
    """
    rate = cluster.each * cluster.utilisation * device(cluster.kind).peak("bfloat16")
    held = facts.held(spec.data)

    def seconds_of(trial: PlannedTrial) -> float:
        judged = held[trial.spec.held_out] * _forward_flops(trial.spec.architecture, facts)
        return STARTED_SECONDS + (trial.budget_flops + judged) / rate

    course = _course(spec, facts, planned, cluster.slots, seconds_of, draw)
    worked = sum(map(seconds_of, course.trials))
    sizes = [_checkpoint_bytes(trial.spec, facts) for trial in course.trials]
    save, lost = saving(max(sizes) / WRITTEN_A_SECOND, failure_seconds=3600 * FAILURE_HOURS / cluster.each)
    return ClusterBill(
        cluster=cluster,
        trials=len(course.trials),
        seconds=course.seconds,
        device_hours=worked * cluster.each / 3600,
        busy=worked * cluster.each / (course.seconds * cluster.devices),
        longest=max(map(seconds_of, course.trials)),
        checkpoint_bytes=2 * sum(sorted(sizes)[-cluster.slots :]),  # one is written before the other goes
        record_bytes=sum(_record_bytes(trial.spec, facts, held) for trial in course.trials),
        save_seconds=save,
        lost=lost,
    )


def saving(write_seconds: float, *, failure_seconds: float) -> tuple[float, float]:
    """The best interval between two checkpoints, and the share of time that saving and lost work take at it.

    τ = (2 δ M)^½ (1 + (δ / 2M)^½ / 3 + δ / 18M) - δ, with δ to write one and M between failures; lost are δ / τ and,
    on average, half an interval and δ a failure. Source: Daly, "A higher order estimate of the optimum checkpoint
    interval for restart dumps", Future Generation Computer Systems 22, 2006, equation 37, after Young, 1974.
    """
    half = write_seconds / (2 * failure_seconds)
    interval = math.sqrt(2 * write_seconds * failure_seconds) * (1 + math.sqrt(half) / 3 + half / 9) - write_seconds
    interval = max(interval, write_seconds)
    return interval, write_seconds / interval + (interval / 2 + write_seconds) / failure_seconds


class _Course(NamedTuple):
    trials: list[PlannedTrial]
    seconds: float


def _course(
    spec: StudySpec,
    facts: DataFacts,
    planned: Plan,
    slots: int,
    seconds_of: Callable[[PlannedTrial], float],
    draw: int,
) -> _Course:
    """The plan on so many ``slots``, trial by trial; locked rungs when all else is known."""
    result_of = supposed_results(spec, facts, planned, draw)
    planner, ties = Planner(spec, facts, {}), itertools.count()
    waiting: list[tuple[tuple[float, str], int, PlannedTrial]] = []
    running: list[tuple[float, int, PlannedTrial]] = []
    done: list[PlannedTrial] = []
    now, locked = 0.0, list(supposed_locked(spec, facts, planned, draw))
    wanted = [trial for trial in planner.newly_wanted() if isinstance(trial, PlannedTrial)]
    while True:
        for trial in wanted:
            heapq.heappush(waiting, (dearest_first(trial), next(ties), trial))
        while waiting and len(running) < slots:
            trial = heapq.heappop(waiting)[2]
            heapq.heappush(running, (now + seconds_of(trial), next(ties), trial))
        if running:
            now, _, trial = heapq.heappop(running)
            done.append(trial)
            if trial.budget_flops not in spec.ladder.locked:
                planner.learn_all({trial.spec.fingerprint: result_of(trial)})
                wanted = [each for each in planner.newly_wanted() if isinstance(each, PlannedTrial)]
            else:
                wanted = []
        elif locked:
            wanted, locked = locked, []
        else:
            return _Course(done, now)


@functools.lru_cache(maxsize=1024)
def _forward_flops(architecture: str, facts: DataFacts) -> float:
    counted = count(architecture, resolution=facts.resolution, head=facts.head, in_channels=facts.in_channels)
    return counted.forward_flops


def _checkpoint_bytes(trial: TrialSpec, facts: DataFacts) -> float:
    params = cost_of(trial.architecture, facts.resolution, facts.head, facts.in_channels).params
    return 4.0 * params * _TENSORS_KEPT[trial.recipe.optimizer]


def _record_bytes(trial: TrialSpec, facts: DataFacts, held: Mapping[Split, int]) -> float:
    values = held["report"] * len(facts.measures) if trial.held_out == "report" else 0
    return _TRIAL_BYTES + _STEP_BYTES * trial.steps + _VALUE_BYTES * values
