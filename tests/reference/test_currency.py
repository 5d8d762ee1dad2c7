"""One currency: counted by our own rule, stated, or converted with what the conversion leaves open."""

from __future__ import annotations

import math

import pytest

from levelfield.compute.devices import device
from levelfield.reference.currency import compute_by_hours, compute_of, utilisation
from levelfield.reference.placed import left_out, placed_points
from levelfield.reference.points import PublishedPoint, published_points, select
from levelfield.units import PAPER_FLOPS


def only(**wanted: object) -> PublishedPoint:
    found = [p for p in published_points() if all(getattr(p, name) == value for name, value in wanted.items())]
    assert len(found) == 1, found
    return found[0]


def test_f7_plus_is_counted_and_its_images_are_known_to_an_eighth() -> None:
    compute = compute_of(only(source="arXiv 2310.16764 [derived]", model="NFNet-F7+"))
    assert compute is not None
    assert compute.basis == "counted"
    assert compute.exaflops * 1e18 == pytest.approx(PAPER_FLOPS, rel=1e-4)
    assert (compute.low, compute.high) == pytest.approx((compute.exaflops * 7 / 8, compute.exaflops * 9 / 8))


def test_our_count_agrees_with_the_compute_that_sources_print_or_imply() -> None:
    """The ViT paper's exaFLOPs are its own; the others' are three times their GFLOPs. S/32 is printed to two digits."""
    checked = 0
    for point in published_points():
        if point.compute_unit.startswith("exaFLOPs (train=3x fwd, ") and point.architecture and point.compute_value:
            counted = compute_of(point)
            assert counted is not None
            slack = 0.04 if point.model == "ViT-S/32" else 0.02
            assert counted.exaflops == pytest.approx(point.compute_value, rel=slack, abs=0.006), point
            checked += 1
    assert checked > 270


def test_compute_printed_for_networks_that_we_cannot_count_stays_as_stated() -> None:
    bases = {p.family: compute.basis for p in select(source="arXiv 2010.11929") if (compute := compute_of(p))}
    assert bases == {"vit": "counted", "convnet": "stated", "hybrid": "stated"}


def test_a_forward_only_count_is_tripled_to_training() -> None:
    point = only(source="arXiv 2305.13035", model="SoViT-400m/14", metric="ImageNet-1k top-1 (fine-tuned 518px)")
    uncounted = PublishedPoint(**{**vars(point), "architecture": "", "examples": None})
    compute = compute_of(uncounted)
    assert compute is not None
    assert compute.exaflops == pytest.approx(27_000)
    counted = compute_of(point)
    assert counted is not None
    assert counted.exaflops == pytest.approx(27_000, rel=0.03)


def test_device_time_is_converted_by_the_peak_and_the_utilisation_of_other_runs() -> None:
    point = only(source="arXiv 2310.16764", model="ViT-g/14", compute_unit="TPU-v4 core-hours")
    compute, seen = compute_by_hours(point), utilisation("tpu-v4-core", without=point.run)
    assert compute is not None
    assert point.run not in seen.seen
    assert len(seen.seen) == 3
    peak = 120_000 * 3600 * device("tpu-v4-core").peak("bfloat16") / 1e18
    assert compute.exaflops == pytest.approx(peak * math.prod(seen.seen.values()) ** (1 / 3))
    assert (compute.low, compute.high) == pytest.approx((peak * seen.low, peak * seen.high))


def test_conversions_hold_the_counted_compute_of_nearly_every_run_known_both_ways() -> None:
    """The intervals are for 90 % of runs; each is held against a run that did not make it."""
    held = []
    for point in published_points():
        hours, counted = compute_by_hours(point), compute_of(point)
        if hours and counted and counted.basis == "counted" and point.trust != "figure":
            held.append(hours.low <= counted.exaflops <= hours.high)
    assert len(held) == 11
    assert 10 <= sum(held) <= 11


def test_no_utilisation_exceeds_the_peak() -> None:
    for name in ("tpu-v3-core", "tpu-v4-core"):
        seen = utilisation(name)
        assert 0 < seen.low < min(seen.seen.values()) < seen.middle < max(seen.seen.values()) < seen.high <= 1


def test_epochs_and_step_times_are_no_compute() -> None:
    units = {p.compute_unit for p in published_points() if compute_of(p) is None}
    assert units == {"", "epochs of JFT-300M", "ms per train step, TPUv3, batch 32/core"}


def test_every_point_is_placed_or_left_out_with_a_reason() -> None:
    reasons = left_out()
    assert len(placed_points()) + sum(each.num_points for each in reasons) == len(published_points())
    assert all(each.why for each in reasons)


def test_a_result_of_a_run_stands_once_although_it_is_printed_four_times() -> None:
    printed = [p for p in published_points() if (p.run, p.value) == ("ViT-g/14 on JFT-3B", 90.2)]
    placed = [p for p in placed_points() if (p.run, p.error) == ("ViT-g/14 on JFT-3B", 9.8)]
    assert len(printed) == 4
    assert [(p.compute.basis, p.trust) for p in placed] == [("counted", "printed")]


def test_device_time_is_that_of_the_length_at_which_it_was_measured() -> None:
    """ViT-g/14 was published at six lengths; its 120,000 core-hours belong to one of them."""
    timed = {round(p.exaflops) for p in placed_points() if p.model == "ViT-g/14" and p.by_hours is not None}
    assert timed == {26_240}


def test_every_placed_point_names_its_confounds_and_its_source() -> None:
    for point in placed_points():
        assert point.protocol.confounds
        assert point.source
        assert point.compute.low <= point.exaflops <= point.compute.high
