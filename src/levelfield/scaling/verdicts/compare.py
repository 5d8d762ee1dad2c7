"""Family against family: better, worse, equivalent or cannot tell, with every rule that forbids an answer.

The rules, in one place:

* The difference is ln(loss of a / loss of b), from fresh seeds on the report split, only where both families ran.
* "better" or "worse": the simultaneous 95 % interval excludes 0. Simultaneous means over every verdict and control of
  the study, so equal families give any false "better" or "worse", anywhere in it, in at most 5 % of studies.
* "equivalent": the simultaneous 90 % interval (the one shown) lies within the margin fixed in advance. A difference
  that is significant but smaller than the margin is therefore "equivalent", and the reason says it was detected.
* A family whose winner lies at an edge of the search has only an upper bound on its best loss: "better" against it and
  "equivalent" are not supported; "worse" against it still is.
* Overall is the mean difference over the rungs that support every verdict. It is "equivalent" only if the straight line
  through the differences also stays within the margin at both ends, and no rung lies beyond it.
* A mean does not speak for a range over which the sign changes: where one rung says "better" and another "worse", or
  the trend is told apart from none and crosses zero inside, overall is "depends on compute", not "better" or "worse".
* Near chance losses differ little whatever the family. A rung with both families there gets no verdict; with one
  there, the other may be "better" and nothing else, and the rung has no part in overall while others have learnt.
* Rungs with fewer than 3 seeds get no verdict; rungs beyond 4 epochs get one of their own, set apart. A study of such
  rungs alone has an overall verdict about training that is limited by data, and says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from levelfield.records.reason import Reason
from levelfield.scaling.results.laws import Currency
from levelfield.scaling.results.reasons.verdicts import (
    BestIsBound,
    BeyondMarginAt,
    EveryRungLimited,
    ExcludesZeroAtOneLevel,
    FamilyNearChance,
    NoNoise,
    NoSharedBudget,
    ReachesBeyondMargin,
    SignChanges,
    SmallerThanMargin,
    TooNoisy,
    TrendLeavesMargin,
)
from levelfield.scaling.results.verdicts import BudgetVerdict, Confound, Verdict
from levelfield.scaling.verdicts.contrasts import Band, Judged, Statement, mean_statement, trend_ends
from levelfield.scaling.verdicts.margins import margin_for, seeds_for


@dataclass(frozen=True, kw_only=True)
class Question:
    """One pair of families in one currency, with its statements; ``unasked`` says why there are none."""

    a: str
    b: str
    currency: Currency
    statements: tuple[Statement, ...]
    unasked: Reason | None = None
    remarks: tuple[Reason, ...] = ()
    confounds: tuple[Confound, ...] = ()

    @property
    def decidable(self) -> tuple[Statement, ...]:
        return tuple(s for s in self.statements if not s.undecidable)

    @property
    def shared(self) -> tuple[Statement, ...]:
        """Those on two winners, in rising cost."""
        return tuple(sorted((s for s in self.statements if s.weights.any()), key=lambda statement: statement.place))

    @property
    def joint(self) -> tuple[Statement, ...]:
        """The statements of the overall verdict: free of edges where there are any such, else all that are left.

        Data-limited rungs answer another question, and are left out unless there are no others. So are rungs at which a
        family has not learnt yet, whose differences are small for that reason; and these speak for all only where
        nothing else stands in the way at the largest budget.
        """
        left = [statement for statement in self.decidable if not statement.set_apart] or self.decidable
        learnt = [statement for statement in left if not statement.unlearnt]
        reaches_top = any(statement.place == self.shared[-1].place for statement in left)
        left = learnt or (left if reaches_top else [])
        free = [statement for statement in left if not (statement.a_edges or statement.b_edges)]
        return tuple(free or left)

    @property
    def limited(self) -> bool:
        """Whether the overall verdict is about training that is limited by data."""
        return any(statement.set_apart for statement in self.joint)

    @property
    def asked(self) -> tuple[Statement, ...]:
        """Every statement that can become a verdict: the price of multiplicity is paid for these."""
        return (*self.decidable, mean_statement(self.joint)) if self.joint else self.decidable


def verdict_at(judged: Judged, margin: float, *, leaves: Reason | None = None) -> tuple[Verdict, tuple[Reason, ...]]:
    """The verdict on one statement, and its reasons; ``leaves`` says where it may yet leave the margin."""
    statement = judged.statement
    bounded = _bounds(statement)
    unlearnt = _unlearnt(statement)
    detected, inside = abs(judged.estimate) > judged.outer, _inside(judged, margin)
    if inside and not bounded and not leaves and not unlearnt:
        return "equivalent", (SmallerThanMargin(),) if detected else ()
    if detected:
        verdict: Verdict = "better" if judged.estimate < 0 else "worse"
        winner, loser = (statement.a, statement.b) if verdict == "better" else (statement.b, statement.a)
        edges = statement.b_edges if loser == statement.b else statement.a_edges
        if winner in statement.unlearnt or (inside and unlearnt):  # at chance itself all are equal
            return "cannot tell", (*unlearnt, *bounded)
        if edges:  # the loser's true best may be lower still, which could overturn this; the winner's could not
            return "cannot tell", (
                *(b for b in bounded if b.family == loser),
                *(b for b in bounded if b.family != loser),
            )
        return verdict, (*unlearnt, *bounded)
    undetected = None if inside else _undetected(judged, margin)
    return "cannot tell", (*filter(None, (leaves or undetected,)), *unlearnt, *bounded)


def attainable(statement: Statement, margin: float) -> frozenset[Verdict]:
    """The verdicts that some outcome could give ``statement``: those that losses without any noise would get."""
    if statement.undecidable:
        return frozenset()
    outcomes = (
        Judged(statement=statement, estimate=estimate, standard_error=0.0, inner=0.0, outer=0.0, level=0.9)
        for estimate in (-2 * margin, 0.0, 2 * margin)
    )
    found: set[Verdict] = {verdict_at(judged, margin)[0] for judged in outcomes}
    found.discard("cannot tell")
    return frozenset(found)


def budget_verdicts(question: Question, band: Band | None, margin: float) -> tuple[BudgetVerdict, ...]:
    """The verdict at every place of ``question``; without a band there is no noise model, so none is given."""
    verdicts = []
    for statement in question.statements:
        if band is None or not statement.weights.any():
            reasons = statement.undecidable or (NoNoise(),)
            verdicts.append(_undecided(statement.place, reasons))
            continue
        judged = band.judge(statement)
        verdict, reasons = verdict_at(judged, margin)
        if statement.undecidable:
            verdict, reasons = "cannot tell", statement.undecidable
        verdicts.append(
            BudgetVerdict(
                budget=statement.place,
                difference=judged.interval,
                verdict=verdict,
                reasons=(*reasons, *statement.set_apart),
            )
        )
    return tuple(verdicts)


def overall_verdict(
    question: Question,
    per_budget: Sequence[BudgetVerdict],
    band: Band | None,
    margin: float,
    *,
    crosses: Reason | None = None,
) -> BudgetVerdict:
    """The verdict over all rungs of ``question`` together; ``crosses`` says how its trend changes sign, if it does."""
    joint = question.joint
    place = max((statement.place for statement in question.statements), default=0.0)
    if band is None or not joint:
        return _undecided(place, _why_nothing(question, band))
    judged = band.judge(mean_statement(joint))
    among = {statement.place for statement in joint}
    rungs = [verdict for verdict in per_budget if verdict.budget in among]
    leaves = _leaves_margin(joint, rungs, band, margin) if _inside(judged, margin) else None
    verdict, reasons = verdict_at(judged, margin, leaves=leaves)
    if {"better", "worse"} <= {verdict, *(rung.verdict for rung in rungs)}:
        verdict, reasons = "depends on compute", (_sign_change(rungs),)
    elif verdict in ("better", "worse") and crosses:
        verdict, reasons = "depends on compute", (crosses, *reasons)
    return BudgetVerdict(
        budget=place,
        difference=judged.interval,
        verdict=verdict,
        reasons=(*reasons, *((EveryRungLimited(),) if question.limited else ()), *question.remarks),
    )


def decidable_margin(question: Question, band: Band | None) -> float | None:
    """The smallest margin within which equal families would have been called equivalent overall; None without noise."""
    if band is None or not question.joint:
        return None
    return margin_for((mean_statement(question.joint), *trend_ends(question.joint)), band)


def seeds_to_decide(question: Question, band: Band | None, margin: float, decidable: float | None) -> int | None:
    """About how many seeds a winner would decide ``margin`` where the present ones do not; None where none would."""
    if band is None or decidable is None or decidable <= margin:
        return None
    return seeds_for((mean_statement(question.joint), *trend_ends(question.joint)), band, margin / decidable)


def _bounds(statement: Statement) -> tuple[BestIsBound, ...]:
    sides = ((statement.a, statement.a_edges), (statement.b, statement.b_edges))
    return tuple(BestIsBound(family=side, edges=edges) for side, edges in sides if edges)


def _undetected(judged: Judged, margin: float) -> Reason:
    if judged.inner >= margin:
        return TooNoisy(half_width=judged.inner, margin=margin)
    if abs(judged.estimate) > judged.inner:
        return ExcludesZeroAtOneLevel(level=judged.level, strict_level=(1 + judged.level) / 2)
    return ReachesBeyondMargin()


def _leaves_margin(
    joint: Sequence[Statement], rungs: Sequence[BudgetVerdict], band: Band, margin: float
) -> Reason | None:
    """Where the differences may lie beyond the margin although their mean does not; None where nowhere."""
    for rung in rungs:
        difference = rung.difference
        if difference is not None and (difference.low > margin or difference.high < -margin):
            return BeyondMarginAt(place=rung.budget)
    for end in trend_ends(joint):
        interval = band.judge(end).interval
        if not (-margin < interval.low and interval.high < margin):
            return TrendLeavesMargin()
    return None


def _inside(judged: Judged, margin: float) -> bool:
    return -margin < judged.interval.low and judged.interval.high < margin


def _sign_change(rungs: Sequence[BudgetVerdict]) -> Reason:
    better, worse = (tuple(rung.budget for rung in rungs if rung.verdict == verdict) for verdict in ("better", "worse"))
    return SignChanges(better=better, worse=worse)


def _why_nothing(question: Question, band: Band | None) -> tuple[Reason, ...]:
    if question.unasked:
        return (question.unasked,)
    if question.joint:
        return (NoNoise(),)
    # What forbids the largest budget of both binds: cheaper ones are near chance, whatever else is wrong.
    reasons: dict[Reason, None] = {}
    for statement in reversed(question.shared or question.statements):
        reasons |= dict.fromkeys((*statement.undecidable, *_unlearnt(statement)))
    return tuple(reasons) or (NoSharedBudget(),)


def _unlearnt(statement: Statement) -> tuple[FamilyNearChance, ...]:
    return tuple(FamilyNearChance(family=family) for family in statement.unlearnt)


def _undecided(place: float, reasons: tuple[Reason, ...]) -> BudgetVerdict:
    return BudgetVerdict(budget=place, difference=None, verdict="cannot tell", reasons=reasons)
