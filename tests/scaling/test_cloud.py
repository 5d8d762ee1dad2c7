"""The laws of size and examples: coefficients with intervals, on grids, on clouds, and where examples repeat."""

from __future__ import annotations

import math

import numpy as np
import pytest

from levelfield.records.observation import Observation
from levelfield.scaling.analyse import analyse
from levelfield.scaling.next.predict import predict
from levelfield.scaling.optimum.size_law import clouds_of, size_laws, strata
from levelfield.scaling.results.reasons.laws import RowsErrTogether
from levelfield.scaling.results.reasons.predictions import SizeByLaw
from levelfield.scaling.tables.rungs import tuned_cells
from tests.narrowed import present
from tests.scaling.planted import binomial_bounds, planted_times

TRUTH = {"E": 1.69, "A": 406.4, "alpha": 0.34, "B": 410.7, "beta": 0.28}


def planted_loss(params: float, examples: float) -> float:
    return TRUTH["E"] + TRUTH["A"] * params ** -TRUTH["alpha"] + TRUTH["B"] * examples ** -TRUTH["beta"]


def runs(sizes, examples, losses, *, compute=None, epochs=None):
    compute = [6 * n * d for n, d in zip(sizes, examples, strict=True)] if compute is None else compute
    epochs = [None] * len(sizes) if epochs is None else epochs
    return [
        Observation(
            run=str(place),
            family="all",
            model=f"{n:.8g}",
            role="search",
            loss=loss,
            budget_flops=c,
            train_flops=c,
            params=n,
            examples=d,
            epochs=e,
        )
        for place, (n, d, loss, c, e) in enumerate(zip(sizes, examples, losses, compute, epochs, strict=True))
    ]


def cloud_rows(generator: np.random.Generator, *, num: int = 150, sd: float = 0.005) -> list[Observation]:
    """Runs scattered in size and length, every one with a compute of its own."""
    sizes = np.exp(generator.uniform(math.log(4e7), math.log(1e10), num)).tolist()
    examples = [20 * n * math.exp(generator.uniform(-2, 2)) for n in sizes]
    noisy = sd * generator.standard_normal(num)
    losses = [planted_loss(n, d) * math.exp(e) for n, d, e in zip(sizes, examples, noisy, strict=True)]
    return runs(sizes, examples, losses)


def grid_rows(generator: np.random.Generator, *, sd: float = 0.005) -> list[Observation]:
    """Three sizes at each of eight budgets: too few a budget to be resampled by themselves."""
    compute = [c for c in np.geomspace(1e18, 1e21, 8).tolist() for _ in range(3)]
    sizes = [s * math.sqrt(c / 120) for c, s in zip(compute, [0.4, 1.0, 2.5] * 8, strict=True)]
    examples = [c / 6 / n for c, n in zip(compute, sizes, strict=True)]
    noisy = sd * generator.standard_normal(len(sizes))
    losses = [planted_loss(n, d) * math.exp(e) for n, d, e in zip(sizes, examples, noisy, strict=True)]
    return runs(sizes, examples, losses, compute=compute)


def laws_of(rows: list[Observation]):
    clouds = present(clouds_of(rows, chance=None, generator=np.random.default_rng(0)))
    return size_laws("all", clouds, chance=None, level=0.9)


@planted_times(10, 25)
@pytest.mark.parametrize("rows", [cloud_rows, grid_rows])
def test_planted_coefficients_are_covered_at_the_stated_rate(rows, num):
    hits, profiled = dict.fromkeys(TRUTH, 0), dict.fromkeys(("E", "alpha", "beta"), 0)
    for place in range(num):
        (law,) = laws_of(rows(np.random.default_rng([1, place])))
        for name, truth in TRUTH.items():
            hits[name] += law.parameters[name].low <= truth <= law.parameters[name].high
        for name in profiled:
            found = law.profiles[name]
            profiled[name] += (found.low or 0.0) <= TRUTH[name] <= (found.high or math.inf)
    print(rows.__name__, "resampled:", {name: f"{n / num:.0%}" for name, n in hits.items()})
    print(rows.__name__, "by profile likelihood:", {name: f"{n / num:.0%}" for name, n in profiled.items()})
    for share in (*hits.values(), *profiled.values()):
        assert share / num >= binomial_bounds(0.9, num)[0]


