"""Where parameters do not say what runs cost, no recipe follows from them, and the law of compute stands."""

from __future__ import annotations

import math

import numpy as np
import pytest

from levelfield.report.words.told import told
from levelfield.scaling import face
from levelfield.scaling.results.reasons.optima import CostPerSize, SizesDoNotCost
from levelfield.scaling.results.refusals import AllocationOf, NameActive

READING: face.TableReading = {"params": "N", "examples": "D"}


def experts(kind: str) -> dict[str, list[float]]:
    """Five budgets of seven sizes; N are total parameters, of which an example uses a share.

    "mixed": sparsities from 1 to 32 side by side; "growing": ever more experts; "dense": all are used; "resolution":
    larger nets look at larger images.
    """
    g = np.random.default_rng(2)
    rows = []
    for place, flops in enumerate(np.geomspace(1e19, 1e22, 6)):
        for nth, away in enumerate(np.linspace(-1.5, 1.5, 7)):
            active = 0.3 * math.sqrt(flops / 6) * math.exp(away)
            grown = (active / 1e8) ** 0.6
            sparse = {"mixed": 2.0 ** ((3 * nth + place) % 6), "growing": max(1.0, grown)}.get(kind, 1.0)
            dearer = max(1.0, grown) if kind == "resolution" else 1.0
            examples = flops / 6 / active / dearer
            worth = active * sparse**0.3
            loss = 1.5 + 400 * worth**-0.34 + 2000 * (examples * dearer) ** -0.36
            loss *= math.exp(0.003 * g.standard_normal())
            rows.append({"flops": flops, "loss": loss, "N": active * sparse, "D": examples})
    return {name: [row[name] for row in rows] for name in rows[0]}


@pytest.mark.parametrize("kind", ["mixed", "growing"])
def test_total_parameters_give_no_recipe_and_what_was_seen_is_said(kind):
    analysis = face.fit(experts(kind), **READING).analysis
    (refusal,) = (each for each in analysis.refusals if isinstance(each.what, AllocationOf))
    (why,) = refusal.why
    assert isinstance(why, SizesDoNotCost)
    assert isinstance(refusal.remedy, NameActive)
    assert why.high / why.low > 4
    assert why.exponents is not None
    assert abs(why.exponents - 1) > 0.02
    assert "may be total and not active" in told(why)
    assert f"{why.exponents - 1:+.2f} off 1" in told(why)
    assert analysis.size_laws == analysis.optima == analysis.sized == ()
    (found,) = face.predict(experts(kind), budget=1e23, **READING)
    assert (found.params, found.examples) == (None, None)
    assert why in found.notes


@pytest.mark.parametrize("kind", ["mixed", "growing"])
def test_the_law_of_compute_is_that_of_the_same_table_without_sizes(kind):
    named, bare = face.fit(experts(kind), **READING), face.fit(experts(kind))
    assert [(law.form, law.theta) for law in named.laws] == [(law.form, law.theta) for law in bare.laws]
    assert named.laws


def test_dense_nets_have_a_recipe_and_no_word_of_it():
    analysis = face.fit(experts("dense"), **READING).analysis
    assert analysis.size_laws
    (found,) = analysis.allocations
    assert found.params_exponent is not None
    assert found.examples_exponent is not None
    assert found.params_exponent.estimate + found.examples_exponent.estimate == pytest.approx(1, abs=1e-3)
    (optimum,) = analysis.optima
    assert not any(isinstance(each, CostPerSize) for each in (*optimum.profiles.status, *optimum.closed_form.status))


def test_larger_nets_on_larger_images_have_a_recipe_and_a_word_on_their_exponents():
    analysis = face.fit(experts("resolution"), **READING).analysis
    (optimum,) = analysis.optima
    assert optimum.profiles.params_exponent is not None
    (note,) = (each for each in optimum.profiles.status if isinstance(each, CostPerSize))
    assert note.high > 4 * note.low
    assert "need not add up to 1" in told(note)
