"""One trial, from its spec to its result: the composition root, where everything is built by name."""

from __future__ import annotations

import dataclasses
import io
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from levelfield import __version__
from levelfield.compute.analytic import count
from levelfield.data.loader import Batch, Loader, training_order
from levelfield.data.sources import Source, near
from levelfield.families.registry import build, parameter_depth, parameter_role, parse
from levelfield.records.code_version import code_version
from levelfield.records.codec import to_plain
from levelfield.records.data import Split
from levelfield.records.difference import refuse_other_data, refuse_other_start
from levelfield.records.errors import SpecError
from levelfield.records.execution import DEFAULT_EXECUTION, Execution, ExecutionSpec
from levelfield.records.sealed import write_record
from levelfield.records.store import TrialDirectory
from levelfield.records.trial import HeldOutLoss, TrialResult, TrialSpec, TrialTiming
from levelfield.records.writing import write_atomically
from levelfield.study.execute.executed import executions_of
from levelfield.study.execute.stopping import HeldSignals, held_signals
from levelfield.tasks.base import Task
from levelfield.tasks.registry import build_task
from levelfield.train.checkpoint import CheckpointFolder
from levelfield.train.device import compute_as_recorded
from levelfield.train.evaluate import evaluate
from levelfield.train.loop import training_steps
from levelfield.train.metrics import MetricsLog
from levelfield.train.policy import policy_table
from levelfield.train.state import TrainState, keyed_seed
from levelfield.train.step import StepReport, TrainingStep
from levelfield.train.timing import Stopwatch
from levelfield.transfer.backbone import PretrainedBackbone
from levelfield.transfer.surgery import assembled, graft
from levelfield.weights.kept import KeptFacts, NetworkFacts, keep_weights
from levelfield.weights.loaded import weights_digest

LOGGED_STEPS = 100
# The training loss of the record is the mean over this last share of the run: one batch says little.
_LAST_SHARE = 0.1

OnStep = Callable[[StepReport], None]


