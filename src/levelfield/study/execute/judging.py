"""What came of a trial: its held-out scores, and its record."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from levelfield import __version__
from levelfield.compute.analytic import FLOPS_PER_MAC, ComputeCount, count
from levelfield.compute.head_fit import head_fit_flops
from levelfield.data.arranged import examples_an_epoch
from levelfield.data.source import Prompted
from levelfield.data.transforms import fed
from levelfield.families.heads import text_layers
from levelfield.families.tensors import tensors_of
from levelfield.records.data import Split
from levelfield.records.execution import Execution
from levelfield.records.head import TextHead
from levelfield.records.store import TrialFiles
from levelfield.records.trial import HeldOutMeans, TrialResult
from levelfield.records.writing import write_atomically
from levelfield.study.execute.parts import TrialParts, statistics_batches
from levelfield.train.evaluate import HeldOutScores, batch_judged, evaluate
from levelfield.train.statistics import estimate_statistics
from levelfield.train.timing import Stopwatch
from levelfield.transfer.surgery import assembled
from levelfield.weights.loaded import weights_digest

# The training loss of the record is the mean over this last share of the run: one batch says little.
_LAST_SHARE = 0.1


def settle(parts: TrialParts, stopwatch: Stopwatch) -> None:
    """Leave in the network what is to be judged: the weights that the spec names, and the statistics of just these.

    The statistics are of the first examples of the run, augmented as they were trained on. That is training: its time
    and compute are charged so.

    Raises:
        TrialError: there is not one whole example.
    """
    spec, state = parts.spec, parts.state
    if spec.weights == "ema" and state.average is not None:
        state.average.load_into(list(state.parameters.values()))
    if not state.shares_statistics:
        return
    with stopwatch.charge("data"):
        batches = list(statistics_batches(spec, parts.source))
    image = parts.task.fields[0]
    with stopwatch.charge("step"), torch.autocast(parts.device.type, torch.bfloat16, enabled=spec.dtype == "bfloat16"):
        estimate_statistics(state.model, (fed(batch.fields[image][batch.valid].to(parts.device)) for batch in batches))


def judge(parts: TrialParts, files: TrialFiles) -> HeldOutMeans:
    """The scores of the settled network; winners keep those of every example."""
    judged = scored(parts)
    if parts.spec.held_out == "report" and not broken(judged.mean):
        _keep(judged, files)
    return judged.mean


def scored(parts: TrialParts) -> HeldOutScores:
    """The same of every example, by all ranks together."""
    spec, state = parts.spec, parts.state
    model = state.model
    if spec.test_resolution is not None:
        side, channels = spec.test_resolution, parts.source.in_channels
        model = assembled(parts.network.spec, tensors_of(model), head=spec.head, resolution=side, in_channels=channels)
        model = model.to(parts.device)
    return evaluate(
        model,
        parts.task,
        parts.judged_on,
        spec.held_out,
        device=parts.device,
        dtype=spec.dtype,
        batch_size=batch_judged(spec.head, parts.judged_on.resolution),
        ranks=parts.ranks,
    )


def _keep(judged: HeldOutScores, files: TrialFiles) -> None:
    """Write down what was measured of every example, and what is needed to resample them."""
    for name, values in judged.each.items():
        write_atomically(files.report_path(name), _npy(values))
    if judged.stretch is not None:
        write_atomically(files.stretch_path, _npy(judged.stretch))
    if judged.tallies is not None:
        buffer = io.BytesIO()
        np.savez_compressed(buffer, tallies=judged.tallies)
        write_atomically(files.tallies_path, buffer.getvalue())


def _npy(values: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()


def broken(held_out: HeldOutMeans) -> str:
    """Which score is no number, in words; empty where each is one."""
    values = held_out.values | (held_out.whole or {})
    found = (f"held-out {name} {value}" for name, value in values.items() if not math.isfinite(value))
    return next(found, "")


def _judged_flops(parts: TrialParts, split: Split, judged: ComputeCount) -> float:
    """Forward passes over a split: of every text of its pictures, too, and of what classes are called."""
    size, source = parts.source.split_sizes[split], parts.source
    flops = float(size * judged.forward_flops)
    if isinstance(parts.spec.head, TextHead) and isinstance(source, Prompted):
        prompts = source.prompts
        ways = 0 if prompts is None else prompts.shape[0] * prompts.shape[1]
        more = size * (source.texts_judged(split) - 1) + ways
        flops += more * FLOPS_PER_MAC * sum(layer.forward_macs for layer in text_layers(parts.spec.head))
    return flops


def result_of(
    parts: TrialParts,
    files: TrialFiles,
    held_out: dict[Split, HeldOutMeans],
    *,
    diverged: str,
    executions: tuple[Execution, ...],
) -> TrialResult:
    """The record of a trial that is done."""
    spec, source, state, start = parts.spec, parts.source, parts.state, parts.start
    family, measures = parts.network.spec, parts.task.measures(source.fields)
    side, channels = spec.test_resolution or source.resolution, source.in_channels
    trained = count(
        family, resolution=source.resolution, head=spec.head, in_channels=channels, frozen=spec.recipe.frozen
    )
    judged = count(family, resolution=side, head=spec.head, in_channels=channels)
    examples_seen = state.step * spec.global_batch_size
    once_flops = trained.statistics_flops if state.step == spec.steps else 0.0
    if spec.recipe.head_fit:
        once_flops += head_fit_flops(trained, examples_an_epoch(source))
    last = state.losses[-max(1, round(_LAST_SHARE * spec.steps)) :]
    return TrialResult(
        fingerprint=spec.fingerprint,
        status="diverged" if diverged else "finished",
        reason=diverged,
        params=trained.params,
        steps=state.step,
        examples_seen=examples_seen,
        epochs=examples_seen / spec.recipe.multiplicity / examples_an_epoch(source),
        train_flops=state.step * spec.gradient_examples_per_step * trained.train_flops_per_example + once_flops,
        evaluate_flops=sum(_judged_flops(parts, split, judged) for split in held_out),
        train_loss=float(np.mean(last)) if last else None,
        held_out=held_out,
        measures=measures,
        masked_examples=state.masked_examples,
        seen_digest=state.seen.digest,
        data_fingerprint=source.fingerprint,
        executions=executions,
        levelfield_version=__version__,
        weights_digest=None if diverged else weights_digest(family.text, tensors_of(state.model)),
        start_flops=None if start is None else start.train_flops,
        start_weights=None if start is None else start.digest,
        kept=files.digests(spec, measures),
    )
