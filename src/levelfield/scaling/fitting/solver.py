"""The solver: exact damped Newton on the Huber loss of ln-loss residuals, for a whole batch of fits at once.

The objective of a fit is the sum over its points of weight x huber(ln predicted - ln seen), huber being r^2 / 2 up to
``delta`` and delta (|r| - delta / 2) beyond. Starts, bootstrap replicates and profiles are all just fits of one batch;
newton.py takes their steps.
"""

from __future__ import annotations

import numpy as np

from levelfield.scaling.fitting.newton import EXACT, Fits, Solution, descend
from levelfield.scaling.laws import Floats, Law, bounds

CONVERGED = 1e-8
"""A fit has converged when every parameter's gradient is below this share of what its residuals could give it."""
AGREEING = 1e-6
"""Seeds agree on an optimum when their objectives differ by less than this share."""
NUM_SEEDS = 3
"""Seeds of each curve where many are fitted in one batch."""
_CHUNK_BYTES = 16 << 20
_SEEDED_AT_ONCE = 512
"""Fits whose grids of seeds are held in memory together."""
_LAST_STEPS = 1000
"""Further steps for the best start alone, where it has not converged."""
CORRECTIONS = 3
"""Second-order corrections of one step, while each lowers the objective."""
FAR_OUT = np.errstate(over="ignore", invalid="ignore", divide="ignore")
"""A step or a seed may lie where a law has no numbers: it is not taken, and says so by being no better."""


@FAR_OUT
def minimise(
    law: Law,
    x: Floats,
    y: Floats,
    start: Floats,
    *,
    weights: Floats | None = None,
    delta: float | Floats = np.inf,
    low: Floats | None = None,
    high: Floats | None = None,
    max_steps: int = 200,
    tolerance: float = CONVERGED,
    least_gain: float = 0.0,
    corrections: int = CORRECTIONS,
) -> Solution:
    """The optimum from every row of ``start`` (fits, parameters), held inside the bounds.

    ``x`` is (points, inputs) or (fits, points, inputs); ``y`` and ``weights`` are (points,) or (fits, points);
    ``delta`` is one number or (fits,); ``low`` and ``high`` are the law's unless given, (parameters,) or (fits,
    parameters). A fit is done when its gradient is below ``tolerance``, when no step lowers its objective, or when one
    lowers it by a share of less than ``least_gain``. ``corrections`` follow bent valleys; near an optimum there is
    no need.
    """
    num, points = len(start), x.shape[-2]
    low_of_law, high_of_law = bounds(law)
    whole = Fits(
        x=x if x.ndim == 3 else x[None],
        y=np.atleast_2d(y),
        weights=np.atleast_2d(np.ones(points) if weights is None else weights),
        delta=np.atleast_1d(np.asarray(delta, dtype=np.float64))[:, None],
        low=np.atleast_2d(low_of_law if low is None else low),
        high=np.atleast_2d(high_of_law if high is None else high),
    )
    size = max(1, _CHUNK_BYTES // (8 * points * start.shape[-1] ** 2))
    parts = [
        descend(
            law, whole.of(slice(at, at + size)), start[at : at + size], max_steps, tolerance, least_gain, corrections
        )
        for at in range(0, num, size)
    ]
    return Solution(*(np.concatenate(part) for part in zip(*parts, strict=True)))


@FAR_OUT
def solve_one(
    law: Law, x: Floats, y: Floats, *, weights: Floats | None = None, delta: float = np.inf
) -> tuple[Floats, Solution, float]:
    """The optimum of one fit from the law's own number of seeds, and the share of them that agree on it."""
    share = np.ones(len(y)) if weights is None else weights
    starts = law.seeds(x, y[None, :], share[None, :], num=law.num_starts)[0]
    ends = minimise(law, x, y, starts, weights=share, delta=delta)
    objective = np.where(np.isfinite(ends.objective), ends.objective, np.inf)
    best = int(np.argmin(objective))
    agreement = float(np.mean(objective <= objective[best] * (1 + AGREEING) + EXACT))
    end = Solution(*(part[best : best + 1] for part in ends))
    if not end.gradient_norm[0] <= CONVERGED:
        end = minimise(law, x, y, end.theta, weights=share, delta=delta, max_steps=_LAST_STEPS)
    return end.theta[0], end, agreement


@FAR_OUT
def solve_many(
    law: Law,
    x: Floats,
    y: Floats,
    *,
    weights: Floats | None = None,
    delta: float | Floats = np.inf,
    start: Floats | None = None,
    tolerance: float = 1e-6,
    least_gain: float = 1e-6,
) -> Floats:
    """Theta of (fits, parameters) for ln losses ``y`` and ``weights``, (points,) or (fits, points).

    Each fit starts from ``start`` (parameters,), such as the optimum of the points that replicates were drawn from,
    else from its own best seed.
    """
    shape = np.broadcast_shapes(np.atleast_2d(y).shape, np.shape(1.0 if weights is None else weights))
    y, share = np.broadcast_to(y, shape), np.broadcast_to(1.0 if weights is None else weights, shape)
    if start is None:
        parts = [slice(at, at + _SEEDED_AT_ONCE) for at in range(0, len(y), _SEEDED_AT_ONCE)]
        points = [x if x.ndim == 2 else x[part] for part in parts]
        seeds = [law.seeds(at, y[part], share[part], num=1) for at, part in zip(points, parts, strict=True)]
        starts = np.concatenate(seeds)[:, 0]
    else:
        starts = np.broadcast_to(start, (len(y), len(start)))
    found = minimise(
        law,
        x,
        y,
        starts,
        weights=share,
        delta=delta,
        max_steps=40,
        tolerance=tolerance,
        least_gain=least_gain,
        corrections=CORRECTIONS if start is None else 0,
    )
    return found.theta
