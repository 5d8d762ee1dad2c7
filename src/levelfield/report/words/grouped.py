"""Refusals of one kind under one line: what could not be said, of whom and at which rungs; each in full below."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from levelfield.records.allowed import OpenQuestion, Undecidable
from levelfield.records.reason import Coded
from levelfield.report.words import numbers
from levelfield.report.words.told import all_told, told
from levelfield.scaling.results import refusals
from levelfield.scaling.results.refusals import Refusal

_MOST_RUNGS = 6
_KINDS: dict[type[Coded], str] = {
    refusals.LawOf: "laws of loss against compute",
    refusals.AllocationOf: "the best size for a budget",
    refusals.AnyVerdict: "verdicts",
    refusals.VerdictOn: "verdicts",
    refusals.VerdictOverall: "rungs left out of the overall verdict",
    refusals.IntervalsOfWinners: "intervals of winners",
    refusals.IntervalsOverExamples: "intervals over report examples",
    refusals.FittingRung: "rungs left out of the laws",
    refusals.ControlAsked: "the A/A control",
    refusals.MetricOf: "measures",
    refusals.WithinArm: "arms of a transfer",
    refusals.PredictionOf: "predictions to be locked",
}
_QUESTIONS: dict[OpenQuestion, str] = {
    "cell": "rungs without a size that is allowed",
    "verdict": "verdicts that cannot come out, by design",
    "one side": "verdicts that can come out one way alone, by design",
    "verdict over all rungs": "overall verdicts that cannot come out, by design",
    "verdict by device-seconds": "verdicts by device-seconds that cannot come out, by design",
    "law": "laws that cannot come out, by design",
    "optimal size": "the best size for a budget, which cannot come out, by design",
}


@dataclass(frozen=True, kw_only=True)
class ToldRefusal:
    """One refusal in full, its sentence and the codes behind it."""

    what: str
    why: str
    remedy: str
    codes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class RefusalGroup:
    """Refusals of one kind: of whom and where in ``of``, ``why`` where it is the same for all, each in ``members``."""

    title: str
    of: str
    why: str
    members: tuple[ToldRefusal, ...]


def grouped(found: Sequence[Refusal], undecidable: Sequence[Undecidable]) -> tuple[RefusalGroup, ...]:
    """One group a kind, in the order in which the kinds first come."""
    titled = [(_KINDS[type(each.what)], each.what, _of_refusal(each)) for each in found]
    titled += [(_QUESTIONS[each.question], each, _of_design(each)) for each in undecidable]
    groups = []
    for title in dict.fromkeys(title for title, _, _ in titled):
        own = [(subject, member) for each, subject, member in titled if each == title]
        members = tuple(dict.fromkeys(member for _, member in own))
        reasons = {(member.why, member.remedy) for member in members}
        same = " ".join(filter(None, map(numbers.sentence, reasons.pop()))) if len(reasons) == 1 else ""
        groups.append(RefusalGroup(title=title, of=_whom([subject for subject, _ in own]), why=same, members=members))
    return tuple(groups)


def _of_refusal(refusal: Refusal) -> ToldRefusal:
    codes = [refusal.what, *refusal.why, *filter(None, [refusal.remedy])]
    return ToldRefusal(
        what=told(refusal.what),
        why=all_told(refusal.why),
        remedy=told(refusal.remedy) if refusal.remedy else "",
        codes=tuple(each.code for each in codes),
    )


def _of_design(found: Undecidable) -> ToldRefusal:
    what, _, why = told(found).partition(": ")
    return ToldRefusal(what=what, why=why, remedy="", codes=tuple(each.code for each in (found, *found.why)))


def _whom(subjects: Iterable[Coded]) -> str:
    """The families, currencies and rungs that ``subjects`` name: "NFNet, ViT; at 10⁹ and 3×10⁹ FLOPs"."""
    fields = [vars(subject) for subject in subjects]
    names = dict.fromkeys(filter(None, map(_families, fields)))
    rungs = sorted({rung for each in fields if (rung := each.get("budget_flops")) is not None})
    told_rungs = [numbers.power(rung) for rung in rungs]
    if len(rungs) > _MOST_RUNGS:
        told_rungs = [f"{len(rungs)} rungs from {told_rungs[0]} to {told_rungs[-1]}"]
    currencies = dict.fromkeys(numbers.CURRENCY_WORDS[each["currency"]] for each in fields if "currency" in each)
    parts = [", ".join(names), f"in {numbers.listed(list(currencies))}" if currencies else ""]
    parts.append(f"at {numbers.listed(told_rungs)} FLOPs" if rungs else "")
    return "; ".join(filter(None, parts))


def _families(fields: dict[str, Any]) -> str:
    """One family, or those of a pair."""
    families: tuple[str, ...] = fields.get("families") or tuple(
        fields[name] for name in ("family", "a", "b") if name in fields
    )
    return " against ".join(map(numbers.family_name, families))
