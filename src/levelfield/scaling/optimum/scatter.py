"""How cells err, told by their scatter about the isoFLOP curves: whatever form a law of size and examples has.

Estimated: σ², the variance of the ln loss of one cell at every budget, from how far cells lie from the local curve of
their budget (local.py), and ρ, the memory by which the cells of one model err together from budget to budget. A law's
own residuals hold what its form lacks, too: on published sweeps they are 4 to 13 times the scatter about the curves,
and errors as large as that hide the very gap that they should be held against.

Assumed: near its minimum ln loss is a cubic in ln size (a parabola through fewer than five sizes), ln σ² is a line in
ln compute (noise/variances.py), and cells farther off err as those of their budget do. Symbols:
docs/explanation/notation.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from levelfield.records.observation import Observation
from levelfield.records.reason import Reason
from levelfield.scaling.ladder.errors import NUM_REFITS
from levelfield.scaling.laws import Floats
from levelfield.scaling.noise.dependence import Dependence, dependence
from levelfield.scaling.noise.variances import plausible_variances
from levelfield.scaling.optimum.isoflop import LEAST_DEGREES
from levelfield.scaling.optimum.local import local_curve
from levelfield.scaling.optimum.size_law import LEAST_ROWS, curves_of

_CERTAIN = 1e12
"""Degrees of freedom of a sd of 1, whose uncertainty lies in the variances instead."""


class _Left(NamedTuple):
    """What the curve of one budget leaves over: of the cells at ``places``, with the ``design`` that took the rest."""

    places: list[int]
    design: Floats
    residuals: Floats

    @property
    def degrees(self) -> int:
        return len(self.residuals) - self.design.shape[1]


def errors_about_curves(cells: Sequence[Observation], generator: np.random.Generator) -> Floats | None:
    """(NUM_REFITS, cells) errors of ln loss, as the curves through equal budgets show them.

    None where fewer than ``LEAST_DEGREES`` degrees of freedom are left over to tell.
    """
    budgets = sorted({cell.budget_flops for cell in cells})
    rung = np.array([budgets.index(cell.budget_flops) for cell in cells])
    left = [_left_over(cells, np.flatnonzero(rung == place).tolist()) for place in range(len(budgets))]
    degrees = np.array([each.degrees if each else 0 for each in left], dtype=float)
    if degrees.sum() < LEAST_DEGREES:
        return None
    seen = [float(each.residuals @ each.residuals) / each.degrees if each else 0.0 for each in left]
    log_compute = np.log(budgets)
    drawn = plausible_variances(np.array(seen), degrees, ["all"] * len(budgets), log_compute, num=NUM_REFITS)
    typical = np.sqrt(np.exp(np.log(drawn).mean(axis=0)))
    memory = _memory(cells, [each for each in left if each], typical[rung])
    alike = Dependence(1.0, memory, _CERTAIN).draws(curves_of(cells), NUM_REFITS, generator)
    return np.clip(alike * np.sqrt(generator.permutation(drawn))[:, rung], -3.0, 3.0)


def _left_over(cells: Sequence[Observation], places: list[int]) -> _Left | None:
    """Of the cells at ``places``, which share a budget; None where no curve leaves anything over."""
    places = sorted(places, key=lambda place: cells[place].params or 0.0)
    points = np.log([(cells[place].params or 1.0, cells[place].loss) for place in places])
    curve = local_curve(points[:, 0], points[:, 1])
    if isinstance(curve, Reason) or len(curve.x) <= curve.degree + 1:
        return None
    y = points[curve.near, 1]
    near = [place for place, is_near in zip(places, curve.near, strict=True) if is_near]
    return _Left(near, curve.design, y - curve.design @ np.linalg.lstsq(curve.design, y)[0])


def _memory(cells: Sequence[Observation], left: Sequence[_Left], sd: Floats) -> float:
    """ρ of neighbours along a model's cells, whose errors have the ``sd`` (cells,); 0 where they err alone."""
    places = np.concatenate([each.places for each in left])
    among = {int(place): at for at, place in enumerate(places)}
    curves = [[among[place] for place in curve if place in among] for curve in curves_of(cells)]
    curves = [curve for curve in curves if curve]
    residuals = np.concatenate([each.residuals for each in left]) / sd[places]
    if len(residuals) < LEAST_ROWS * len(curves):
        return 0.0
    widths = np.cumsum([0, *(each.design.shape[1] for each in left)])
    design, start = np.zeros((len(residuals), widths[-1])), 0
    for each, first, last in zip(left, widths[:-1], widths[1:], strict=True):
        design[start : start + len(each.residuals), first:last] = each.design
        start += len(each.residuals)
    return dependence(residuals, design / sd[places][:, None], np.ones(len(residuals)), curves).memory