def test_a_cloud_has_coefficients_an_optimum_and_intervals_though_no_budget_has_a_second_run():
    found = analyse(cloud_rows(np.random.default_rng(0)))
    (law,), (optimum,) = found.size_laws, found.optima
    assert law.chosen
    assert law.num_cells == 150
    assert law.held_out is not None
    assert law.held_out.error < 0.01
    told = present(optimum.closed_form.params_exponent)
    assert told.estimate == pytest.approx(TRUTH["beta"] / (TRUTH["alpha"] + TRUTH["beta"]), abs=0.03)
    assert 0.01 < told.high - told.low < 0.2


@pytest.mark.slow
def test_a_cloud_foretells_size_examples_and_their_loss_at_a_budget_by_the_closed_form():
    (found,) = predict(analyse(cloud_rows(np.random.default_rng(0)), compared=False), budget=1e23)
    ratio = TRUTH["alpha"] * TRUTH["A"] / (TRUTH["beta"] * TRUTH["B"])
    size = (ratio * (1e23 / 6) ** TRUTH["beta"]) ** (1 / (TRUTH["alpha"] + TRUTH["beta"]))
    assert present(found.params_interval).low < size < present(found.params_interval).high
    assert present(found.examples_interval).low < 1e23 / 6 / size < present(found.examples_interval).high
    assert any(isinstance(note, SizeByLaw) for note in found.notes)
    assert present(found.loss).estimate == pytest.approx(planted_loss(size, 1e23 / 6 / size), rel=0.01)


def test_budgets_of_few_runs_are_resampled_with_their_neighbours():
    assert strata([1.0] * 5 + [2.0] * 6) == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9, 10]]
    assert strata([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]) == [list(range(7))]
    assert strata([1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 3.0, 3.0, 3.0, 4.0, 4.0]) == [list(range(6)), list(range(6, 11))]


def repeated_rows(generator: np.random.Generator, *, worth: float) -> list[Observation]:
    """A data set of 1e9 examples, seen up to 32 times; R = ``worth`` (inf: a repeated example is as good as new)."""
    unique = 1e9
    sizes = np.repeat(np.geomspace(1e7, 1e9, 6), 8).tolist()
    examples = np.tile(unique * np.geomspace(0.25, 32.0, 8), 6).tolist()
    effective = [
        d if d <= unique or math.isinf(worth) else unique + unique * worth * (1 - math.exp(-(d / unique - 1) / worth))
        for d in examples
    ]
    noisy = 0.003 * generator.standard_normal(len(sizes))
    losses = [planted_loss(n, d) * math.exp(e) for n, d, e in zip(sizes, effective, noisy, strict=True)]
    return runs(sizes, examples, losses, epochs=[d / unique for d in examples])


@planted_times(4, 10)
def test_the_law_of_repeated_examples_is_chosen_where_repeats_are_worth_less_and_its_worth_is_covered(num):
    hits = 0
    for place in range(num):
        plain, repeated = laws_of(repeated_rows(np.random.default_rng([2, place]), worth=4.0))
        assert (plain.form, repeated.form) == ("size-and-examples", "repeated")
        assert repeated.chosen
        assert not plain.chosen
        assert present(repeated.held_out).error < present(plain.held_out).error
        hits += repeated.parameters["R"].low <= 4.0 <= repeated.parameters["R"].high
    print(f"worth of repeats: coverage at 0.9 {hits / num:.0%}")
    assert hits / num >= binomial_bounds(0.9, num)[0]


