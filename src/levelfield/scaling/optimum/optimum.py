"""The optimum of a budget two ways: isoFLOP profiles, and in closed form from a law of size and examples.

The profiles assume nothing but a smooth minimum; the closed form assumes L = E + A N^-alpha + B D^-beta everywhere.
Where the law holds they agree, so a gap beyond noise says that the form is doubtful, and then the profiles count. The
parabola through all sizes stands beside them because others report it: it misplaces the optimum of a lopsided profile.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from levelfield.records.observation import Observation
from levelfield.records.reason import Reason
from levelfield.scaling.fitting.fit import MIN_BUDGETS, Fit
from levelfield.scaling.ladder.forms import interval
from levelfield.scaling.laws import Floats
from levelfield.scaling.optimum.isoflop import line, optima
from levelfield.scaling.optimum.local import local_minimum
from levelfield.scaling.optimum.paired import Moved, moved_by_noise
from levelfield.scaling.optimum.size_law import REPEATED, Cloud
from levelfield.scaling.results.intervals import Interval
from levelfield.scaling.results.optima import Allocation, IsoflopProfile, Optimum, OptimumLine
from levelfield.scaling.results.reasons.laws import FitEnded
from levelfield.scaling.results.reasons.optima import FewVertices, FittedOnVertices, ForFreshExamples, NoOptimum

PROFILES, CLOSED_FORM, PARABOLA = "isoFLOP profiles", "closed form", "parabola through all sizes"
LEAST_EXPONENT_GAP, LEAST_SIZE_GAP = 0.005, math.log(1.05)
"""Gaps below these are not worth a doubt, however small the noise."""


class _Direct(NamedTuple):
    """The closed form's exponent of size and ln size at the middle budget, and the cost on which it is found."""

    exponent: float
    size: float
    cost: tuple[float, float, float]


def optimum(
    profiles: Sequence[IsoflopProfile],
    allocation: Allocation,
    law: Cloud | Reason,
    *,
    level: float,
    generator: np.random.Generator,
) -> Optimum:
    """The optimum of ``allocation``'s family by profiles, closed form and parabola, and what their gaps say.

    ``law`` is the law of size and examples fitted to all cells, or why there is none.
    Intervals of the profiles and the parabola are those of the line through their vertices (t); those of the closed
    form resample cells. Their gaps are judged by errors that both share (paired.py), as the same runs lie behind both.
    """
    own = [profile for profile in profiles if profile.family == allocation.family]
    budgets, sizes, examples = optima(own, allocation.family)
    enough = len(budgets) >= MIN_BUDGETS
    middle = float(np.mean(budgets if enough else np.log([profile.budget_flops for profile in own])))
    local = OptimumLine(
        method=PROFILES,
        params_exponent=allocation.params_exponent,
        examples_exponent=allocation.examples_exponent,
        params=_line_at(budgets, sizes, middle, level) if enough else None,
        examples=_line_at(budgets, examples, middle, level) if enough else None,
        status=(allocation.status,),
    )
    direct, found = _closed_form(law, middle, level)
    wide = _parabola(own, middle, level)
    told = Optimum(
        family=allocation.family, budget_flops=math.exp(middle), profiles=local, closed_form=direct, parabola=wide
    )
    if not enough:
        return told
    bias = math.log(wide.params.estimate / local.params.estimate) if wide.params and local.params else None
    growth = line(budgets, sizes - examples, level=level)[1]
    told = dataclasses.replace(told, growth_gap=growth, parabola_bias=bias)
    if found is not None and isinstance(law, Cloud) and law.fit.supported:
        moved = moved_by_noise(own, law, generator)
        told = _with_gaps(told, found, law, moved, _line_of(budgets, sizes, middle), level)
    return told


def _line_at(budgets: Floats, logs: Floats, at: float, level: float) -> Interval:
    mean, _ = line(budgets, logs, level=level, at=at)
    assert mean is not None  # asked for at a place
    return mean.exponential


def _parabola(profiles: Sequence[IsoflopProfile], middle: float, level: float) -> OptimumLine:
    """Hoffmann et al.'s approach 2: a parabola through every size of a budget, then a line through the vertices."""
    found, last = [], None
    for profile in profiles:
        points = sorted(profile.points, key=lambda point: point.params)
        size = np.log([point.params for point in points])
        vertex = local_minimum(size, np.log([p.loss for p in points]), width=math.inf, degree=2)
        if isinstance(vertex, Reason):
            last = vertex
        else:
            seen = float(np.interp(vertex, size, np.log([point.examples for point in points])))
            found.append((math.log(profile.budget_flops), vertex, seen))
    if len(found) < MIN_BUDGETS:
        why = FewVertices(num=len(found), num_rungs=len(profiles), needed=MIN_BUDGETS, last=last)
        return OptimumLine(method=PARABOLA, status=(why,))
    budgets, sizes, examples = np.array(found).T
    return OptimumLine(
        method=PARABOLA,
        params_exponent=line(budgets, sizes, level=level)[1],
        examples_exponent=line(budgets, examples, level=level)[1],
        params=_line_at(budgets, sizes, middle, level),
        examples=_line_at(budgets, examples, middle, level),
        status=(FittedOnVertices(num=len(found), num_rungs=len(profiles)),),
    )


