"""The laws of loss by size and examples, fitted to every tuned cell of a family: a cloud, not a ladder.

Runs of their own are resampled within their budget. Where one budget has few, as in a table whose every run has a
compute of its own, neighbouring budgets are resampled together. Each stratum of n is drawn n - 1 times and weighed by
n / (n - 1), which makes the variance of few runs right (Rao and Wu, "Resampling inference with complex survey data",
1988). Rows of one model that err together, as checkpoints of one run do, are no runs of their own: then errors with the
memory that the residuals show are drawn along each model's rows (dependence.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from levelfield.records.observation import Observation
from levelfield.records.reason import Reason
from levelfield.scaling.fitting.fit import MIN_BUDGETS, Fit, fit_law, without_outliers
from levelfield.scaling.fitting.profile import profile_intervals
from levelfield.scaling.fitting.solver import solve_many
from levelfield.scaling.ladder.backtest import HORIZONS
from levelfield.scaling.ladder.errors import NUM_REFITS
from levelfield.scaling.ladder.forms import interval
from levelfield.scaling.laws import LAWS, Floats
from levelfield.scaling.noise.dependence import Dependence, dependence, err_together
from levelfield.scaling.results.laws import HeldOut, SizeLaw
from levelfield.scaling.results.reasons.laws import FewCloudBudgets, FitEnded, RowsErrTogether
from levelfield.scaling.tables.rungs import grouped, tuned_cells

FORM, REPEATED = "size-and-examples", "repeated"
LEAST_CELLS = 5
"""Cells that are resampled together, at the least."""
REPEATING = 1.05
"""From so many epochs on examples are repeated: then the law of repeated examples competes."""
LEAST_ROWS = 3
"""Rows a model from which their errors can be told to have a memory."""


class Cloud(NamedTuple):
    """A law fitted to ``cells``; ``thetas`` are (draws, parameters) as other runs would have given.

    ``degrees`` of freedom are those of the residuals; ``memory`` is there where rows of one model err together.
    """

    fit: Fit
    cells: tuple[Observation, ...]
    thetas: Floats
    degrees: float
    memory: Dependence | None = None


def clouds_of(
    rows: Sequence[Observation],
    *,
    chance: float | None,
    generator: np.random.Generator,
    delta: float | None = None,
) -> tuple[Cloud, ...] | Reason:
    """The law of size and examples of one family's ``rows``, with that of repeated examples where some repeat.

    Why there is none, where there is none. ``delta`` is the Huber scale in ln loss; left out, the scatter gives it.
    """
    cells = sorted(tuned_cells(rows), key=lambda r: (r.budget_flops, r.params or 0.0, r.run))
    if (num := len({cell.budget_flops for cell in cells})) < MIN_BUDGETS:
        return FewCloudBudgets(num=num, needed=MIN_BUDGETS)
    found: list[Cloud] = []
    for form in (FORM, REPEATED) if _repeats(cells) else (FORM,):
        cloud = _cloud(cells, form, chance, generator, delta)
        if isinstance(cloud, Reason):
            return tuple(found) or cloud
        found.append(cloud)
    return tuple(found)


def _cloud(
    cells: Sequence[Observation],
    form: str,
    chance: float | None,
    generator: np.random.Generator,
    delta: float | None,
) -> Cloud | Reason:
    """The law ``form`` fitted to ``cells``, and to what other runs would have given."""
    fit = fit_law(form, _inputs(cells), [cell.loss for cell in cells], chance=chance, delta=delta)
    if isinstance(fit, Reason):
        return fit
    kept = tuple(cell for cell, row in zip(cells, fit.rows, strict=True) if not row.dropped)
    theta, curves = np.asarray(fit.theta), curves_of(kept)
    if len(kept) >= LEAST_ROWS * len(curves) and err_together(fit.residuals, curves):
        _, slope, _ = fit.law.derivatives(theta, fit.x)
        told = dependence(fit.residuals, slope, np.ones(len(kept)), curves)
        errors = drawn_with_memory(told, kept, generator)
        fitted = fit.law.log_loss(theta, fit.x)
        thetas = solve_many(fit.law, fit.x, fitted + errors, delta=fit.delta, start=theta)
        return Cloud(fit, kept, thetas, told.degrees, told)
    weights = np.empty((NUM_REFITS, len(kept)))
    for its in strata([cell.budget_flops for cell in kept]):
        num = len(its)
        weights[:, its] = generator.multinomial(num - 1, np.full(num, 1 / num), NUM_REFITS) * num / (num - 1)
    thetas = solve_many(fit.law, fit.x, fit.y, weights=weights, delta=fit.delta, start=theta)
    return Cloud(fit, kept, thetas, float(len(kept) - len(theta)))


def drawn_with_memory(memory: Dependence, cells: Sequence[Observation], generator: np.random.Generator) -> Floats:
    """(draws, cells) errors that neighbours along a model's rows share."""
    return np.clip(memory.draws(curves_of(cells), NUM_REFITS, generator), -3.0, 3.0)


def curves_of(cells: Sequence[Observation]) -> list[list[int]]:
    """The places of every model's cells, from short to long."""
    place = {cell.run: at for at, cell in enumerate(cells)}
    models = grouped(cells, lambda r: (r.model, r.params, r.cluster)).values()
    return [[place[cell.run] for cell in sorted(own, key=lambda r: r.examples or 0.0)] for own in models]


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


