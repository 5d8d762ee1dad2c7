"""What transfer says: laws of its metric, families against each other, and whether pre-training was worth it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from levelfield.records.codec import record
from levelfield.records.observation import Observation
from levelfield.records.transfer import FINE_TUNED, FROM_SCRATCH, Metric, TransferRow
from levelfield.scaling.agreement import RankAgreement, rank_agreement
from levelfield.scaling.analyse import analyse
from levelfield.scaling.results.analysis import Analysis, Winner
from levelfield.scaling.results.laws import LawFit
from levelfield.scaling.results.reasons import Refusal
from levelfield.scaling.results.sentences import CURRENCY_WORDS, percent
from levelfield.scaling.results.verdicts import Comparison

PRETRAINED, SCRATCH = "pre-trained", "trained from scratch"  # in this order by name, as comparisons are

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
class TransferAnalysis:
    """What one target says.

    ``worth`` compares, for each family, pre-training and fine-tuning (a) with training from scratch (b) at equal total
    FLOPs: "better" means that pre-training paid. ``agreements`` tell whether lower pre-training loss meant better
    transfer.
    """

    transfer: str
    metric: Metric
    chance: float
    arms: tuple[ArmAnalysis, ...]
    worth: tuple[Comparison, ...]
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
) -> TransferAnalysis:
    """What the ``rows`` of one transfer say. ``per_example`` maps runs to the metric of every report example.

    Raises:
        InputError: per-example values that do not belong to their runs. Weak data never raises.
    """
    judged = [row for row in rows if not row.ranked]
    refusals: list[Refusal] = []
    arms = []
    for arm in dict.fromkeys(row.arm for row in judged if row.arm != FROM_SCRATCH):
        of_arm = [row for row in judged if row.arm == arm]
        found = _analysed(of_arm, metric, per_example, margin, data, arm, level, seed, refusals)
        if found is not None:
            winners, laws = found.winners, found.laws
            arms.append(ArmAnalysis(arm=arm, winners=winners, laws=laws, comparisons=found.comparisons))
    worth = []
    for family in sorted({row.family for row in judged}):
        pair = [row for row in judged if row.family == family and row.arm in (FINE_TUNED, FROM_SCRATCH)]
        if len({row.arm for row in pair}) == 2:
            found = _analysed(pair, metric, per_example, margin, data, f"worth of {family}", level, seed, refusals)
            worth += found.comparisons if found else ()
    return TransferAnalysis(
        transfer=rows[0].transfer if rows else "",
        metric=metric,
        chance=_chance(rows[0], metric) if rows else 0.0,
        arms=tuple(arms),
        worth=tuple(worth),
        agreements=tuple(_agreements(rows, metric, level, seed)),
        refusals=tuple(dict.fromkeys(refusals)),
    )


def value_of(row: TransferRow, metric: Metric) -> float | None:
    """The metric of a row; None where it has none."""
    return row.error if metric == "error" else row.loss


def _analysed(
    rows: Sequence[TransferRow],
    metric: Metric,
    per_example: PerExample,
    margin: float,
    data: str,
    what: str,
    level: float,
    seed: int,
    refusals: list[Refusal],
) -> Analysis | None:
    """The analysis of ``rows`` as if the metric were their loss, or None with the reason in ``refusals``."""
    values = [value_of(row, metric) for row in rows]
    if any(value is None or value <= 0 for value in values):
        why = "a run made no error" if metric == "error" else "the arm has no probabilities, hence no loss"
        refusals.append(Refusal(what=f"the {metric} of {what}", why=why))
        return None
    against_scratch = {row.arm for row in rows} == {FINE_TUNED, FROM_SCRATCH}
    table = [_observation(row, value or 0.0, metric, against_scratch) for row, value in zip(rows, values, strict=True)]
    known = {row.run: per_example[row.run] for row in rows if row.run in per_example}
    found = analyse(table, held_out_losses=known, margin=margin, level=level, data=data, recipe=what, seed=seed)
    refusals += [
        Refusal(what=f"{what}: {refusal.what}", why=refusal.why, remedy=refusal.remedy)
        for refusal in found.refusals
        if not against_scratch and refusal.what.startswith(("the law of", "winners")) and "flops" in refusal.what
    ]
    return found


def _observation(row: TransferRow, value: float, metric: Metric, against_scratch: bool) -> Observation:
    """A row as the statistics take it: its metric is the loss, its arm the family where arms are compared.

    Compute is what could be spent, since either arm may stop short of its allowance where that is better. Epochs are
    left out: how often the target's images are seen is part of the question here, not a fault of the run.
    """
    family, seconds = row.family, row.device_seconds
    allowed = row.allowed_flops if against_scratch else row.budget_flops
    if against_scratch:
        family = f"{row.family} {PRETRAINED if row.arm == FINE_TUNED else SCRATCH}"
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


def _chance(row: TransferRow, metric: Metric) -> float:
    return row.chances.get(metric) or 0.0


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


def worth_sentence(comparison: Comparison, *, metric: Metric, transfer: str) -> str:
    """Whether pre-training paid on ``transfer``, in one sentence with its interval."""
    family = comparison.a.removesuffix(f" {PRETRAINED}")
    overall, currency = comparison.overall, CURRENCY_WORDS[comparison.currency]
    verdict = {
        "better": f"pre-training {family} was worth it",
        "worse": f"pre-training {family} was not worth it",
        "equivalent": f"pre-training {family} made no difference beyond {100 * comparison.margin:.3g} %",
    }.get(overall.verdict, f"one cannot tell whether pre-training {family} was worth it")
    measured = f": {metric} {percent(overall.difference)} against training from scratch" if overall.difference else ""
    because = f" ({'; '.join(overall.reasons)})" if overall.verdict == "cannot tell" and overall.reasons else ""
    return f"On {transfer}, at equal {currency} in all, {verdict}{measured}{because}."


def agreement_sentence(agreements: Sequence[RankAgreement], *, transfer: str) -> str:
    """Whether lower pre-training loss meant better fine-tuning on ``transfer``; empty where nobody looked."""
    told = []
    for found in (found for found in agreements if found.what == FINE_TUNED):
        where = "over all rungs" if found.among == "all rungs" else "at equal pre-training compute"
        if found.tau is None:
            told.append(f"{where} too few backbones can tell ({found.status})")
        else:
            tau = found.tau
            numbers = f"{tau.estimate:.2f} [{tau.low:.2f}, {tau.high:.2f}]".replace("-", "\u2212")
            told.append(f"{where} {numbers}")
    return (
        f"Lower pre-training loss and better transfer to {transfer}, Kendall's tau: {'; '.join(told)}." if told else ""
    )
