"""Choosing a form and a recency weight by pooled rolling-origin backtests in compute.

Each curve is cut where compute is a half, a quarter and an eighth of its largest; every candidate is fitted to what
lies below the cut and scored on what lies above. One curve's backtests are too noisy to choose by, so all curves of a
table are pooled; of the candidates that are not worse than the best by more than one paired standard error, the one
with the fewest parameters is taken, then the one that leans least on late points.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from levelfield.records.errors import InputError
from levelfield.scaling.fitting.fit import recency_weights
from levelfield.scaling.fitting.solver import FAR_OUT, NUM_SEEDS, minimise
from levelfield.scaling.laws import LAWS, Floats

HORIZONS = (2.0, 4.0, 8.0)
"""How far beyond the fitted part a backtest looks: largest compute over the largest fitted."""
LONG_CURVE = 10
"""Points from which a curve is a learning curve rather than a frontier of rungs."""
MIN_POINTS = 6
RECENCIES = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
CURVE_FORMS = ("log-log", "saturating", "shifted")


class LawForm(NamedTuple):
    """A form of law and the power of compute that weighs its points."""

    form: str
    recency: float = 0.0

    @property
    def simplicity(self) -> tuple[int, float]:
        return len(LAWS[self.form].parameters), self.recency


CANDIDATES = tuple(LawForm(form, recency) for form in CURVE_FORMS for recency in RECENCIES)
CHALLENGERS = (LawForm("m4"), LawForm("broken"))
"""Forms of more parameters, as published: they must beat the chosen one by more than a standard error."""


@dataclass(frozen=True, kw_only=True)
class LossCurve:
    """A learning curve or a family's frontier: losses at rising compute, in any unit of either."""

    name: str
    compute: Floats
    loss: Floats

    def __post_init__(self) -> None:
        if len(self.compute) != len(self.loss):
            raise InputError(f"{self.name}: {len(self.compute)} values of compute, {len(self.loss)} of loss")
        if not (np.all(np.isfinite(self.compute) & (self.compute > 0)) and np.all(self.loss > 0)):
            raise InputError(f"{self.name}: compute and loss must be positive and finite")
        order = np.argsort(self.compute, kind="stable")
        object.__setattr__(self, "compute", np.asarray(self.compute, dtype=np.float64)[order])
        object.__setattr__(self, "loss", np.asarray(self.loss, dtype=np.float64)[order])

    def below(self, compute: float) -> LossCurve:
        """The part at or below ``compute``."""
        kept = self.compute <= compute
        return LossCurve(name=self.name, compute=self.compute[kept], loss=self.loss[kept])


@dataclass(frozen=True, kw_only=True)
class Extrapolation:
    """One curve beyond its cut: ln distances from the largest fitted compute, and ln seen minus ln predicted there."""

    curve: str
    horizon: float
    distances: Floats
    errors: Floats

    @property
    def score(self) -> float:
        """The root mean square of the errors."""
        return math.sqrt(float(np.mean(self.errors**2)))


@dataclass(frozen=True, kw_only=True)
class ChosenForm:
    """The candidate to believe, and what it was chosen from.

    ``scores`` are mean root-mean-square errors in ln loss, over the (curve, horizon) cells that all candidates share;
    ``excess_error`` is the paired standard error of the chosen one's excess over the ``best``. ``challenges`` are
    (challenger's error, error of the one it challenged) over the cells that those two share.
    """

    chosen: LawForm
    best: LawForm
    scores: dict[LawForm, float]
    excess_error: float
    num_cells: int
    extrapolations: tuple[Extrapolation, ...] = field(repr=False)
    challenges: dict[LawForm, tuple[float, float]] = field(default_factory=dict)


@FAR_OUT
def fit_curves(curves: Sequence[LossCurve], candidate: LawForm) -> list[tuple[Floats, float, float]]:
    """The best theta of every curve, with its units ln compute and ln loss: all curves in one batch."""
    law = LAWS[candidate.form]
    longest = max(len(curve.compute) for curve in curves)
    x, y, weights = (np.zeros((len(curves), longest)) for _ in range(3))
    units = []
    for place, curve in enumerate(curves):
        log_compute, log_loss = np.log(curve.compute), np.log(curve.loss)
        units.append((float(log_compute.mean()), float(log_loss.mean())))
        among = slice(0, len(log_compute))
        x[place, among], y[place, among] = log_compute - units[-1][0], log_loss - units[-1][1]
        weights[place, among] = recency_weights(log_compute[:, None], candidate.recency)
    starts = law.seeds(x[..., None], y, weights, num=NUM_SEEDS)
    num = starts.shape[1]
    found = minimise(
        law,
        np.repeat(x[..., None], num, axis=0),
        np.repeat(y, num, axis=0),
        starts.reshape(len(curves) * num, -1),
        weights=np.repeat(weights, num, axis=0),
        max_steps=60,
        tolerance=1e-6,
        least_gain=1e-7,
    )
    best = np.argmin(found.objective.reshape(len(curves), num), axis=-1)
    thetas = found.theta.reshape(len(curves), num, -1)[np.arange(len(curves)), best]
    return [(theta, *unit) for theta, unit in zip(thetas, units, strict=True)]


