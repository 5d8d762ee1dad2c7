"""One trial, from its spec to its result: the composition root."""

from __future__ import annotations

import time

import torch

from levelfield.data.sources import Source
from levelfield.records.attempts import CHECKPOINTS, Attempt, attempted, complete
from levelfield.records.data import Split
from levelfield.records.difference import refuse_other_data, refuse_other_start
from levelfield.records.execution import DEFAULT_EXECUTION, ExecutionSpec
from levelfield.records.head import PixelHead, TextHead
from levelfield.records.sealed import write_record
from levelfield.records.store import TrialDirectory, TrialFiles
from levelfield.records.trial import HeldOutMeans, TrialResult, TrialSpec, TrialTiming
from levelfield.study.execute.executed import executions_of
from levelfield.study.execute.following import hand_out, hand_out_to_judge
from levelfield.study.execute.head_fit import fit_head
from levelfield.study.execute.judging import broken, judge, result_of, settle
from levelfield.study.execute.parts import TrialParts, put_together
from levelfield.study.execute.training import OnStep, taken_up
from levelfield.train.checkpoint import CheckpointFolder
from levelfield.train.device import compute_as_recorded, watch_memory
from levelfield.train.ranks import ALONE, Ranks
from levelfield.transfer.backbone import PretrainedBackbone
from levelfield.weights.kept import KeptFacts, NetworkFacts, keep_weights


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
    """Train ``spec`` to its end in ``directory``, from its last checkpoint if there is one, and publish the result; one
    that is done is read back.

    A spec with a ``start`` needs the ``backbone`` of that identity, one with a test resolution its data there as
    ``test_source``. With ``keeps_weights`` the judged weights stay beside the result. Results do not depend on when the
    run was cut, on ``checkpoint_seconds``, or on what else the machine does; on the ``execution`` they do by rounding,
    and one that was begun keeps to its own.

    Raises:
        SpecError, DataError: the trial cannot be meant, or an image is corrupt.
        StoreError: the directory cannot be written or holds another trial, is in use, or the data is not what the spec
            names.
        LeaseLostError: another process has taken the trial over.
    """
    _refuse_other_data(spec, source, test_source)
    directory.open(spec)
    complete(directory.path)
    if (done := held_result(directory, source, backbone)) is not None:
        return done
    with attempted(directory.path, spec.fingerprint) as attempt:
        return held_result(directory, source, backbone) or train_in(
            attempt,
            spec,
            directory,
            source,
            device=device,
            execution=execution,
            backbone=backbone,
            test_source=test_source,
            keeps_weights=keeps_weights,
            checkpoint_seconds=checkpoint_seconds,
            on_step=on_step,
        )


def train_in(
    attempt: Attempt,
    spec: TrialSpec,
    directory: TrialDirectory,
    source: Source,
    *,
    device: torch.device,
    execution: ExecutionSpec,
    backbone: PretrainedBackbone | None,
    test_source: Source | None,
    keeps_weights: bool,
    checkpoint_seconds: float,
    on_step: OnStep,
    until: float | None = None,
    ranks: Ranks = ALONE,
) -> TrialResult:
    """The same by an ``attempt`` that has been begun; where the clock of leases shows ``until``, it stops.

    The first of ``ranks`` does this, all others follow (:mod:`levelfield.study.execute.following`).

    Raises:
        UnfinishedError: it has; see also :func:`run_trial`.
    """
    started, highest, files = time.perf_counter(), watch_memory(device), TrialFiles(attempt.path)
    compute_as_recorded()
    _refuse_other_data(spec, source, test_source)
    checkpoints = CheckpointFolder(
        attempt.path / CHECKPOINTS,
        trial=spec.fingerprint,
        data=source.fingerprint,
        start=backbone.digest if backbone else None,
        earlier=[path / CHECKPOINTS for path in attempt.earlier],
    )
    saved = checkpoints.load_latest()
    executions = executions_of(execution, saved, device, ranks)
    torch.set_num_threads(executions[-1].threads)
    parts = put_together(
        spec,
        source,
        device=device,
        execution=executions[-1],
        backbone=backbone,
        test_source=test_source,
        ranks=ranks,
    )
    write_record(files.policy_path, {"tensors": parts.state.policy})
    training = taken_up(parts, attempt, checkpoints, saved, executions)
    if saved is None and spec.recipe.head_fit:
        with training.stopwatch.charge("step"):
            fit_head(parts)
    hand_out(parts, executions[-1])
    diverged = training.to_the_end(checkpoint_seconds=checkpoint_seconds, until=until, on_step=on_step)

    held_out: dict[Split, HeldOutMeans] = {}
    if not diverged:
        settle(parts, training.stopwatch)
    hand_out_to_judge(parts, diverged=bool(diverged))
    if not diverged:
        with training.stopwatch.charge("evaluate"):
            judged = judge(parts, files)
        training.stopwatch.seconds.update(ranks.seconds(training.stopwatch.seconds, "evaluate"))
        if why := broken(judged):  # the last update may be the one that broke it
            diverged = f"{why} after {parts.state.step} steps"
        else:
            held_out[spec.held_out] = judged
        if keeps_weights and not diverged:
            keep_weights(files, parts.network, _kept_facts(parts))
    result = result_of(parts, files, held_out, diverged=diverged, executions=executions)
    seconds = training.stopwatch.seconds
    timing = TrialTiming(
        fingerprint=spec.fingerprint,
        device=result.execution.device,
        device_seconds=seconds["step"],
        data_seconds=seconds["data"],
        evaluate_seconds=seconds["evaluate"],
        wall_seconds=time.perf_counter() - started,
        waited=training.waited,
        readers=training.readers,
        memory_bytes=highest(),
        clipped=training.clipped.means,
        attempts=training.begun.attempts,
        lost_steps=training.begun.lost_steps,
        code_version=" then ".join(training.code),
    )
    files.finish(result, timing)
    attempt.publish()
    directory.tell(result, timing)
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


def _refuse_other_data(spec: TrialSpec, source: Source, test_source: Source | None) -> None:
    for seen in (source, test_source or source):
        refuse_other_data(spec.data_content, seen.fingerprint, where=f"trial {spec.name}")


def _kept_facts(parts: TrialParts) -> KeptFacts:
    spec, source = parts.spec, parts.source
    classes = () if isinstance(spec.head, TextHead) else tuple(source.class_names)
    network = NetworkFacts(
        architecture=parts.network.spec.text,
        resolution=source.resolution,
        num_outputs=spec.head.num_outputs,
        pixel_head=spec.head if isinstance(spec.head, PixelHead) else None,
        text_head=spec.head if isinstance(spec.head, TextHead) else None,
        in_channels=source.in_channels,
        classes=classes if len(classes) == spec.head.num_outputs else None,
    )
    return KeptFacts(network=network, trial=spec.fingerprint, data=source.fingerprint)
