"""Within one prediction more compute never foretells more loss, and nothing that is printed leaps."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from benchmarks.planted_layouts import draw_table

from levelfield.records.errors import RefusedError
from levelfield.scaling import face
from levelfield.scaling.ladder.forms import FARTHEST
from levelfield.scaling.next.mixture import Mixture
from levelfield.scaling.next.predict import Headline, predicted_losses
from levelfield.scaling.next.voice import Passage, Voice
from levelfield.scaling.next.voices import voices_of_size
from levelfield.scaling.optimum.best_run import best_run_laws
from levelfield.scaling.results.reasons.predictions import PassedOver

SEED = 417
CLOSE = 1e-7
"""Share of a budget that makes no difference that could be seen."""


def courses(columns: face.AnyRuns, times: np.ndarray, **reading) -> tuple[list[Headline], float]:
    """What one table foretells at so many times its top, as ``predict`` does, and its top; laws are fitted once."""
    analysis = face.fit(columns, **reading).analysis
    laws = [law for law in analysis.laws if law.currency == "flops"]
    cells = next(iter(analysis.sized), None)
    tops = [law.fitted_high for law in laws] + [cell.budget_flops for cell in (cells.cells if cells else ())]
    of_size = None
    if cells is not None:
        fitted = best_run_laws(cells, np.random.default_rng([0, 4]))
        of_size = voices_of_size(fitted, cells, budget=max(tops), unique=cells.unique_examples)
    found = predicted_losses(
        laws, (max(tops) * times).tolist(), level=0.9, generator=np.random.default_rng([0, 3]), of_size=of_size
    )
    return list(found), max(tops)


def expect_a_fall(found: list[Headline]) -> np.ndarray:
    told = [(each.loss, each.irreducible) for each in found if each.loss is not None and each.irreducible is not None]
    losses = np.log([(loss.estimate, loss.low, loss.high) for loss, _ in told])
    assert np.diff(losses, axis=0).max() <= 1e-12
    floors = {(floor.estimate, floor.low, floor.high) for _, floor in told}
    assert len(floors) == 1
    return losses


def ladder(kind: str) -> dict[str, list[float]]:
    """Ladders and curves: straight ones, ones that bend, and a noisy one of four rungs."""
    g = np.random.default_rng(len(kind))
    num = 4 if kind == "four rungs" else 8
    compute = np.geomspace(1e9, 4e11, 40 if "curve" in kind else num)
    reducible = (compute / 1e9) ** -0.15
    bottom = 1 + 0.2 * (compute / 1e9) ** -0.8
    loss = {
        "line": 3 * (compute / 1e9) ** -0.05,
        "four rungs": 2 + reducible,
        "steep bottom": (2 + reducible) * bottom,
        "bent curve": (2 + reducible) * bottom,
        "curve that ends steep": 3.4 - 0.1 * np.log(compute / 1e9) - 0.004 * np.log(compute / 1e9) ** 2,
    }[kind]
    noisy = loss * np.exp(0.004 * g.standard_normal(len(compute)))
    return {"flops": compute.tolist(), "loss": noisy.tolist()}


KINDS = ["line", "four rungs", "steep bottom", "bent curve", "curve that ends steep"]


@pytest.mark.parametrize("kind", KINDS)
def test_more_compute_never_foretells_more_loss_from_compute_alone(kind):
    times = np.geomspace(0.02, FARTHEST, 150)
    found, _ = courses(ladder(kind), np.concatenate([times, times * (1 + CLOSE)]))
    losses = expect_a_fall([found[place] for place in np.argsort(np.tile(times, 2) * np.repeat([1, 1 + CLOSE], 150))])
    assert np.abs(losses[0::2] - losses[1::2]).max() < 1e-5


@pytest.mark.slow
def test_a_line_passes_over_into_a_law_with_a_floor_on_the_way_to_where_its_backtests_end_and_that_is_said():
    columns = ladder("curve that ends steep")
    found, top = courses(columns, np.array([1.0, 3.0, 1e4]))
    near, on_the_way, far = ({law.form: law.weight for law in each.laws} for each in found)
    assert near == {"log-log": 1.0}
    assert 0 < on_the_way["log-log"] < 1
    assert far == {"saturating": 1.0}
    (told,) = (note for note in face.predict(columns, budget=3 * top)[0].notes if isinstance(note, PassedOver))
    assert (told.form, told.into) == ("log-log", "saturating")


def test_a_draw_whose_form_errs_upwards_goes_on_level_instead_of_rising():
    def flat(x: np.ndarray) -> np.ndarray:
        return math.log(2.0) - 0.001 * x

    voice = Voice(
        form="log-log",
        middle=flat,
        draws=lambda x: np.tile(flat(x), (4, 1)),
        floors=np.zeros(4),
        low=-4.0,
        top=0.0,
    )
    mixture = Mixture([voice], np.zeros(4000), level=0.9, generator=np.random.default_rng(0))
    highs = [found.loss.high for x in np.linspace(-1, 13, 60) if (found := mixture.at(float(x)))]
    assert np.diff(highs).max() <= 0
    assert highs[-1] == pytest.approx(2.0, rel=0.005)
    without = dataclasses.replace(voice, passes=(Passage(voice, 0.0, 2.0),))
    assert float(without.passes[0].share(np.array([1.0]))[0]) == pytest.approx(0.5)


def planted(num: int) -> None:
    """Tables of many shapes: sizes and lengths, pools that run out, rates, seeds, curves."""
    times = np.geomspace(1, FARTHEST, 40)
    for place in range(num):
        table = draw_table([SEED, place])
        reading = {name: own for name, own in table.reading.items() if name in face.TableReading.__annotations__}
        try:
            found, _ = courses(table.columns, np.sort(np.concatenate([times, times * (1 + CLOSE)])), **reading)
        except RefusedError:
            continue
        if found[0].loss is None:
            continue
        losses = expect_a_fall(found)
        assert np.abs(losses[0::2] - losses[1::2]).max() < 1e-5, (place, table.layout, table.traits)


@pytest.mark.slow
def test_more_compute_never_foretells_more_loss_on_a_few_planted_tables():
    planted(6)


@pytest.mark.acceptance
def test_more_compute_never_foretells_more_loss_on_planted_tables():
    planted(60)
