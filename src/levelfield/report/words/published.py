"""What can and what cannot be concluded from the published record, in sentences made of its numbers."""

from __future__ import annotations

import math

from levelfield.reference.evidence import PublishedEvidence
from levelfield.reference.laws import THEIR_FIT, PublishedLaw
from levelfield.report.words.told import all_told
from levelfield.scaling.results.intervals import Interval

_ABOUT_NOTHING = 5e-4


def bottom_line(evidence: PublishedEvidence) -> str:
    """The verdict in one sentence."""
    equal = evidence.equal
    return (
        f"NFNets' published error lies {_percent(equal.mean.estimate)} the ViTs' law at equal compute "
        f"{_range(equal.mean)} ({equal.mean.level:.0%}), recipes included: {equal.verdict} at a margin of "
        f"{equal.margin:.0%}; {_held(evidence)}, so nothing here is about architecture alone."
    )


def concluded(evidence: PublishedEvidence) -> tuple[str, ...]:
    """What the published points support."""
    return (_saturates(evidence.vit), _keeps_up(evidence), _peers(evidence), _currency(evidence))


def not_concluded(evidence: PublishedEvidence) -> tuple[str, ...]:
    """What they do not support, and why."""
    equal = evidence.equal
    verdict = (
        f"Which family has the lower error ({equal.verdict}): {'; '.join(equal.reasons)}."
        if equal.reasons
        else f"More than this of the families' order: {equal.verdict}."
    )
    return (
        verdict,
        _aliased(evidence),
        _floor(evidence),
        _nfnet_scaling(evidence),
        _few_shot(evidence.few_shot),
        _range_of(evidence),
    )


def _held(evidence: PublishedEvidence) -> str:
    if evidence.shared_protocols:
        return f"only {', '.join(evidence.shared_protocols)} holds both NFNets and ViTs"
    return "no published protocol holds both NFNets and ViTs"


def _saturates(law: PublishedLaw) -> str:
    b, floor = law.intervals["b"], law.intervals["E"]
    line = next(test for test in reversed(law.backtests) if test.form == "log-log")
    curve = next(test for test in reversed(law.backtests) if test.form == law.chosen)
    inferred = sum(row.trust == "inferred" for row in law.kept)
    return (
        f"ViT error saturates: from {law.kept[0].exaflops:.2g} to {law.kept[-1].exaflops:,.0f} exaFLOPs it follows "
        f"E + A C^-b with b = {_interval(b, 3)} and E = {_interval(floor, 1)} % ({b.level:.0%}, {len(law.runs)} runs). "
        f"Frontier points scatter by {law.scatter[law.chosen]:.1%} about it, by {law.scatter['log-log']:.1%} about a "
        f"straight line; a shift of C, as the source has it, leaves {law.scatter['shifted']:.1%}. Shown all but the "
        f"{line.num_hidden} dearest points, the line misses them by {line.miss:.0%}, the law by {curve.miss:.0%}. The "
        f"source's own fit, with more points and the shift, has E = {THEIR_FIT['E']:g} % and b = {THEIR_FIT['b']:g}. "
        f"Of {inferred} of the {len(law.kept)} points the model, and so the compute, is inferred from the order of the "
        "source's tables."
    )


def _keeps_up(evidence: PublishedEvidence) -> str:
    equal = evidence.equal
    bounds = ((equal.mean.high, "in counted FLOPs"), (equal.mean_by_hours.high, "in published device-hours"))
    excluded = "; ".join(
        f"more than {math.expm1(high):.1%} above the law {currency} "
        f"({'within' if high < equal.margin else 'beyond'} the margin of {equal.margin:.0%})"
        for high, currency in bounds
    )
    return (
        f"How much worse the published NFNets can be, recipes included: over {len(equal.differences)} runs from "
        f"{equal.low_exaflops:,.0f} to {equal.high_exaflops:,.0f} exaFLOPs their error lies "
        f"{_percent(equal.mean.estimate)} the law of these ViTs {_range(equal.mean)}. Excluded is a mean error "
        f"{excluded}."
    )


