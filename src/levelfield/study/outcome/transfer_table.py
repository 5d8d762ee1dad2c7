"""From planned transfers and their results to the rows that the statistics read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from levelfield.records.measure import measure_named
from levelfield.records.probe import ProbeResult, ProbeSpec
from levelfield.records.store import StudyDirectory
from levelfield.records.transfer import FINE_TUNED, FROM_SCRATCH, TransferRow, TransferSpec
from levelfield.records.trial import TrialResult, TrialSpec
from levelfield.scaling.transfer import TransferAnalysis, analyse_transfer
from levelfield.study.facts import TargetFacts
from levelfield.study.outcome.table import kept_losses
from levelfield.study.planned import PlannedTransfer

if TYPE_CHECKING:
    from levelfield.study.outcome.outcome import Outcome

_JUDGED = ("finetune", "scratch", "ranked")


def transfer_rows(outcome: Outcome) -> tuple[TransferRow, ...]:
    """One row for everything judged on a target: a trial, or one probe of a backbone; diverged ones have none."""
    return tuple(row for planned in outcome.planned.transfers for row in _rows(outcome, planned))


def analyse_transfers(outcome: Outcome, path: Path, *, margin: float | None = None) -> tuple[TransferAnalysis, ...]:
    """What every transfer of ``outcome`` says, in the order of its tables; those without rows are left out."""
    rows, found = transfer_rows(outcome), []
    for transfer in outcome.spec.transfer:
        own = [row for row in rows if row.transfer == transfer.name]
        if own:
            target = outcome.facts.target(transfer.name)
            found.append(
                analyse_transfer(
                    own,
                    metric=measure_named(target.measures, transfer.metric).falling.name,
                    per_example=_per_example(outcome, StudyDirectory(path), transfer),
                    margin=margin or outcome.spec.verdict.margin,
                    data=transfer.name,
                    no_verdict_because=target.no_verdict_because,
                )
            )
    return tuple(found)


def _rows(outcome: Outcome, planned: PlannedTransfer) -> Iterator[TransferRow]:
    if isinstance(planned.spec, ProbeSpec):
        probe = outcome.probes.get(planned.spec.fingerprint)
        if probe is not None:
            yield from _probe_rows(outcome, planned, planned.spec, probe)
    elif planned.role in _JUDGED:
        result = outcome.results.get(planned.spec.fingerprint)
        if result is not None and result.status == "finished":
            yield _trial_row(outcome, planned, planned.spec, result)


def _trial_row(outcome: Outcome, planned: PlannedTransfer, spec: TrialSpec, result: TrialResult) -> TransferRow:
    held_out, timing = result.held_out["report"], outcome.timings.get(spec.fingerprint)
    target = outcome.facts.target(planned.transfer)
    arm = FROM_SCRATCH if planned.role == "scratch" else FINE_TUNED
    return TransferRow(
        run=spec.fingerprint,
        arm=arm,
        transfer_flops=result.train_flops,
        values={each.falling.name: each.shortfall(held_out.values[each.name]) for each in result.measures},
        num_report=held_out.num_examples,
        chances=_chances(target),
        base_lr=planned.base_lr,
        spend=planned.spend,
        edges=planned.edges,
        device_seconds=timing.device_seconds if timing else None,
        device=timing.device if timing else None,
        **_origin(outcome, planned, spec.seed),
    )


def _probe_rows(
    outcome: Outcome, planned: PlannedTransfer, spec: ProbeSpec, result: ProbeResult
) -> Iterator[TransferRow]:
    """One row a kind of probe; the seeds of a few-shot probe are averaged."""
    kinds: dict[str, list[float]] = {}
    losses: dict[str, Any] = {}
    for score in result.scores:
        arm = f"{score.shots}-shot" if score.shots is not None else score.probe
        kinds.setdefault(arm, []).append(score.top1)
        losses[arm] = score.loss
    origin = _origin(outcome, planned, seed=None)
    for arm, top1s in kinds.items():
        yield TransferRow(
            run=f"{spec.fingerprint} {arm}",
            arm=arm,
            transfer_flops=result.train_flops + (result.solver_flops if arm == "linear" else 0.0),
            values={"error": 1 - sum(top1s) / len(top1s)} | ({} if losses[arm] is None else {"loss": losses[arm]}),
            num_report=result.num_report,
            chances=_chances(outcome.facts.target(planned.transfer)),
            **origin,
        )


def _origin(outcome: Outcome, planned: PlannedTransfer, seed: int | None) -> dict:
    """What is known of where a transfer started."""
    transfer = next(table for table in outcome.spec.transfer if table.name == planned.transfer)
    start = next((trial for trial in outcome.planned.trials if trial.spec.fingerprint == planned.pretraining), None)
    known = {
        "transfer": planned.transfer,
        "family": planned.family,
        "model": planned.spec.architecture,
        "budget_flops": planned.budget_flops,
        "allowed_flops": planned.budget_flops * (1 + transfer.share),
        "ranked": start is not None and start.spec.held_out == "select",
        "pretraining": planned.pretraining,
        "pretrain_flops": None,
        "seed": seed,
    }
    if start is not None:
        result, timing = outcome.results[start.spec.fingerprint], outcome.timings.get(start.spec.fingerprint)
        known |= {
            "seed": start.spec.seed,
            "pretrain_flops": result.train_flops,
            "pretrain_loss": result.loss(start.spec.held_out),
            "pretrain_seconds": timing.device_seconds if timing else None,
        }
    return known


def _per_example(outcome: Outcome, study: StudyDirectory, transfer: TransferSpec) -> Mapping[str, NDArray[np.floating]]:
    """The metric of every whole report example, by run, of the trials that kept it."""
    found = {}
    for planned in outcome.planned.transfers:
        if planned.transfer == transfer.name and planned.role in _JUDGED and isinstance(planned.spec, TrialSpec):
            values = _kept(study, planned.spec, outcome.results.get(planned.spec.fingerprint), transfer.metric)
            if values is not None:
                found[planned.spec.fingerprint] = values[np.isfinite(values)]
    return found


def _kept(
    study: StudyDirectory, spec: TrialSpec, result: TrialResult | None, metric: str
) -> NDArray[np.floating] | None:
    if result is None:
        return None
    return kept_losses(study.trial(spec), result, metric)


def _chances(target: TargetFacts) -> dict[str, float | None]:
    return {measure.falling.name: measure.falling.chance for measure in target.measures}