@planted_times(4, 10)
def test_the_law_of_repeated_examples_is_rarely_chosen_where_a_repeat_is_as_good_as_new(num):
    chosen = sum(laws_of(repeated_rows(np.random.default_rng([3, p]), worth=math.inf))[1].chosen for p in range(num))
    print(f"repeats as good as new, yet the other law is chosen: {chosen / num:.0%}")
    assert chosen / num <= binomial_bounds(0.1, num)[1]


def test_without_epochs_or_where_all_runs_saw_one_epoch_the_law_of_repeated_examples_is_not_offered():
    rows = cloud_rows(np.random.default_rng(0), num=40)
    assert len(laws_of(rows)) == 1
    assert len(laws_of([Observation(**{**vars(row), "epochs": 1.0}) for row in rows])) == 1


def checkpoint_rows(generator: np.random.Generator, *, memory: float) -> list[Observation]:
    """Twelve runs of 25 checkpoints each, whose errors remember those before them."""
    sizes, examples, losses = [], [], []
    for size in np.geomspace(3e7, 1e10, 12).tolist():
        error = generator.standard_normal()
        for seen in np.geomspace(1e9, 3e11, 25).tolist():
            sizes.append(size)
            examples.append(seen)
            losses.append(planted_loss(size, seen) * math.exp(0.01 * error))
            error = memory * error + math.sqrt(1 - memory**2) * generator.standard_normal()
    return runs(sizes, examples, losses)


@planted_times(5, 15)
def test_checkpoints_of_one_run_are_no_runs_of_their_own(num):
    """Taken for independent they would cover the exponent of size in 30 % at a nominal 90 %."""
    hits = dict.fromkeys(TRUTH, 0)
    for place in range(num):
        (law,) = laws_of(checkpoint_rows(np.random.default_rng([5, place]), memory=0.9))
        assert RowsErrTogether() in law.remarks
        for name, truth in TRUTH.items():
            hits[name] += law.parameters[name].low <= truth <= law.parameters[name].high
    print("checkpoints:", {name: f"{n / num:.0%}" for name, n in hits.items()})
    for share in hits.values():
        assert share / num >= binomial_bounds(0.9, num)[0]
    (law,) = laws_of(checkpoint_rows(np.random.default_rng(0), memory=0.0))
    assert RowsErrTogether() not in law.remarks


def test_runs_of_one_size_and_budget_that_differ_in_epochs_all_count():
    """Muennighoff et al.'s design: the same examples seen, of which fewer and fewer are distinct."""
    generator = np.random.default_rng(0)
    cells = [
        (n, d, e) for n in (1e8, 3e8, 1e9, 3e9) for d in (1e10, 3e10, 1e11) for e in (1.0, 2.0, 4.0, 8.0, 16.0, 40.0)
    ]
    worth = [d / e + d / e * 15 * (1 - math.exp(-(e - 1) / 15)) for _, d, e in cells]
    noisy = 0.003 * generator.standard_normal(len(cells))
    losses = [planted_loss(n, w) * math.exp(x) for (n, _, _), w, x in zip(cells, worth, noisy, strict=True)]
    sizes, examples, seen = (list(column) for column in zip(*cells, strict=True))
    plain, repeated = laws_of(runs(sizes, examples, losses, epochs=seen))
    assert plain.num_cells == repeated.num_cells == 72
    assert repeated.chosen
    assert repeated.parameters["R"].estimate == pytest.approx(15, rel=0.2)


def test_seeds_of_one_cell_count_by_their_mean_and_rates_by_the_best():
    rows = grid_rows(np.random.default_rng(0))
    first = rows[0]
    lucky = Observation(**{**vars(first), "run": "lucky", "seed": 1, "loss": first.loss * math.exp(-0.2)})
    worse = Observation(**{**vars(first), "run": "worse", "base_lr": 9.0, "loss": first.loss * 2})
    tuned = {cell.run: cell.loss for cell in tuned_cells([*rows, lucky, worse])}
    assert len(tuned) == len(rows)
    assert tuned[first.run] == pytest.approx(first.loss * math.exp(-0.1))
