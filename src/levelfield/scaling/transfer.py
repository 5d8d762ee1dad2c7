"""What transfer says: laws of its metric, families against each other, and whether pre-training was worth it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from levelfield.records.codec import record
from levelfield.records.observation import Observation
from levelfield.records.reason import Reason
from levelfield.records.transfer import FINE_TUNED, FROM_SCRATCH, Metric, TransferRow
from levelfield.scaling.agreement import RankAgreement, rank_agreement
from levelfield.scaling.analyse import analyse
from levelfield.scaling.results.analysis import Analysis, Winner
from levelfield.scaling.results.laws import LawFit
from levelfield.scaling.results.reasons.verdicts import MadeNoError, NoProbabilities
from levelfield.scaling.results.refusals import LawOf, MetricOf, Refusal, WithinArm
from levelfield.scaling.results.verdicts import Comparison

PerExample = Mapping[str, NDArray[np.floating]]


@record
class ArmAnalysis:
    """One arm over all rungs: the metric of both families against pre-training FLOPs.

    ``winners`` carry the metric in place of the loss, with its interval. ``comparisons`` are of families at equal rungs
    of pre-training.
    """

    arm: str
    winners: tuple[Winner, ...]
    laws: tuple[LawFit, ...]
    comparisons: tuple[Comparison, ...]


@record
class Worth:
    """Pre-training and fine-tuning ``family`` (a) against training it from scratch (b) at equal compute in all.

    "better" means that pre-training paid.
    """

    family: str
    comparison: Comparison


@record
class TransferAnalysis:
    """What one target says.

    ``worth`` says of each family, in both currencies, whether pre-training paid. ``agreements`` tell whether lower
    pre-training loss meant better transfer.
    """

    transfer: str
    metric: Metric
    chance: float | None
    arms: tuple[ArmAnalysis, ...]
    worth: tuple[Worth, ...]
    agreements: tuple[RankAgreement, ...]
    refusals: tuple[Refusal, ...]


def analyse_transfer(
    rows: Sequence[TransferRow],
    *,
    metric: Metric,
    per_example: PerExample,
    margin: float,
    data: str,
    level: float = 0.9,
    seed: int = 0,
    no_verdict_because: Reason | None = None,
) -> TransferAnalysis:
    """What the ``rows`` of one transfer say. ``per_example`` maps runs to the metric of every report example,
    or of every stretch of them.

    Raises:
        InputError: per-example values that do not belong to their runs. Weak data never raises.
    """
    judged = [row for row in rows if not row.ranked]
    refusals: list[Refusal] = []
    arms = []
    for arm in dict.fromkeys(row.arm for row in judged if row.arm != FROM_SCRATCH):
        of_arm = [row for row in judged if row.arm == arm]
        found = _analysed(of_arm, metric, per_example, margin, data, arm, level, seed, why=no_verdict_because)
        if isinstance(found, Refusal):
            refusals.append(found)
            continue
        winners, laws = found.winners, found.laws
        arms.append(ArmAnalysis(arm=arm, winners=winners, laws=laws, comparisons=found.comparisons))
        refusals += [
            dataclasses.replace(refusal, what=WithinArm(arm=arm, asked=refusal.what))
            for refusal in found.refusals
            if isinstance(refusal.what, LawOf) and refusal.what.currency == "flops"
        ]
    worth: list[Worth] = []
    for family in sorted({row.family for row in judged}):
        pair = [row for row in judged if row.family == family and row.arm in (FINE_TUNED, FROM_SCRATCH)]
        if len({row.arm for row in pair}) == 2:
            subject = f"worth of {family}"
            found = _analysed(
                pair,
                metric,
                per_example,
                margin,
                data,
                subject,
                level,
                seed,
                between_arms=True,
                why=no_verdict_because,
            )
            if isinstance(found, Refusal):
                refusals.append(found)
            else:
                worth += [Worth(family=family, comparison=each) for each in found.comparisons]
    return TransferAnalysis(
        transfer=rows[0].transfer if rows else "",
        metric=metric,
        chance=_chance(rows[0], metric) if rows else None,
        arms=tuple(arms),
        worth=tuple(worth),
        agreements=tuple(_agreements(rows, metric, level, seed)),
        refusals=tuple(dict.fromkeys(refusals)),
    )


def value_of(row: TransferRow, metric: Metric) -> float | None:
    """The metric of a row; None where it has none."""
    return row.values.get(metric)


def _analysed(
    rows: Sequence[TransferRow],
    metric: Metric,
    per_example: PerExample,
    margin: float,
    data: str,
    subject: str,
    level: float,
    seed: int,
    *,
    between_arms: bool = False,
    why: Reason | None = None,
) -> Analysis | Refusal:
    """The analysis of ``rows`` as if the metric were their loss; ``between_arms`` takes the arms for families."""
    values = [value_of(row, metric) for row in rows]
    if any(value is None or value <= 0 for value in values):
        missing = NoProbabilities() if metric == "loss" else MadeNoError()
        return Refusal(what=MetricOf(metric=metric, subject=subject), why=(missing,))
    table = [_observation(row, value or 0.0, metric, between_arms) for row, value in zip(rows, values, strict=True)]
    known = {row.run: per_example[row.run] for row in rows if row.run in per_example}
    return analyse(
        table,
        held_out_losses=known,
        margin=margin,
        level=level,
        data=data,
        recipe=subject,
        order=(FINE_TUNED, FROM_SCRATCH) if between_arms else None,
        seed=seed,
        no_verdict_because=why,
    )


def _observation(row: TransferRow, value: float, metric: Metric, between_arms: bool) -> Observation:
    """A row as the statistics take it: its metric is the loss, its arm the family where arms are compared.

    Compute is what could be spent, since either arm may stop short of its allowance where that is better. Epochs are
    left out: how often the target's images are seen is part of the question here, not a fault of the run.
    """
    family, seconds = row.family, row.device_seconds
    allowed = row.allowed_flops if between_arms else row.budget_flops
    if between_arms:
        family = row.arm
    if row.pretrain_seconds is not None and seconds is not None:
        seconds += row.pretrain_seconds
    return Observation(
        run=row.run,
        family=family,
        model=row.model,
        role="winner",
        loss=value,
        budget_flops=allowed,
        train_flops=allowed,
        base_lr=row.base_lr,
        seed=row.seed,
        device_seconds=seconds,
        device=row.device,
        chance=_chance(row, metric),
        edges=row.edges,
    )


def _chance(row: TransferRow, metric: Metric) -> float | None:
    return row.chances.get(metric)


def _agreements(rows: Sequence[TransferRow], metric: Metric, level: float, seed: int) -> Iterator[RankAgreement]:
    """For every arm: among the searched backbones of a family over all rungs, and among those of one rung alone."""
    ranked = [row for row in rows if row.ranked and row.pretrain_loss is not None and value_of(row, metric) is not None]
    for place, arm in enumerate(dict.fromkeys(row.arm for row in ranked)):
        of_arm = [row for row in ranked if row.arm == arm]
        for among, groups in (
            ("all rungs", [row.family for row in of_arm]),
            ("equal compute", [(row.family, row.budget_flops) for row in of_arm]),
        ):
            yield rank_agreement(
                [row.pretrain_loss or 0.0 for row in of_arm],
                [value_of(row, metric) or 0.0 for row in of_arm],
                groups,
                what=arm,
                among=among,
                level=level,
                generator=np.random.default_rng([seed, place]),
            )
