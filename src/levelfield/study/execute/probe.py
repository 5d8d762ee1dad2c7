"""One look at frozen features, from its spec to its result."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from levelfield import __version__
from levelfield.compute.analytic import count
from levelfield.data.sources import Source
from levelfield.records.attempts import Attempt, attempted, complete
from levelfield.records.data import Split
from levelfield.records.difference import refuse_other_data, refuse_other_start
from levelfield.records.errors import RefusedError
from levelfield.records.execution import DEFAULT_EXECUTION, ExecutionSpec
from levelfield.records.probe import ProbeResult, ProbeScore, ProbeSpec, ProbeTiming
from levelfield.records.probe_store import ProbeDirectory, write_probe
from levelfield.study.execute.executed import execution_here
from levelfield.train.timing import Stopwatch
from levelfield.transfer.backbone import PretrainedBackbone
from levelfield.transfer.channels import suited
from levelfield.transfer.features import Features, features_of
from levelfield.transfer.probes import few_shot_probes, knn_probe, linear_probe


def run_probe(
    spec: ProbeSpec,
    directory: ProbeDirectory,
    source: Source,
    backbone: PretrainedBackbone,
    *,
    features_folder: Path,
    device: torch.device,
    execution: ExecutionSpec = DEFAULT_EXECUTION,
) -> ProbeResult:
    """Compute the features that ``spec`` needs (or take them from ``features_folder``), probe them, publish the result;
    one that is done is read back.

    Raises:
        SpecError, DataError: the backbone is another or does not fit, or an image is corrupt.
        RefusedError: there are fewer training images than the probe was to take.
        StoreError: the directory cannot be written or holds another probe, is in use, or the data is not what the spec
            names.
    """
    directory.open(spec)
    complete(directory.path)
    if (done := held_probe(directory, source, backbone)) is not None:
        return done
    with attempted(directory.path, spec.fingerprint) as attempt:
        return held_probe(directory, source, backbone) or probe_in(
            attempt, spec, source, backbone, features_folder=features_folder, device=device, execution=execution
        )


def probe_in(
    attempt: Attempt,
    spec: ProbeSpec,
    source: Source,
    backbone: PretrainedBackbone,
    *,
    features_folder: Path,
    device: torch.device,
    execution: ExecutionSpec,
) -> ProbeResult:
    """The same by an ``attempt`` that has been begun; see there for what is raised."""
    backbone = suited(backbone, source.in_channels)
    refuse_other_data(spec.data_content, source.fingerprint, where=f"probe {spec.name}")
    result, timing = _probed(
        spec, source, backbone, features_folder=features_folder, device=device, execution=execution
    )
    write_probe(attempt.path, result, timing)
    attempt.publish()
    return result


def held_probe(directory: ProbeDirectory, source: Source, backbone: PretrainedBackbone) -> ProbeResult | None:
    """The outcome of a probe on ``source``, of ``backbone``, that is done; None where it is not.

    Raises:
        SpecError: the backbone takes images of other channels.
        DamagedError: it is damaged, or of another probe.
        StoreError: it is of other data, or of other weights.
    """
    done = directory.result()
    if done is not None:
        refuse_other_data(done.data_fingerprint, source.fingerprint, where=directory.path)
        refuse_other_start(done.start_weights, suited(backbone, source.in_channels).digest, where=directory.path)
    return done


def _probed(
    spec: ProbeSpec,
    source: Source,
    backbone: PretrainedBackbone,
    *,
    features_folder: Path,
    device: torch.device,
    execution: ExecutionSpec,
) -> tuple[ProbeResult, ProbeTiming]:
    begun = time.perf_counter()
    executed = execution_here(dataclasses.replace(execution, prefetch=0), device)  # nothing is rendered ahead
    torch.set_num_threads(executed.threads)
    if spec.num_train is not None and spec.num_train > source.split_sizes["train"]:
        raise RefusedError(
            f"probe {spec.name} is to take {spec.num_train} training images, there are {source.split_sizes['train']}"
        )
    stopwatch = Stopwatch(device)

    def features(split: Split) -> Features:
        with stopwatch.charge("features"):
            return features_of(spec, backbone, source, split, folder=features_folder, device=device)

    train = features("train")
    if spec.num_train is not None:
        train = train.subset(spec.num_train, key=source.fingerprint)
    report = features("report")
    scores, solver_flops = [], 0.0
    if "linear" in spec.probes:
        select = features("select")
        linear = linear_probe((train.x, train.y), (select.x, select.y), (report.x, report.y))
        scores, solver_flops = [linear.score], linear.solver_flops
    scores += _without_penalty_to_choose(spec, train, report)
    forward = count(
        spec.architecture,
        resolution=source.resolution,
        head=backbone.facts.head,
        in_channels=source.in_channels,
    ).forward_flops
    fitted_on = len(train) + (source.split_sizes["select"] if "linear" in spec.probes else 0)
    result = ProbeResult(
        fingerprint=spec.fingerprint,
        scores=tuple(scores),
        num_features=train.x.shape[1],
        num_report=len(report),
        train_flops=float(fitted_on * forward),
        solver_flops=solver_flops,
        evaluate_flops=float(len(report) * forward),
        start_flops=backbone.train_flops,
        chance_top1=1 / len(source.class_names),
        data_fingerprint=source.fingerprint,
        execution=executed,
        levelfield_version=__version__,
        start_weights=backbone.digest,
    )
    timing = ProbeTiming(
        fingerprint=spec.fingerprint,
        device=executed.device,
        device_seconds=stopwatch.seconds["features"],
        wall_seconds=time.perf_counter() - begun,
    )
    return result, timing


def _without_penalty_to_choose(spec: ProbeSpec, train: Features, report: Features) -> Iterator[ProbeScore]:
    if "few-shot" in spec.probes:
        yield from few_shot_probes((train.x, train.y), (report.x, report.y))
    if "knn" in spec.probes:
        yield knn_probe((train.x, train.y), (report.x, report.y))
