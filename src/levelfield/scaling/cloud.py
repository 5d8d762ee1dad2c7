"""The laws of loss by size and examples, fitted to every cell of a family's profiles: a cloud, not a ladder.

Cells are resampled within their budget. Where one budget has few cells, as in a table whose every run has a compute of
its own, neighbouring budgets are resampled together. Each stratum of n cells is drawn n - 1 times and weighed by
n / (n - 1), which makes the variance of few cells right (Rao and Wu, "Resampling inference with complex survey data",
1988).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from levelfield.records.errors import RefusedError
from levelfield.scaling.analysis import HeldOut, Interval, IsoflopPoint, IsoflopProfile, SizeLaw
from levelfield.scaling.backtest import HORIZONS
from levelfield.scaling.choose import NUM_DRAWS, interval
from levelfield.scaling.fit import MIN_BUDGETS, Fit, fit_law
from levelfield.scaling.laws import LAWS, Floats
from levelfield.scaling.profile import profile_intervals
from levelfield.scaling.solver import solve_many

FORM, REPEATED = "size-and-examples", "repeated"
LEAST_CELLS = 5
"""Cells that are resampled together, at the least."""
REPEATING = 1.05
"""From so many epochs on examples are repeated: then the law of repeated examples competes."""


class Cell(NamedTuple):
    """The best run of one size at one budget."""

    budget_flops: float
    point: IsoflopPoint

    @property
    def unique_examples(self) -> float:
        return self.point.examples / max(self.point.epochs or 1.0, 1.0)


class Cloud(NamedTuple):
    """A law fitted to ``cells``, and ``thetas`` of (draws, parameters) fitted to cells resampled."""

    fit: Fit
    cells: tuple[Cell, ...]
    thetas: Floats


def clouds_of(
    profiles: Sequence[IsoflopProfile], *, chance_loss: float | None, generator: np.random.Generator
) -> tuple[Cloud, ...] | str:
    """The law of size and examples of one family's ``profiles``, with that of repeated examples where some repeat.

    Why there is none, where there is none.
    """
    cells = [Cell(profile.budget_flops, point) for profile in profiles for point in profile.points]
    cells.sort(key=lambda cell: (cell.budget_flops, cell.point.params))
    if (num := len({cell.budget_flops for cell in cells})) < MIN_BUDGETS:
        return f"{num} budgets, at least {MIN_BUDGETS} are needed"
    found = []
    for form in (FORM, REPEATED) if _repeats(cells) else (FORM,):
        try:
            found.append(_cloud(cells, form, chance_loss, generator))
        except RefusedError as refused:
            return tuple(found) or str(refused)
    return tuple(found)


def _cloud(cells: Sequence[Cell], form: str, chance_loss: float | None, generator: np.random.Generator) -> Cloud:
    """The law ``form`` fitted to ``cells``, and to cells resampled."""
    found = fit_law(form, _inputs(cells), [cell.point.loss for cell in cells], chance_loss=chance_loss)
    kept = tuple(cell for cell, row in zip(cells, found.rows, strict=True) if not row.dropped)
    weights = np.empty((NUM_DRAWS, len(kept)))
    for its in strata([cell.budget_flops for cell in kept]):
        num = len(its)
        weights[:, its] = generator.multinomial(num - 1, np.full(num, 1 / num), NUM_DRAWS) * num / (num - 1)
    start = np.asarray(found.theta)
    thetas = solve_many(found.law, found.x, found.y, weights=weights, delta=found.delta, start=start)
    return Cloud(found, kept, thetas)


def strata(budgets: Sequence[float]) -> list[list[int]]:
    """The places of rising ``budgets`` that are resampled together: equal ones, neighbours where those are few."""
    groups: list[list[int]] = [[]]
    for place, budget in enumerate(budgets):
        own = groups[-1]
        if own and budget != budgets[own[-1]] and len(own) >= LEAST_CELLS:
            groups.append([])
        groups[-1].append(place)
    if len(groups) > 1 and len(groups[-1]) < LEAST_CELLS:
        groups[-2:] = [groups[-2] + groups[-1]]
    return groups


def size_laws(family: str, clouds: Sequence[Cloud], *, chance_loss: float | None, level: float) -> tuple[SizeLaw, ...]:
    """What ``clouds`` of one family say, the believed one marked.

    That is the law of repeated examples where an F test rejects that a repeated example is as good as a new one, and
    where it does no worse on dearer cells than it was fitted to.
    """
    tested = {each.fit.form: held_out(each, chance_loss=chance_loss) for each in clouds}
    chosen = clouds[0].fit.form
    if REPEATED in tested:
        shared = sorted(tested[FORM].keys() & tested[REPEATED].keys())
        plain, repeated = (sum(float(np.sum(tested[form][at] ** 2)) for at in shared) for form in (FORM, REPEATED))
        chosen = REPEATED if _fade(clouds[1], chance_loss) < 1 - level and repeated <= plain else FORM
    return tuple(_told(family, each, tested[each.fit.form], chosen, level) for each in clouds)


def _fade(repeated: Cloud, chance_loss: float | None) -> float:
    """The p-value of an F test that a repeated example is as good as a new one: ``repeated`` without R."""
    from scipy.special import fdtrc

    fit, losses = repeated.fit, [cell.point.loss for cell in repeated.cells]
    plain = fit_law(FORM, _inputs(repeated.cells), losses, chance_loss=chance_loss, delta=fit.delta)
    free = len(losses) - len(fit.theta)
    variance = max(float(fit.residuals @ fit.residuals) / free, 1e-16)
    return float(fdtrc(1, free, max(0.0, 2 * (plain.objective - fit.objective) / variance)))


def held_out(found: Cloud, *, chance_loss: float | None) -> dict[tuple[float, float], Floats]:
    """ln seen minus ln foretold, by (horizon, budget), of the cells beyond a half, a quarter, an eighth of the compute.

    A horizon that leaves too few cells to fit is left out.
    """
    errors: dict[tuple[float, float], Floats] = {}
    top = found.cells[-1].budget_flops
    for horizon in HORIZONS:
        below = [cell for cell in found.cells if cell.budget_flops <= top / horizon * (1 + 1e-9)]
        beyond = [cell for cell in found.cells if cell.budget_flops > top / horizon * (1 + 1e-9)]
        try:
            fitted = fit_law(
                found.fit.form,
                _inputs(below),
                [cell.point.loss for cell in below],
                chance_loss=chance_loss,
                delta=found.fit.delta,
            )
        except RefusedError:
            continue
        for budget in sorted({cell.budget_flops for cell in beyond}):
            there = [cell for cell in beyond if cell.budget_flops == budget]
            given = zip(*(_inputs(there)[name] for name in fitted.law.inputs), strict=True)
            foretold = [fitted.predict(*inputs) for inputs in given]
            errors[horizon, budget] = np.log([cell.point.loss for cell in there]) - np.log(foretold)
    return errors


def _repeats(cells: Sequence[Cell]) -> bool:
    """Whether some cells saw examples again, and not all of them equally often."""
    epochs = [max(cell.point.epochs or 1.0, 1.0) for cell in cells]
    return max(epochs) > REPEATING and len(set(epochs)) > 1


def _inputs(cells: Sequence[Cell]) -> dict[str, list[float]]:
    return {
        "params": [cell.point.params for cell in cells],
        "examples": [cell.point.examples for cell in cells],
        "unique_examples": [cell.unique_examples for cell in cells],
    }


def _told(family: str, found: Cloud, tested: dict[tuple[float, float], Floats], chosen: str, level: float) -> SizeLaw:
    fit, errors = found.fit, np.concatenate([*tested.values(), np.empty(0)])
    units = np.log(fit.input_units).tolist()
    drawn = fit.law.named(found.thetas, log_units=units, log_loss_unit=math.log(fit.loss_unit))
    parameters: dict[str, Interval] = {
        name: interval(value, drawn[name], level) for name, value in fit.parameters.items()
    }
    degrees = len(found.cells) - len(fit.theta)
    variance = float(fit.residuals @ fit.residuals) / degrees
    return SizeLaw(
        family=family,
        form=fit.form,
        equation=LAWS[fit.form].equation,
        parameters=parameters,
        profiles=profile_intervals(fit, variance=max(variance, 1e-16), degrees=degrees, level=level),
        chosen=fit.form == chosen,
        status="; ".join((fit.status, *fit.remarks)),
        num_cells=len(found.cells),
        scatter=math.sqrt(variance),
        delta=fit.delta,
        objective=fit.objective,
        gradient_norm=fit.gradient_norm,
        agreement=fit.agreement,
        held_out=HeldOut(num_cells=len(errors), error=math.sqrt(float(np.mean(errors**2)))) if len(errors) else None,
    )