def _closed_form(law: Cloud | Reason, middle: float, level: float) -> tuple[OptimumLine, _Direct | None]:
    """The optimum of the law of size and examples at ln compute ``middle``."""
    if isinstance(law, Reason):
        return OptimumLine(method=CLOSED_FORM, status=(law,)), None
    fit, cost = law.fit, _cost(law.cells)
    gamma, kappa, start = cost
    thetas = np.concatenate([np.asarray(fit.theta)[None], law.thetas])
    exponents, sizes = _optimal(thetas, fit, cost, middle)
    exponent, size = float(exponents[0]), float(sizes[0])
    if not all(map(math.isfinite, (exponent, size))):
        return OptimumLine(method=CLOSED_FORM, status=(NoOptimum(),)), None
    sound = np.isfinite(exponents) & np.isfinite(sizes)
    sound[0] = False  # the estimate itself
    exponents, sizes, bought = exponents[sound], sizes[sound], start + gamma * middle
    told = OptimumLine(
        method=CLOSED_FORM,
        params_exponent=interval(exponent, exponents, level),
        examples_exponent=interval(gamma - kappa * exponent, gamma - kappa * exponents, level),
        params=interval(size, sizes, level).exponential,
        examples=interval(bought - kappa * size, bought - kappa * sizes, level).exponential,
        status=(*(ForFreshExamples(),) * (fit.form == REPEATED), FitEnded(ending=fit.ending), *fit.remarks),
    )
    return told, _Direct(exponent, size, cost)


def _cost(cells: Sequence[Observation]) -> tuple[float, float, float]:
    """gamma, kappa and ln c of D = c C^gamma N^-kappa: what the table's own compute buys (1 and 1 where C = 6 N D)."""
    log = np.log([(cell.budget_flops, cell.params or 1.0, cell.examples or 1.0) for cell in cells])
    design = np.column_stack([np.ones(len(log)), log[:, 0], log[:, 1]])
    start, gamma, slope = np.linalg.lstsq(design, log[:, 2])[0]
    return float(gamma), float(-slope), float(start)


def _optimal(theta: Floats, fit: Fit, cost: tuple[float, float, float], middle: float) -> tuple[Floats, Floats]:
    """The exponent of optimal size, and ln of it at ln compute ``middle``, for thetas of (fits, 5).

    On D = c C^gamma N^-kappa the derivative of A N^-alpha + B D^-beta by ln N vanishes where alpha A N^-alpha =
    kappa beta B D^-beta.
    """
    gamma, kappa, start = cost
    log_a, alpha, log_b, beta = theta.T[:4]
    units = np.log(fit.input_units)
    log_a, log_b = log_a + alpha * units[0], log_b + beta * units[1]
    with np.errstate(divide="ignore", invalid="ignore"):
        at = np.log(alpha) + log_a - np.log(kappa * beta) - log_b + beta * (start + gamma * middle)
        return gamma * beta / (alpha + kappa * beta), at / (alpha + kappa * beta)


class _Line(NamedTuple):
    """The least-squares line through vertices: slope and mean at a place, and the weights of the vertices in both."""

    slope: float
    mean: float
    of_slope: Floats
    of_mean: Floats


def _line_of(budgets: Floats, sizes: Floats, at: float) -> _Line:
    """The line through ``sizes``, whose slope and mean at ``at`` are weighted sums of them."""
    off = budgets - budgets.mean()
    of_slope = off / float(off @ off)
    of_mean = 1 / len(budgets) + (at - float(budgets.mean())) * of_slope
    return _Line(float(of_slope @ sizes), float(of_mean @ sizes), of_slope, of_mean)


def _with_gaps(found: Optimum, direct: _Direct, law: Cloud, moved: Moved, local: _Line, level: float) -> Optimum:
    """The closed form against the profiles: both gaps at once at (1 + level) / 2, by which verdicts are decided too."""
    middle, strict = math.log(found.budget_flops or 1.0), (3 + level) / 4
    exponents, sizes = _optimal(moved.thetas, law.fit, direct.cost, middle)
    gaps = []
    for estimate, drawn, own, weights in (
        (direct.exponent, exponents, local.slope, local.of_slope),
        (direct.size, sizes, local.mean, local.of_mean),
    ):
        errors = drawn - estimate - moved.sizes @ weights
        gaps.append(interval(estimate - own, estimate - own + errors[np.isfinite(errors)], strict))
    doubtful = any(
        not gap.low <= 0 <= gap.high and abs(gap.estimate) >= least
        for gap, least in zip(gaps, (LEAST_EXPONENT_GAP, LEAST_SIZE_GAP), strict=True)
    )
    return dataclasses.replace(found, exponent_gap=gaps[0], size_gap=gaps[1], form_doubtful=doubtful)
