"""``levelfield fit`` with sizes and examples: the optimum of a budget, for people and for programs."""

import json

import numpy as np
import pytest

from tests.scaling.planted import search_rows


@pytest.fixture
def runs(tmp_path):
    rows = search_rows(np.random.default_rng(0), run_sd=0.003, params_exponent=0.6)
    lines = [f"{row.budget_flops},{row.loss},{row.params},{row.examples},{row.base_lr}" for row in rows]
    file = tmp_path / "runs.csv"
    file.write_text("\n".join(("flops,loss,N,D,lr", *lines)))
    return file


def test_fit_says_how_size_and_length_grow_three_ways(runs, invoke):
    code, said, _ = invoke("fit", runs, "--params", "N", "--examples", "D", "--rate", "lr")
    assert code == 0
    assert "The optimum of a budget, three ways" in said
    for method in ("isoFLOP profiles", "closed form", "parabola through all sizes"):
        assert method in said
    assert "Size grows faster" in said


def test_fit_gives_programs_the_optimum_with_its_intervals_and_gaps(runs, invoke):
    (optimum,) = json.loads(invoke("fit", runs, "--params", "N", "--examples", "D", "--rate", "lr", "--json")[1])[
        "optima"
    ]
    exponent = optimum["profiles"]["params_exponent"]
    assert exponent["low"] < 0.6 < exponent["high"]
    assert optimum["exponent_gap"]["level"] == pytest.approx(0.975)


def test_fit_prints_every_coefficient_of_the_law_of_size_and_examples(runs, invoke):
    assert "Laws of size and examples" in invoke("fit", runs, "--params", "N", "--examples", "D", "--rate", "lr")[1]
    (law,) = json.loads(invoke("fit", runs, "--params", "N", "--examples", "D", "--rate", "lr", "--json")[1])[
        "size_laws"
    ]
    assert law["parameters"].keys() == {"E", "A", "alpha", "B", "beta"}
    assert law["parameters"]["alpha"]["low"] < law["parameters"]["alpha"]["estimate"]


def test_fit_without_examples_says_nothing_of_an_optimum(runs, invoke):
    assert "three ways" not in invoke("fit", runs, "--params", "N")[1]


def test_fit_gives_the_learning_rate_as_a_surface(runs, invoke):
    options = ("fit", runs, "--params", "N", "--examples", "D", "--rate", "lr", "--rate", "lr")
    said = invoke(*options)[1]
    assert "The optimal learning rate as a surface" in said
    assert "at 256" not in said, "rates of a table are at whatever batch it has"
    (surface,) = json.loads(invoke(*options, "--json")[1])["rate_surfaces"]
    assert surface["rate"]["estimate"] == pytest.approx(0.2, rel=0.05)