def _peers(evidence: PublishedEvidence) -> str:
    largest = max(evidence.equal.differences, key=lambda each: each.exaflops)
    peers = ", ".join(f"{p.model} {p.error:g} % at {p.exaflops:,.0f} ({p.protocol.test_px} px)" for p in evidence.peers)
    return (
        f"The largest NFNet and its peers stand alike without any law: {largest.model} has {largest.error:g} % error "
        f"at {largest.exaflops:,.0f} exaFLOPs; of ViTs tested at a like resolution, {peers}."
    )


def _currency(evidence: PublishedEvidence) -> str:
    equal = evidence.equal
    total = sum(sd**2 for sd in equal.parts.values())
    share = equal.parts["the conversion of compute"] ** 2 / total
    moved = equal.mean_by_hours.estimate - equal.mean.estimate
    return (
        f"In published device-hours in place of counted FLOPs the mean moves by {abs(moved):.1%}, to "
        f"{_percent(equal.mean_by_hours.estimate)} the law {_range(equal.mean_by_hours)}: {equal.verdict_by_hours}. "
        f"What counting leaves open is {share:.1%} of the interval's variance: this far along its curve, error hardly "
        "depends on compute."
    )


def _aliased(evidence: PublishedEvidence) -> str:
    moved = "; ".join(f"{each.what} ({each.where}) {math.expm1(each.effect):+.1%}" for each in evidence.sensitivities)
    favouring = [each for each in evidence.sensitivities if each.nfnets_alone]
    favour, had = sum(each.effect for each in favouring), " and ".join(each.what for each in favouring)
    return (
        f"What of a difference is architecture: {_held(evidence)}. Between every NFNet and every ViT of the law differ "
        f"{', '.join(evidence.aliased)}, so family and recipe are one variable. Varied alone inside one family, such "
        f"things moved the error by: {moved}. What the NFNets had and the ViTs of the law had not comes to "
        f"{math.expm1(favour):+.1%} ({had}); the difference is {math.expm1(evidence.equal.mean.estimate):+.1%}."
    )


def _floor(evidence: PublishedEvidence) -> str:
    without = "; ".join(
        f"from {check.cheapest:g} exaFLOPs on {_interval(check.floor, 1)} % (the NFNets then lie "
        f"{_percent(check.mean.estimate)})"
        for check in evidence.ranges
    )
    return (
        f"Where ViTs would saturate. The floor hangs on the cheapest points, so it is the form's and not the ViTs': "
        f"all points give {_interval(evidence.vit.intervals['E'], 1)} %; {without}."
    )


def _nfnet_scaling(evidence: PublishedEvidence) -> str:
    line = evidence.nfnet_loss
    no_law, no_fit = (all_told((why,)) for why in (evidence.nfnet.refused, line.refused))
    return (
        f"How NFNets scale. Of their error after fine-tuning there is no law ({no_law}). Their "
        f"held-out loss is drawn as a straight line in ln loss against ln compute and printed nowhere: read off its "
        f"ends, the exponent is {line.exponent:.3f}, between {line.low:.3f} and {line.high:.3f} if each loss is "
        f"misread by {line.reading_error:g} nats. Two ends make no fit ({no_fit}), show no floor and no scatter; "
        "and no ViT's loss on that data was published to compare it with."
    )


def _few_shot(law: PublishedLaw) -> str:
    dearest = law.rows[-1]
    return (
        f"Few-shot accuracy. {len(law.kept)} points of {len(law.runs)} ViT runs fall towards "
        f"{law.parameters['E']:.1f} % error with ten images a class ({dearest.error:g} % seen at "
        f"{dearest.exaflops:,.0f} exaFLOPs), without an interval "
        f"({all_told((law.no_interval,))}); no NFNet was measured so."
    )


def _range_of(evidence: PublishedEvidence) -> str:
    return (
        f"Anything beyond {evidence.vit.kept[-1].exaflops:,.0f} exaFLOPs, any other task, or how much another seed "
        "would differ: every run was published once."
    )


def _percent(log_ratio: float) -> str:
    change = math.expm1(log_ratio)
    if abs(change) < _ABOUT_NOTHING:
        return "on"
    return f"{abs(change):.1%} {'above' if change > 0 else 'below'}"


def _range(found: Interval) -> str:
    low, high = math.expm1(found.low), math.expm1(found.high)
    return f"[{low:+.1%}, {high:+.1%}]"


def _interval(found: Interval, digits: int) -> str:
    return f"{found.estimate:.{digits}f} [{found.low:.{digits}f}, {found.high:.{digits}f}]"
