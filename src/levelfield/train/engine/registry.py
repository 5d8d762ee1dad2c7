"""The engines there are, by name: which of them a machine has, and what of a step each takes over."""

from __future__ import annotations

import torch

from levelfield.native.library import kernels
from levelfield.records.errors import SpecError
from levelfield.records.execution import Engine, Execution
from levelfield.records.trial import TrialSpec
from levelfield.tasks.base import Task
from levelfield.train.cuts import refuse_cuts
from levelfield.train.engine.graph.step import GraphUpdate
from levelfield.train.engine.lean import LeanForward, LeanSide, can_update
from levelfield.train.lagging import LaggingStep, PlainUpdate
from levelfield.train.ranks import ALONE, Ranks
from levelfield.train.state import TrainState
from levelfield.train.step import TrainingStep
from levelfield.train.update import ParameterSide, PlainSide

GRAPH_VERSION = "1"
"""Of the graph engine's numbers: whoever changes what it computes counts it up."""


def engine_here(asked: Engine, device: torch.device, ranks: Ranks = ALONE) -> tuple[Engine, str | None]:
    """The engine that ``asked`` means on the ``device`` of each of ``ranks``, and what identifies its code beside
    torch's.

    Raises:
        SpecError: it cannot run here.
    """
    if asked == "graph":
        if device.type not in ("cpu", "cuda"):
            raise SpecError(f"execution.engine 'graph' runs on a GPU or a CPU, not on {device.type}: say 'plain'")
        if not ranks.alone:
            raise SpecError("execution.engine 'graph' replays the steps of one device: leave it out, or say 'plain'")
        return asked, GRAPH_VERSION
    found = kernels() if device.type == "cpu" and asked != "plain" else None
    if found is not None:
        return "lean", found.identity
    if asked == "lean":
        why = "it runs on a CPU alone" if device.type != "cpu" else "it needs a C compiler (cc, gcc or clang)"
        raise SpecError(f"execution.engine 'lean' cannot run here, {why}: leave it out, or say 'plain'")
    return "plain", None


def step_by(
    execution: Execution, spec: TrialSpec, task: Task, state: TrainState, *, device: torch.device, ranks: Ranks = ALONE
) -> TrainingStep | LaggingStep:
    """How steps of ``state`` are taken under ``execution``: where a device computes by itself, the host waits for
    none of them, but for those that several ranks take together.

    Raises:
        SpecError: see :class:`levelfield.train.step.TrainingStep`, or what belongs together would be cut.
    """
    refuse_cuts(spec, execution, shares=state.shares_statistics)
    micro = execution.microbatch_size
    if execution.engine == "graph" and not state.shares_statistics:
        return LaggingStep(GraphUpdate(spec, task, device=device, microbatch_size=micro))
    side = parameter_side(spec, execution)
    step = TrainingStep(spec, task, device=device, side=side, ranks=ranks, microbatch_size=micro)
    if not ranks.alone or device.type == "cpu" or state.shares_statistics or not isinstance(side, PlainSide):
        return step
    return LaggingStep(PlainUpdate(step, side))


def parameter_side(spec: TrialSpec, execution: Execution) -> ParameterSide:
    """What becomes of gradients under ``execution``."""
    if execution.engine != "lean":
        return PlainSide(spec)
    found = kernels()
    assert found is not None
    if can_update(spec):
        return LeanSide(spec, found, threads=execution.threads)
    return LeanForward(spec, found) if execution.threads == 1 else PlainSide(spec)
