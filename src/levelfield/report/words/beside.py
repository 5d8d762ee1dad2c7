"""What stands beside a verdict, in words: how many times the compute, where the sign changes, and over which range."""

from __future__ import annotations

from levelfield.report.words import numbers
from levelfield.scaling.results.intervals import Interval
from levelfield.scaling.results.laws import Currency
from levelfield.scaling.results.reasons.beside import Crosses
from levelfield.scaling.results.reasons.verdicts import EveryRungLimited
from levelfield.scaling.results.verdicts import BudgetVerdict, Comparison


def verdict_clause(comparison: Comparison, verdict: BudgetVerdict) -> str:
    """One verdict of ``comparison`` as a clause, without its reasons."""
    a, b, measure = numbers.family_name(comparison.a), numbers.family_name(comparison.b), comparison.measure
    clause = {
        "better": f"{a} has a lower {measure} than {b}",
        "worse": f"{a} has a higher {measure} than {b}",
        "equivalent": f"{a} and {b} are equivalent within {100 * comparison.margin:.3g} % of {measure}",
    }.get(verdict.verdict, f"one cannot tell {a} from {b}")
    if any(isinstance(reason, EveryRungLimited) for reason in verdict.reasons):
        clause = f"where few images limit training, {clause}"
    return f"{clause} ({numbers.ratio_interval(verdict.difference)})" if verdict.difference else clause


def by_range(comparison: Comparison) -> str:
    """What is found at the largest budget of both, and how that changes with compute; empty where it does not.

    A mean over the range would mislead whoever buys at its end: the trend crosses zero, or is told apart from none and
    changes the difference by more than the margin.
    """
    slope, line = comparison.ancova.slope, comparison.ancova.line
    judged = [each for each in comparison.per_budget if each.difference is not None]
    sloping = slope is not None and not slope.low <= 0 <= slope.high
    changes = sloping and bool(line) and abs(line[-1].y - line[0].y) > comparison.margin
    if not judged or not (changes or comparison.crossover.place) or comparison.overall.difference is None:
        return ""
    top = max(judged, key=lambda each: each.budget)
    where = f"and the largest budget of both ({numbers.currency(top.budget, comparison.currency)})"
    return f"{where} {verdict_clause(comparison, top)}; {_sides(comparison) or _change(comparison)}"


def compute_clause(comparison: Comparison) -> str:
    """How many times the compute of one family the other needs for a loss that both reach; empty where unknown."""
    ratio, loss = comparison.gain.log_ratio, comparison.gain.loss
    if ratio is None or loss is None:
        return ""
    needs, of, factors = comparison.b, comparison.a, ratio
    if ratio.estimate < 0:
        needs, of = of, needs
        factors = Interval(estimate=-ratio.estimate, low=-ratio.high, high=-ratio.low, level=ratio.level)
    unit = "compute" if comparison.currency == "flops" else "device-seconds"
    return (
        f"{numbers.family_name(needs)} needs {gain_text(factors)} the {unit} of {numbers.family_name(of)} for a "
        f"{comparison.measure} of {numbers.loss(loss)}"
    )


def gain_text(interval: Interval | None) -> str:
    """ln(compute of b / compute of a) as a factor: ``1.4× [1.1×, 1.9×]``."""
    if interval is None:
        return numbers.MISSING
    return f"{numbers.factor(interval.estimate)} [{numbers.factor(interval.low)}, {numbers.factor(interval.high)}]"


def crossover_text(comparison: Comparison) -> str:
    """The crossover in its currency with its interval: ``3×10¹¹ FLOPs [10¹¹, 7×10¹¹]``."""
    place = comparison.crossover.place
    if place is None:
        return numbers.MISSING
    low, high = (_bare(end, comparison.currency) for end in (place.low, place.high))
    return f"{numbers.currency(place.estimate, comparison.currency)} [{low}, {high}]"


def _sides(comparison: Comparison) -> str:
    """Who is ahead below the crossover and who above it, as far as the trend is told apart from 0 there."""
    place, line = comparison.crossover.place, comparison.ancova.line
    crosses = next((why for why in comparison.crossover.status if isinstance(why, Crosses)), None)
    if place is None or crosses is None or not line:
        return ""
    above = numbers.family_name(crosses.better)
    below = numbers.family_name(comparison.a if crosses.better == comparison.b else comparison.b)
    parts = []
    if place.low > line[0].x:
        parts.append(f"below {numbers.currency(place.low, comparison.currency)} {below} is ahead")
    if place.high < line[-1].x:
        parts.append(f"above {numbers.currency(place.high, comparison.currency)} {above} is")
    trend = f"the trend crosses zero at {crossover_text(comparison)}"
    return f"{', '.join(parts)}; {trend}" if parts else f"{trend}, and nowhere is told apart from it"


def _change(comparison: Comparison) -> str:
    """The trend at both ends of the range."""
    line = comparison.ancova.line
    if not line:
        return ""
    ends = [
        f"{numbers.signed_percent(end.y)} at {numbers.currency(end.x, comparison.currency)}"
        for end in (line[0], line[-1])
    ]
    a, b = numbers.family_name(comparison.a), numbers.family_name(comparison.b)
    return f"by the trend the {comparison.measure} of {a} relative to {b} goes from {' to '.join(ends)}"


def _bare(value: float, currency: Currency) -> str:
    return numbers.power(value) if currency == "flops" else numbers.seconds(value)