def run_trial(
    spec: TrialSpec,
    directory: TrialDirectory,
    source: Source,
    *,
    device: torch.device,
    execution: ExecutionSpec = DEFAULT_EXECUTION,
    backbone: PretrainedBackbone | None = None,
    test_source: Source | None = None,
    keeps_weights: bool = False,
    checkpoint_seconds: float = 30.0,
    on_step: OnStep = lambda report: None,
) -> TrialResult:
    """Train ``spec`` to its end in ``directory``, from its last checkpoint if there is one, and publish the result.

    A spec with a ``start`` needs the ``backbone`` of that identity, one with a test resolution its data there as
    ``test_source``. With ``keeps_weights`` the judged weights stay beside the result. Results do not depend on when the
    run was cut, on ``checkpoint_seconds``, or on what else the machine does; on the ``execution`` they do by rounding,
    and one that was begun keeps to its own.

    Raises:
        SpecError, DataError: the trial cannot be meant, or an image is corrupt.
        StoreError: the directory cannot be written or holds another trial, or the data is not what the spec names.
    """
    started = time.perf_counter()
    compute_as_recorded()
    for seen in (source, test_source or source):
        refuse_other_data(spec.data_content, seen.fingerprint, where=f"trial {spec.name}")
    source, test_source = near(source, device), near(test_source or source, device)
    directory.open(spec)
    start = backbone.digest if backbone else None
    checkpoints = CheckpointFolder(
        directory.path / "checkpoints", trial=spec.fingerprint, data=source.fingerprint, start=start
    )
    saved = checkpoints.load_latest()
    executions = executions_of(execution, saved, device)
    torch.set_num_threads(executions[-1].threads)
    task = build_task(spec.task, spec.recipe)
    state = build_state(spec, source, device=device, backbone=backbone)
    if spec.test_resolution not in (None, test_source.resolution):
        raise SpecError(f"trial {spec.name} is judged at {spec.test_resolution} px, not at {test_source.resolution}")
    write_record(directory.policy_path, {"tensors": state.policy})
    stopwatch = Stopwatch(device)
    if saved is not None:
        state.restore(saved["state"])
        stopwatch.seconds.update(saved["seconds"])
    code = tuple(dict.fromkeys((*(saved["code"] if saved else ()), code_version())))
    metrics = MetricsLog(
        directory.metrics_path, lines=saved["metrics"] if saved else (), resumed_step=state.step, num_steps=spec.steps
    )
    begun = directory.begin(spec, lost_steps=metrics.lost_steps)

    step = TrainingStep(spec, task, device=device)
    batches = training_batches(spec, source, start_step=state.step, prefetch=executions[-1].prefetch)
    reports = training_steps(state, step, batches, num_steps=spec.steps, stopwatch=stopwatch)
    diverged = ""
    with held_signals() as held:
        made_by = {"code": list(code), "executions": to_plain(executions)}
        kept = _checkpointed(
            reports,
            state,
            metrics,
            checkpoints,
            stopwatch,
            every_seconds=checkpoint_seconds,
            made_by=made_by,
            held=held,
        )
        for report in kept:
            if not report.finite:
                diverged = f"loss {report.loss}, gradient norm {report.gradient_norm} after {report.step} steps"
            elif report.step % max(1, spec.steps // LOGGED_STEPS) == 0 or report.step == spec.steps:
                metrics.append(report)
            on_step(report)

    held_out: dict[Split, HeldOutLoss] = {}
    if not diverged:
        with stopwatch.charge("evaluate"):
            judged = _judge(spec, state, task, test_source, directory, device)
        if math.isfinite(judged.loss):
            held_out[spec.held_out] = judged
        else:  # the last update may be the one that broke it
            diverged = f"held-out loss {judged.loss} after {state.step} steps"
        if keeps_weights and not diverged:
            keep_weights(directory, state.model, _kept_facts(spec, source))
    result = _result(spec, state, source, held_out, reason=diverged, executions=executions)
    result = dataclasses.replace(
        result,
        start_flops=None if backbone is None else backbone.train_flops,
        start_weights=start,
        kept=directory.digests(spec),
    )
    timing = TrialTiming(
        fingerprint=spec.fingerprint,
        device=result.execution.device,
        device_seconds=stopwatch.seconds["step"],
        data_seconds=stopwatch.seconds["data"],
        evaluate_seconds=stopwatch.seconds["evaluate"],
        wall_seconds=time.perf_counter() - started,
        attempts=begun.attempts,
        lost_steps=begun.lost_steps,
        code_version=" then ".join(code),
    )
    directory.finish(result, timing)
    checkpoints.drop()
    return result


def held_result(
    directory: TrialDirectory, source: Source, backbone: PretrainedBackbone | None = None
) -> TrialResult | None:
    """The outcome of a trial on ``source``, from ``backbone``, that is done; None where it is not.

    Raises:
        DamagedError: it is damaged, or of another trial.
        StoreError: it is of other data, or of other weights to start from.
    """
    result = directory.result()
    if result is not None:
        refuse_other_data(result.data_fingerprint, source.fingerprint, where=directory.path)
        refuse_other_start(result.start_weights, backbone.digest if backbone else None, where=directory.path)
    return result


def _checkpointed(
    reports: Iterator[StepReport],
    state: TrainState,
    metrics: MetricsLog,
    checkpoints: CheckpointFolder,
    stopwatch: Stopwatch,
    *,
    every_seconds: float,
    made_by: dict[str, Any],
    held: HeldSignals,
) -> Iterator[StepReport]:
    """Pass ``reports`` on, saving every so often the state, its trace, what it cost so far, and what it was
    ``made_by``.

    A signal that was ``held`` back ends the trial after the step, with its state saved.
    """
    saved_at = time.monotonic()
    for report in reports:
        yield report
        if report.finite and (held or time.monotonic() - saved_at >= every_seconds):
            costs = {"seconds": dict(stopwatch.seconds), "metrics": list(metrics.lines)}
            checkpoints.save(state.step, {"state": state.to_plain(), **costs, **made_by})
            saved_at = time.monotonic()
        if held:
            held.let_go()


def build_state(
    spec: TrialSpec, source: Source, *, device: torch.device, backbone: PretrainedBackbone | None = None
) -> TrainState:
    """The initial state of a trial: the same weights for the same spec, on any device.

    Raises:
        SpecError: ``backbone`` is not what the trial starts from, or does not fit it.
    """
    if spec.start != (backbone.identity if backbone else None):
        held = backbone.identity if backbone else "no weights"
        raise SpecError(f"trial {spec.name} starts from {spec.start or 'random weights'}, but was given {held}")
    torch.manual_seed(keyed_seed("init", spec.seed))
    model = build(
        spec.architecture,
        num_outputs=source.num_classes,
        resolution=source.resolution,
        in_channels=source.in_channels,
        dropout=spec.recipe.dropout,
        stochastic_depth=spec.recipe.stochastic_depth,
    ).to(device)
    model.train()
    family = parse(spec.architecture)
    if backbone is not None:
        graft(model, family, backbone)
    parameters = dict(model.named_parameters())
    roles = {name: parameter_role(family, name) for name in parameters}
    depths = {name: parameter_depth(family, name) for name in parameters}
    return TrainState(model, spec, policy_table(parameters, roles, spec.recipe, depths=depths))


def training_batches(spec: TrialSpec, source: Source, *, start_step: int, prefetch: int = 0) -> Iterator[Batch]:
    """The batches of a trial from ``start_step`` on, ``prefetch`` runs of them rendered ahead."""
    return iter(
        Loader(
            source,
            order=training_order(source, spec.seed, multiplicity=spec.recipe.multiplicity),
            global_batch_size=spec.global_batch_size,
            start_examples=start_step * spec.global_batch_size,
            prefetch=prefetch,
        )
    )


def _kept_facts(spec: TrialSpec, source: Source) -> KeptFacts:
    network = NetworkFacts(
        architecture=parse(spec.architecture).text,
        resolution=source.resolution,
        num_outputs=source.num_classes,
        in_channels=source.in_channels,
        classes=tuple(source.class_names),
    )
    return KeptFacts(network=network, trial=spec.fingerprint, data=source.fingerprint)


def _judge(
    spec: TrialSpec, state: TrainState, task: Task, source: Source, directory: TrialDirectory, device: torch.device
) -> HeldOutLoss:
    """The held-out loss of the weights that the spec names; winners keep loss and hit of every example."""
    if spec.weights == "ema" and state.average is not None:
        state.average.load_into(list(state.parameters.values()))
    model = state.model
    if spec.test_resolution is not None:
        family, channels = parse(spec.architecture), source.in_channels
        model = assembled(family, state.parameters, resolution=spec.test_resolution, in_channels=channels).to(device)
    judged = evaluate(model, task, source, spec.held_out, device=device, dtype=spec.dtype)
    if spec.held_out == "report" and math.isfinite(judged.mean.loss):
        for path, each in ((directory.report_losses_path, judged.losses), (directory.report_hits_path, judged.hits)):
            buffer = io.BytesIO()
            np.save(buffer, each)
            write_atomically(path, buffer.getvalue())
    return judged.mean


def _result(
    spec: TrialSpec,
    state: TrainState,
    source: Source,
    held_out: dict[Split, HeldOutLoss],
    *,
    reason: str,
    executions: tuple[Execution, ...],
) -> TrialResult:
    counted = count(
        spec.architecture, resolution=source.resolution, num_outputs=source.num_classes, in_channels=source.in_channels
    )
    examples_seen = state.step * spec.global_batch_size
    forward_flops = count(
        spec.architecture,
        resolution=spec.test_resolution or source.resolution,
        num_outputs=source.num_classes,
        in_channels=source.in_channels,
    ).forward_flops
    last = state.losses[-max(1, round(_LAST_SHARE * spec.steps)) :]
    return TrialResult(
        fingerprint=spec.fingerprint,
        status="diverged" if reason else "finished",
        reason=reason,
        params=counted.params,
        steps=state.step,
        examples_seen=examples_seen,
        epochs=examples_seen / spec.recipe.multiplicity / source.split_sizes["train"],
        train_flops=state.step * spec.gradient_examples_per_step * counted.train_flops_per_example,
        evaluate_flops=sum(source.split_sizes[split] for split in held_out) * forward_flops,
        train_loss=float(np.mean(last)) if last else None,
        held_out=held_out,
        chance_loss=source.chance_loss,
        floor_loss=source.floor_loss,
        masked_examples=state.masked_examples,
        seen_digest=state.seen.digest,
        data_fingerprint=source.fingerprint,
        executions=executions,
        levelfield_version=__version__,
        weights_digest=None if reason else weights_digest(parse(spec.architecture).text, state.parameters),
    )
