"""The published points are the published points."""

from __future__ import annotations

import subprocess
import sys

import pytest

from levelfield.reference import published_points, seed_figure, select
from levelfield.reference.points import EXAFLOPS_PER_TPU_V3_CORE_HOUR, EXAFLOPS_PER_TPU_V4_CORE_HOUR, PublishedPoint
from levelfield.units import PAPER_FLOPS


def only(**wanted: str) -> PublishedPoint:
    found = [p for p in published_points() if all(getattr(p, name) == value for name, value in wanted.items())]
    assert len(found) == 1, found
    return found[0]


def test_the_table_has_431_points_of_three_families() -> None:
    assert len(published_points()) == 431
    assert len(select(family="convnet")) == 78
    assert len(select(family="vit")) == 342
    assert len(select(family="hybrid")) == 11


def test_every_point_has_a_source_a_model_and_a_value_in_percent_or_points() -> None:
    for point in published_points():
        assert point.source
        assert point.model
        assert 0 < point.value < 100


def test_f7_plus_reached_90_3_percent_with_21347_exaflops() -> None:
    point = only(source="arXiv 2310.16764 [derived]", model="NFNet-F7+")
    compute = point.compute
    assert point.value == 90.3
    assert point.params == pytest.approx(832.9e6)
    assert compute is not None
    assert (compute.exaflops, compute.basis) == (21_347, "derived")
    assert pytest.approx(21_347e18) == PAPER_FLOPS
    assert pytest.approx(PAPER_FLOPS, rel=1e-3) == 111.18e9 * 6 * 32e9


@pytest.mark.parametrize(
    ("model", "exaflops", "value"),
    [("ViT-g/14", 26_203, 90.2), ("ViT-G/14", 59_308, 90.45), ("SoViT-400m/14", 26_520, 90.3)],
)
def test_the_vits_of_the_paper_have_their_derived_compute(model: str, exaflops: float, value: float) -> None:
    found = [p for p in select(metric="ImageNet-1k top-1 (fine-tuned)") if p.model == model and "[derived]" in p.source]
    assert [(p.compute_value, p.value) for p in found] == [(exaflops, value)]


def test_compute_printed_by_the_vit_paper_is_stated_not_derived() -> None:
    bases = {p.compute.basis for p in select(source="arXiv 2010.11929") if p.compute is not None}
    assert bases == {"stated"}


def test_a_forward_only_count_is_tripled_to_training() -> None:
    point = only(source="arXiv 2305.13035", model="SoViT-400m/14")
    assert point.compute is not None
    assert point.compute.exaflops == pytest.approx(27_000)


def test_device_time_becomes_a_range_that_holds_every_run_known_in_both_units() -> None:
    known = {p.model: p.compute_value for p in published_points() if "[derived]" in p.source}
    v4, v3 = [], []
    for point in published_points():
        flops, value = known.get(point.model), point.compute_value
        if flops is None or value is None:
            continue
        if point.compute_unit == "TPU-v4 core-hours":
            v4.append(flops / value)
        elif point.compute_unit.startswith("TPU-v3") and "2106.04803" not in point.source:
            v3.append(flops / value / (24 if "days" in point.compute_unit else 1))
    assert len(v4) == 4
    assert len(v3) == 6
    assert pytest.approx((min(v4), max(v4)), rel=0.01) == EXAFLOPS_PER_TPU_V4_CORE_HOUR
    assert pytest.approx((min(v3), max(v3)), rel=0.02) == EXAFLOPS_PER_TPU_V3_CORE_HOUR


def test_epochs_and_step_times_are_no_compute() -> None:
    units = {p.compute_unit for p in published_points() if p.compute is None}
    assert units == {"", "epochs of JFT-300M", "ms per train step, TPUv3, batch 32/core"}


def test_points_without_an_imagenet_accuracy_have_no_error() -> None:
    assert all(p.error is None for p in select(metric="Flamingo"))
    assert all(p.error is None for p in select(metric="ImageNet-1k zero-shot"))


def test_the_seed_figure_has_three_nfnets_and_says_that_they_are_no_law() -> None:
    figure = seed_figure()
    nfnets = [(p.model, p.compute.exaflops) for p in figure.points if p.series == "NFNet"]
    assert nfnets == [("NFNet-F4+", 2538), ("NFNet-F4", 2973), ("NFNet-F7+", 21_347)]
    assert "no law" in figure.statement


def test_every_point_of_the_seed_figure_names_its_confounds() -> None:
    assert [p.model for p in seed_figure().points if not p.confounds] == []


def test_reading_the_points_loads_no_torch() -> None:
    program = (
        "import sys; from levelfield.reference import seed_figure; seed_figure(); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