def backtests(
    curves: Sequence[LossCurve], candidate: LawForm, *, horizons: Sequence[float] = HORIZONS
) -> tuple[Extrapolation, ...]:
    """Every extrapolation that leaves enough points below the cut and at least one beyond it.

    Enough is one more than parameters, and at least 6 on a learning curve, whose rows are noisy and dependent.
    """
    needed = len(LAWS[candidate.form].parameters) + 1
    cuts = [(curve, curve.below(curve.compute[-1] / horizon), horizon) for horizon in horizons for curve in curves]
    cuts = [
        (whole, part, horizon)
        for whole, part, horizon in cuts
        if (max(needed, MIN_POINTS) if len(whole.compute) >= LONG_CURVE else needed) <= len(np.unique(part.compute))
        and len(part.compute) < len(whole.compute)
    ]
    if not cuts:
        return ()
    fits = fit_curves([part for _, part, _ in cuts], candidate)
    return tuple(
        extrapolation(whole, part.compute[-1], fitted, candidate.form, horizon)
        for (whole, part, horizon), fitted in zip(cuts, fits, strict=True)
    )


def worthwhile(curves: Sequence[LossCurve], candidates: Sequence[LawForm] = CANDIDATES) -> tuple[LawForm, ...]:
    """The candidates that leave half of the curves worth 6 points or more, sum(w)^2 / sum(w^2) of their weights."""

    def worth(curve: LossCurve, recency: float) -> float:
        weights = recency_weights(np.log(curve.compute)[:, None], recency)
        return float(weights.sum() ** 2 / (weights @ weights))

    kept = {r for r in RECENCIES if np.median([worth(curve, r) for curve in curves]) >= MIN_POINTS}
    return tuple(candidate for candidate in candidates if candidate.recency in kept)


@FAR_OUT
def extrapolation(
    whole: LossCurve, cut: float, fitted: tuple[Floats, float, float], form: str, horizon: float
) -> Extrapolation:
    """How a fit (as of :func:`fit_curves`) to the part of ``whole`` up to ``cut`` does beyond it."""
    theta, compute_unit, loss_unit = fitted
    beyond = whole.compute > cut
    log_compute = np.log(whole.compute[beyond])
    predicted = LAWS[form].log_loss(theta, (log_compute - compute_unit)[:, None]) + loss_unit
    return Extrapolation(
        curve=whole.name,
        horizon=horizon,
        distances=log_compute - math.log(cut),
        errors=np.log(whole.loss[beyond]) - predicted,
    )


def choose(
    curves: Sequence[LossCurve],
    candidates: Sequence[LawForm] = CANDIDATES,
    *,
    horizons: Sequence[float] = HORIZONS,
    noise_sd: float = 0.0,
) -> ChosenForm | None:
    """The candidate that pooled backtests prefer by the one-standard-error rule; None where no cell is shared.

    ``noise_sd`` is the sd of a held-out ln loss: scores that differ by less than it, over the root of the number of
    cells, are not told apart however alike they are.
    """
    tested = {candidate: backtests(curves, candidate, horizons=horizons) for candidate in candidates}
    tested = {candidate: found for candidate, found in tested.items() if found}
    if not tested:
        return None
    shared = _shared(tested.values())
    if not shared:
        return None
    names = sorted({curve for curve, _ in shared})
    table = {candidate: _by_curve(found, shared) for candidate, found in tested.items()}
    means = {candidate: float(scores.mean()) for candidate, scores in table.items()}
    best = min(means, key=lambda candidate: (means[candidate], candidate.simplicity))
    floor = noise_sd / math.sqrt(len(shared))

    def excess_error(candidate: LawForm) -> float:
        if len(names) < 2:
            return floor
        return max(floor, float(np.std(table[candidate] - table[best], ddof=1)) / math.sqrt(len(names)))

    near = [candidate for candidate in means if means[candidate] - means[best] <= excess_error(candidate)]
    chosen = min([best, *near], key=lambda candidate: candidate.simplicity)
    return ChosenForm(
        chosen=chosen,
        best=best,
        scores=means,
        excess_error=excess_error(chosen),
        num_cells=len(shared),
        extrapolations=tested[chosen],
    )


def challenged(choice: ChosenForm, curves: Sequence[LossCurve]) -> ChosenForm:
    """``choice``, or the challenger that beats it by more than one paired standard error over the curves."""
    for challenger in CHALLENGERS:
        found = backtests(curves, challenger)
        if not (shared := _shared([found, choice.extrapolations])):
            continue
        theirs, own = _by_curve(found, shared), _by_curve(choice.extrapolations, shared)
        gain, doubt = own - theirs, math.inf
        if len(gain) > 1:
            doubt = float(gain.std(ddof=1)) / math.sqrt(len(gain))
        scores = (float(theirs.mean()), float(own.mean()))
        choice = replace(choice, challenges={**choice.challenges, challenger: scores})
        if gain.mean() > doubt:
            choice = replace(choice, chosen=challenger, extrapolations=found)
    return choice


def _shared(tested: Iterable[Sequence[Extrapolation]]) -> list[tuple[str, float]]:
    """The (curve, horizon) cells that all have."""
    return sorted(set.intersection(*({(e.curve, e.horizon) for e in found} for found in tested)))


def _by_curve(found: Sequence[Extrapolation], shared: Sequence[tuple[str, float]]) -> Floats:
    """The mean score of every curve over its ``shared`` cells: backtests of one curve are one piece of evidence."""
    scores = {(e.curve, e.horizon): e.score for e in found}
    names = sorted({curve for curve, _ in shared})
    return np.array([np.mean([scores[cell] for cell in shared if cell[0] == name]) for name in names], dtype=float)
