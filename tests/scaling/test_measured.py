"""What a loss is is told by the name of its column, and no unit is invented."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from levelfield.records.errors import InputError
from levelfield.records.measure import LOSS, Measure
from levelfield.report.words.measures import after, named
from levelfield.scaling import face
from levelfield.scaling.tables.measured import measure_of


@pytest.mark.parametrize(
    "name",
    ["loss", "val_loss", "valLoss", "Loss", "eval/loss", "xent", "test_nll", "CE", "cross_entropy", "log_perplexity"],
)
def test_a_loss_by_its_usual_names_is_cross_entropy_in_nats(name):
    assert measure_of(name, largest=3.0) == LOSS


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("bpb", "bits per byte"),
        ("val_bpb", "bits per byte"),
        ("bits_per_byte", "bits per byte"),
        ("loss (bits per character)", "bits per character"),
        ("bits", "bits"),
        ("mse", "units of column mse"),
        ("mse_loss", "units of column mse_loss"),
        ("fid", "units of column fid"),
        ("y", "units of column y"),
    ],
)
def test_another_unit_is_the_one_that_the_name_says_or_that_of_the_column(name, unit):
    found = measure_of(name, largest=3.0)
    assert found == Measure(name="loss", unit=unit)
    assert named(found) == f"loss in {unit}"


@pytest.mark.parametrize(("largest", "unit", "told"), [(0.9, "share", ""), (76.1, "percent", " percent")])
def test_an_error_is_a_share_or_percent(largest, unit, told):
    for name in ("error", "top1_err", "1-accuracy", "1 - acc"):
        found = measure_of(name, largest=largest)
        assert (found.name, found.unit, after(found)) == ("error rate", unit, told)


@pytest.mark.parametrize("name", ["ppl", "val_perplexity", "PPL"])
def test_a_perplexity_is_refused_with_what_to_give(name):
    with pytest.raises(InputError, match=r"perplexity, and laws are of its logarithm.*ln\(perplexity\)"):
        measure_of(name, largest=40.0)


def table(name: str) -> dict[str, list[float]]:
    compute = np.geomspace(1e18, 1e21, 8)
    g = np.random.default_rng(0)
    loss = (0.4 + 0.5 * (compute / 1e18) ** -0.2) * np.exp(0.003 * g.standard_normal(8))
    return {"flops": compute.tolist(), name: loss.tolist()}


SLOW = pytest.mark.slow


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("bpb", "bits per byte"),
        pytest.param("mse", "units of column mse", marks=SLOW),
        pytest.param("loss", "nats", marks=SLOW),
    ],
)
def test_the_unit_of_the_column_is_on_the_command_line_in_json_and_on_the_page(name, unit, tmp_path, invoke):
    path = tmp_path / "runs.csv"
    columns = table(name)
    rows = zip(*columns.values(), strict=True)
    path.write_text("\n".join([",".join(columns), *(",".join(map(repr, row)) for row in rows)]))
    code, out, _ = invoke("predict", path, "--loss", name, "--budget", "1e22")
    assert code == 0
    assert f" {unit}, 90" in out
    assert ("nats" in out) == (unit == "nats")
    for verb in ("fit", "predict"):
        budget = ("--budget", "1e22") if verb == "predict" else ()
        _, out, _ = invoke(verb, path, "--loss", name, "--json", *budget)
        told = json.loads(out)
        assert (told[0] if verb == "predict" else told)["measure"]["unit"] == unit
    code, out, error = invoke("report", path, "--loss", name, "--out", tmp_path / "page")
    assert code == 0, error
    page = (tmp_path / "page" / "report.html").read_text()
    assert unit in page
    assert ("nats" in page) == (unit == "nats")


def test_a_notebook_gets_the_measure_too():
    assert face.fit(table("bpb"), loss="bpb").analysis.measure.unit == "bits per byte"
    assert math.isclose(face.predict(table("bpb"), loss="bpb", budget=1e21)[0].loss.estimate, 0.53, rel_tol=0.05)  # pyright: ignore[reportOptionalMemberAccess]
