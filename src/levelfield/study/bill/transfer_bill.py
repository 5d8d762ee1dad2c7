"""What the transfers of a study cost at most, before anything is spent."""

from __future__ import annotations

from levelfield.compute.analytic import count
from levelfield.records.codec import record
from levelfield.records.study import FamilyEntry, StudySpec
from levelfield.records.transfer import ArmSpec, TransferSpec
from levelfield.study.bill.calibrate import trial_of
from levelfield.study.bill.foretold import Speeds
from levelfield.study.facts import DataFacts
from levelfield.study.planned import Cell, Plan


@record
class TransferBillRow:
    """One family on one target, all rungs; ``seconds`` are estimated from the speed of pre-training, if known."""

    transfer: str
    family: str
    trials_at_most: int
    probes_at_most: int
    train_flops: float
    evaluate_flops: float
    seconds: float | None


def transfer_bill(
    spec: StudySpec, facts: DataFacts, planned: Plan, speeds: Speeds | None = None
) -> tuple[TransferBillRow, ...]:
    """The most that the transfers of ``spec`` can cost; searches usually stop earlier."""
    return tuple(
        _row(spec, facts, transfer, entry, planned, speeds) for transfer in spec.transfer for entry in spec.families
    )


def _row(
    spec: StudySpec,
    facts: DataFacts,
    transfer: TransferSpec,
    entry: FamilyEntry,
    planned: Plan,
    speeds: Speeds | None,
) -> TransferBillRow:
    trials, probes, train, evaluate = 0, 0, 0.0, 0.0
    seconds: float | None = 0.0
    target, backbones = facts.target(transfer.name), spec.verdict.seeds + 1 + transfer.off_frontier
    for budget in transfer.budgets or spec.ladder.budgets:
        cells = planned.cells_of(entry.name, budget)
        cells = [cell for cell in cells if not cell.affordable.refusal]
        if not cells:
            continue
        arms, probed = _arms(spec, transfer, entry, budget, backbones), backbones if transfer.probes else 0
        forward = max(_forward(facts, transfer, cell) for cell in cells)
        here = sum(flops for _, flops in arms) + probed * forward * (
            target.num_train + target.num_selecting(transfer.data)
        )
        trials, probes, train = trials + sum(number for number, _ in arms), probes + probed, train + here
        evaluate += (sum(number for number, _ in arms) + probed) * forward * target.num_report
        pace = [_pace(spec, facts, cell, speeds) for cell in cells]
        seconds = None if seconds is None or None in pace else seconds + here * max(p for p in pace if p is not None)
    return TransferBillRow(
        transfer=transfer.name,
        family=entry.name,
        trials_at_most=trials,
        probes_at_most=probes,
        train_flops=train,
        evaluate_flops=evaluate,
        seconds=seconds,
    )


def _arms(
    spec: StudySpec, transfer: TransferSpec, entry: FamilyEntry, budget: float, backbones: int
) -> list[tuple[int, float]]:
    """Trials and FLOPs of every arm of a family at one rung."""
    arms = transfer.arms(entry.name)
    if arms is None:
        return []
    found = [_arm(spec, transfer, arms.finetune, transfer.share * budget, backbones)]
    if arms.scratch is not None:
        sizes = min(spec.search.cap, len(entry.sizes)) - 1
        found.append(_arm(spec, transfer, arms.scratch, (1 + transfer.share) * budget, spec.verdict.seeds, more=sizes))
    return found


def _arm(
    spec: StudySpec, transfer: TransferSpec, arm: ArmSpec, allowed: float, judged: int, *, more: int = 0
) -> tuple[int, float]:
    """Trials of one arm at one rung, and their FLOPs: rates and sizes at the whole allowance, then other spendings."""
    cap = spec.search.cap
    whole = min(cap, len(arm.base_lr.values)) + more + judged
    parts = sorted(transfer.spends[:-1], reverse=True)[: cap - 1]
    return whole + len(parts), allowed * (whole + sum(parts))


def _forward(facts: DataFacts, transfer: TransferSpec, cell: Cell) -> float:
    target = facts.target(transfer.name)
    return count(
        cell.affordable.architecture,
        resolution=transfer.test_resolution or target.resolution,
        head=target.head,
        in_channels=target.in_channels,
    ).forward_flops


def _pace(spec: StudySpec, facts: DataFacts, cell: Cell, speeds: Speeds | None) -> float | None:
    """Seconds a training FLOP of one size, in a process that has decoded its pictures before."""
    if speeds is None:
        return None
    trial = trial_of(spec, facts, cell)
    seconds = speeds.of(trial, held_examples=0)
    return (seconds.step + seconds.data) / (trial.examples * cell.affordable.flops_per_example)
