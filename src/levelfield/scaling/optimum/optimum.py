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
from levelfield.scaling.optimum.size_law import REPEATED, Cloud
from levelfield.scaling.results.intervals import Interval
from levelfield.scaling.results.optima import Allocation, IsoflopProfile, Optimum, OptimumLine
from levelfield.scaling.results.reasons.laws import FitEnded
from levelfield.scaling.results.reasons.optima import FewVertices, FittedOnVertices, ForFreshExamples, NoOptimum

PROFILES, CLOSED_FORM, PARABOLA = "isoFLOP profiles", "closed form", "parabola through all sizes"
LEAST_EXPONENT_GAP, LEAST_SIZE_GAP = 0.005, math.log(1.05)
"""Gaps below these are not worth a doubt, however small the noise."""


class _Draws(NamedTuple):
    """The closed form's exponent of size and ln size at the middle budget: the estimates, and (draws,) of each."""

    exponent: float
    size: float
    exponents: Floats
    sizes: Floats


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
    form resample cells. The two count as independent in the gaps, although the same runs lie
    behind both: that makes the gaps' intervals too wide rather than too narrow.
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
    direct, draws = _closed_form(law, middle, level)
    wide = _parabola(own, middle, level)
    told = Optimum(
        family=allocation.family, budget_flops=math.exp(middle), profiles=local, closed_form=direct, parabola=wide
    )
    if not enough:
        return told
    bias = math.log(wide.params.estimate / local.params.estimate) if wide.params and local.params else None
    growth = line(budgets, sizes - examples, level=level)[1]
    told = dataclasses.replace(told, growth_gap=growth, parabola_bias=bias)
    if draws is not None:
        told = _with_gaps(told, draws, budgets, sizes, middle, level, generator)
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


def _closed_form(law: Cloud | Reason, middle: float, level: float) -> tuple[OptimumLine, _Draws | None]:
    """The optimum of the law of size and examples at ln compute ``middle``."""
    if isinstance(law, Reason):
        return OptimumLine(method=CLOSED_FORM, status=(law,)), None
    fit, (gamma, kappa, start) = law.fit, _cost(law.cells)
    thetas = np.concatenate([np.asarray(fit.theta)[None], law.thetas])
    exponents, sizes = _optimal(thetas, fit, gamma, kappa, start, middle)
    exponent, size = float(exponents[0]), float(sizes[0])
    if not all(map(math.isfinite, (exponent, size))):
        return OptimumLine(method=CLOSED_FORM, status=(NoOptimum(),)), None
    sound = np.isfinite(exponents[1:]) & np.isfinite(sizes[1:])
    draws = _Draws(exponent, size, exponents[1:][sound], sizes[1:][sound])
    bought = start + gamma * middle
    told = OptimumLine(
        method=CLOSED_FORM,
        params_exponent=interval(exponent, draws.exponents, level),
        examples_exponent=interval(gamma - kappa * exponent, gamma - kappa * draws.exponents, level),
        params=interval(size, draws.sizes, level).exponential,
        examples=interval(bought - kappa * size, bought - kappa * draws.sizes, level).exponential,
        status=(*(ForFreshExamples(),) * (fit.form == REPEATED), FitEnded(ending=fit.ending), *fit.remarks),
    )
    return told, draws if fit.supported else None


def _cost(cells: Sequence[Observation]) -> tuple[float, float, float]:
    """gamma, kappa and ln c of D = c C^gamma N^-kappa: what the table's own compute buys (1 and 1 where C = 6 N D)."""
    log = np.log([(cell.budget_flops, cell.params or 1.0, cell.examples or 1.0) for cell in cells])
    design = np.column_stack([np.ones(len(log)), log[:, 0], log[:, 1]])
    start, gamma, slope = np.linalg.lstsq(design, log[:, 2])[0]
    return float(gamma), float(-slope), float(start)


def _optimal(theta: Floats, fit: Fit, gamma: float, kappa: float, start: float, middle: float) -> tuple[Floats, Floats]:
    """The exponent of optimal size, and ln of it at ln compute ``middle``, for thetas of (fits, 5).

    On D = c C^gamma N^-kappa the derivative of A N^-alpha + B D^-beta by ln N vanishes where alpha A N^-alpha =
    kappa beta B D^-beta.
    """
    log_a, alpha, log_b, beta = theta.T[:4]
    units = np.log(fit.input_units)
    log_a, log_b = log_a + alpha * units[0], log_b + beta * units[1]
    with np.errstate(divide="ignore", invalid="ignore"):
        at = np.log(alpha) + log_a - np.log(kappa * beta) - log_b + beta * (start + gamma * middle)
        return gamma * beta / (alpha + kappa * beta), at / (alpha + kappa * beta)


def _with_gaps(
    found: Optimum,
    draws: _Draws,
    budgets: Floats,
    sizes: Floats,
    middle: float,
    level: float,
    generator: np.random.Generator,
) -> Optimum:
    """The closed form against the profiles: each gap at half the remaining doubt, so that both hold at ``level``."""
    strict = (1 + level) / 2
    mean, slope = line(budgets, sizes, level=strict, at=middle)
    assert mean is not None  # asked for at a place
    exponent_gap = _gap(slope, len(budgets) - 2, draws.exponent, draws.exponents, strict, generator)
    size_gap = _gap(mean, len(budgets) - 2, draws.size, draws.sizes, strict, generator)
    doubtful = any(
        not gap.low <= 0 <= gap.high and abs(gap.estimate) >= least
        for gap, least in ((exponent_gap, LEAST_EXPONENT_GAP), (size_gap, LEAST_SIZE_GAP))
    )
    return dataclasses.replace(found, exponent_gap=exponent_gap, size_gap=size_gap, form_doubtful=doubtful)


def _gap(
    own: Interval, degrees: int, other: float, drawn: Floats, level: float, generator: np.random.Generator
) -> Interval:
    """``other`` minus ``own``, which is known by a t interval at ``level`` with ``degrees``."""
    from scipy.special import stdtrit

    error = (own.high - own.estimate) / float(stdtrit(degrees, (1 + level) / 2))
    return interval(
        other - own.estimate,
        drawn - own.estimate - error * generator.standard_t(degrees, len(drawn)),
        level,
    )