def size_laws(family: str, clouds: Sequence[Cloud], *, chance: float | None, level: float) -> tuple[SizeLaw, ...]:
    """What ``clouds`` of one family say, the believed one marked.

    That is the law of repeated examples where an F test rejects that a repeated example is as good as a new one, and
    where it does no worse on dearer cells than it was fitted to.
    """
    tested = {each.fit.form: held_out(each, chance=chance) for each in clouds}
    chosen = clouds[0].fit.form
    if REPEATED in tested:
        shared = sorted(tested[FORM].keys() & tested[REPEATED].keys())
        plain, repeated = (sum(float(np.sum(tested[form][at] ** 2)) for at in shared) for form in (FORM, REPEATED))
        chosen = REPEATED if _fade(clouds[1], chance) < 1 - level and repeated <= plain else FORM
    return tuple(_told(family, each, tested[each.fit.form], chosen, level) for each in clouds)


def _fade(repeated: Cloud, chance: float | None) -> float:
    """The p-value of an F test that a repeated example is as good as a new one: ``repeated`` without R."""
    from scipy.special import fdtrc

    fit, losses = repeated.fit, [cell.loss for cell in repeated.cells]
    plain = fit_law(FORM, _inputs(repeated.cells), losses, chance=chance, delta=fit.delta)
    if isinstance(plain, Reason):  # nothing to hold the law of repeated examples against
        return 1.0
    free = len(losses) - len(fit.theta)
    variance = max(float(fit.residuals @ fit.residuals) / free, 1e-16)
    return float(fdtrc(1, free, max(0.0, 2 * (plain.objective - fit.objective) / variance)))


def held_out(found: Cloud, *, chance: float | None) -> dict[tuple[float, float], Floats]:
    """ln seen minus ln foretold, by (horizon, budget), of the cells beyond a half, a quarter, an eighth of the compute.

    A horizon that leaves too few cells to fit is left out.
    """
    errors: dict[tuple[float, float], Floats] = {}
    top = found.cells[-1].budget_flops
    for horizon in HORIZONS:
        below = [cell for cell in found.cells if cell.budget_flops <= top / horizon * (1 + 1e-9)]
        beyond = [cell for cell in found.cells if cell.budget_flops > top / horizon * (1 + 1e-9)]
        fitted = fit_law(
            found.fit.form,
            _inputs(below),
            [cell.loss for cell in below],
            chance=chance,
            delta=found.fit.delta,
        )
        if isinstance(fitted, Reason):
            continue
        for budget in sorted({cell.budget_flops for cell in beyond}):
            there = [cell for cell in beyond if cell.budget_flops == budget]
            given = zip(*(_inputs(there)[name] for name in fitted.law.inputs), strict=True)
            foretold = [fitted.predict(*inputs) for inputs in given]
            errors[horizon, budget] = np.log([cell.loss for cell in there]) - np.log(foretold)
    return errors


def _repeats(cells: Sequence[Observation]) -> bool:
    """Whether some cells saw examples again, and not all of them equally often."""
    epochs = [max(cell.epochs or 1.0, 1.0) for cell in cells]
    return max(epochs) > REPEATING and len(set(epochs)) > 1


def _inputs(cells: Sequence[Observation]) -> dict[str, list[float]]:
    seen = [(cell.params or 0.0, cell.examples or 0.0, max(cell.epochs or 1.0, 1.0)) for cell in cells]
    return {
        "params": [params for params, _, _ in seen],
        "examples": [examples for _, examples, _ in seen],
        "unique_examples": [examples / epochs for _, examples, epochs in seen],
    }


def _told(family: str, found: Cloud, tested: dict[tuple[float, float], Floats], chosen: str, level: float) -> SizeLaw:
    fit, errors = found.fit, np.concatenate([*tested.values(), np.empty(0)])
    drawn = fit.named(found.thetas)
    variance = float(fit.residuals @ fit.residuals) / (len(found.cells) - len(fit.theta))
    return SizeLaw(
        family=family,
        form=fit.form,
        equation=LAWS[fit.form].equation,
        parameters={name: interval(value, drawn[name], level) for name, value in fit.parameters.items()},
        theta=fit.theta,
        log_input_units=fit.log_input_units,
        log_loss_unit=fit.log_loss_unit,
        profiles={}
        if found.memory
        else profile_intervals(fit, variance=max(variance, 1e-16), degrees=found.degrees, level=level),
        chosen=fit.form == chosen,
        remarks=_remarks(found),
        num_cells=len(found.cells),
        scatter=math.sqrt(variance),
        delta=fit.delta,
        objective=fit.objective,
        gradient_norm=fit.gradient_norm,
        agreement=fit.agreement,
        held_out=HeldOut(num_cells=len(errors), error=math.sqrt(float(np.mean(errors**2)))) if len(errors) else None,
    )


def _remarks(found: Cloud) -> tuple[Reason, ...]:
    outliers, fit = without_outliers(found.fit), found.fit
    return (
        FitEnded(ending=fit.ending),
        *fit.remarks,
        *((outliers,) if outliers else ()),
        *((RowsErrTogether(),) if found.memory else ()),
    )
