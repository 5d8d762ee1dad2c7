"""What the published record says, and that it says no more than it may."""

from __future__ import annotations

import dataclasses
import math

import pytest

from levelfield.records.codec import from_plain, to_plain
from levelfield.reference.confounds import sensitivities, shared_protocols
from levelfield.reference.equal_compute import MARGIN, compare
from levelfield.reference.evidence import PublishedEvidence, nfnet_runs, published_evidence
from levelfield.reference.laws import READING_ERROR, vit_law, vit_points
from levelfield.reference.placed import PlacedPoint, placed_points
from levelfield.reference.resampled import frontier, scatter
from levelfield.report.words.published import bottom_line, concluded, not_concluded
from levelfield.scaling.results.reasons.laws import FewBudgets, FewRuns


def test_the_vits_error_saturates_and_the_line_is_found_out_by_its_backtest() -> None:
    law = published_evidence().vit
    assert law.chosen == "saturating"
    assert law.scatter["saturating"] < 0.5 * law.scatter["log-log"]
    misses = {test.form: test for test in law.backtests}
    assert misses["log-log"].bias < -0.2
    assert abs(misses["saturating"].bias) < 0.1
    assert 0.2 < law.intervals["b"].estimate < 0.4
    assert law.intervals["E"].low < 9.0 < law.intervals["E"].high  # 2106.04560's own fit has a floor of 9 %


def test_every_row_of_a_law_is_kept_or_says_why_not() -> None:
    for law in published_evidence().laws:
        assert law.rows
        kept = {(row.exaflops, row.error) for row in law.kept}
        assert kept == {(row.exaflops, row.error) for row in frontier(law.rows)}


def test_two_runs_give_the_few_shot_law_no_interval_and_three_nfnets_give_no_law() -> None:
    evidence = published_evidence()
    assert evidence.few_shot.parameters
    assert evidence.few_shot.intervals == {}
    assert evidence.few_shot.no_interval == FewRuns(num=2, needed=4)
    assert evidence.nfnet.parameters == {}
    assert evidence.nfnet.refused == FewBudgets(num=2, needed=4)


def test_the_nfnets_loss_is_a_slope_between_two_readings_and_refused_as_a_fit() -> None:
    line = published_evidence().nfnet_loss
    assert line.exponent == pytest.approx(math.log(3.0 / 2.4) / math.log(110 / 0.4))
    assert line.low < line.exponent < line.high
    assert line.high > math.log((3.0 + READING_ERROR) / (2.4 - READING_ERROR)) / math.log(110 / 0.4)
    assert line.refused == FewBudgets(num=2, needed=4)


def test_nfnets_are_compared_only_where_the_law_has_points() -> None:
    law, fits = vit_law()
    kept = [row for row in law.rows if row.exaflops < 10_000]
    equal = compare(nfnet_runs(), fits, kept, scatter=0.04, typical=vit_points()[0])
    assert [each.model for each in equal.differences] == ["NFNet-F4+", "NFNet-F4"]


def moved(points: tuple[PlacedPoint, ...], factor: float) -> tuple[PlacedPoint, ...]:
    return tuple(dataclasses.replace(point, error=point.error * factor) for point in points)


def test_nfnets_much_worse_than_a_bound_are_worse_and_much_better_ones_cannot_be_told() -> None:
    law, fits = vit_law()
    spread = scatter(fits.full, law.kept)
    words = [
        compare(moved(nfnet_runs(), factor), fits, law.rows, scatter=spread, typical=vit_points()[0]).verdict
        for factor in (1.4, 0.7)
    ]
    assert words == ["worse", "cannot tell"]


def test_without_edges_the_same_numbers_would_be_better_or_equivalent() -> None:
    law, fits = vit_law()
    rows = tuple(dataclasses.replace(row, edge="") for row in law.rows)
    better = compare(moved(nfnet_runs(), 0.7), fits, rows, scatter=0.04, typical=vit_points()[0])
    assert better.verdict == "better"
    exact = tuple(dataclasses.replace(p, error=fits.full.predict(p.exaflops)) for p in nfnet_runs())
    calm = dataclasses.replace(fits, without=dict.fromkeys(fits.without, fits.full))
    equivalent = compare(exact, calm, rows, scatter=0.0, typical=vit_points()[0])
    assert equivalent.verdict == "equivalent"
    assert equivalent.mean.high < MARGIN


def test_every_part_of_the_interval_widens_it() -> None:
    law, fits = vit_law()

    def width(points: tuple[PlacedPoint, ...], spread: float) -> float:
        found = compare(points, fits, law.rows, scatter=spread, typical=vit_points()[0]).mean
        return found.high - found.low

    runs = nfnet_runs()
    vague = tuple(dataclasses.replace(p, compute=dataclasses.replace(p.compute, log_sd=0.5)) for p in runs)
    assert width(runs, 0.0) < width(runs, 0.03) < width(runs, 0.06)
    assert width(runs, 0.03) < width(vague, 0.03)


def test_the_verdict_is_the_same_in_device_hours() -> None:
    equal = published_evidence().equal
    assert (equal.verdict, equal.verdict_by_hours) == ("cannot tell", "cannot tell")
    assert [each.model for each in equal.differences] == ["NFNet-F4+", "NFNet-F4", "NFNet-F7+"]
    assert equal.curve[0].y == pytest.approx(equal.differences[0].log_ratio.estimate)
    assert equal.curve[-1].y == pytest.approx(equal.differences[-1].log_ratio.estimate)


def test_no_protocol_holds_nfnets_and_vits_but_one_holds_resnets_and_vits() -> None:
    points = placed_points()
    vits = [point for point in points if point.series == "ViT"]
    resnets = [point for point in points if point.series == "other ConvNet"]
    assert shared_protocols(nfnet_runs(), vits) == ()
    assert shared_protocols(resnets, vits) == ("vit-jft300m-384",)
    assert "optimiser" in published_evidence().aliased


def test_each_confound_moved_the_error_down_by_one_to_five_percent() -> None:
    effects = [math.expm1(each.effect) for each in sensitivities()]
    assert len(effects) == 6
    assert all(-0.05 < effect < -0.009 for effect in effects)


def test_the_difference_hardly_hangs_on_the_cheapest_points_but_the_floor_does() -> None:
    evidence = published_evidence()
    for check in evidence.ranges:
        assert abs(check.mean.estimate - evidence.equal.mean.estimate) < 0.01
    assert evidence.ranges[-1].floor.estimate < evidence.vit.intervals["E"].estimate - 1.0


def test_the_sentences_hold_the_verdict_and_the_refusals() -> None:
    evidence = published_evidence()
    assert "cannot tell" in bottom_line(evidence)
    assert any("Excluded is a mean error more than" in sentence for sentence in concluded(evidence))
    refused = " ".join(not_concluded(evidence))
    for words in ("family and recipe are one variable", "at least 4 are needed", "only a bound", "published once"):
        assert words in refused


def test_the_evidence_survives_a_round_trip_through_json() -> None:
    evidence = published_evidence()
    assert from_plain(PublishedEvidence, to_plain(evidence)) == evidence
