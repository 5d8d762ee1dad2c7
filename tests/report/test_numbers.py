"""Numbers read as people write them."""

from __future__ import annotations

import math

import pytest

from levelfield.report.words import numbers
from levelfield.scaling.results.intervals import Interval


def spaced(text: str) -> str:
    return text.replace(numbers.THIN, " ")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1e10, "10¹⁰"),
        (1.3e10, "1.3×10¹⁰"),
        (2.1347e22, "2.1×10²²"),
        (3e-5, "3×10⁻⁵"),
        (1000, "1000"),
        (0, "0"),
        (1, "1"),
    ],
)
def test_powers_of_ten_are_set_as_powers(value: float, text: str) -> None:
    assert numbers.power(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.4, "0.4 s"), (90, "90 s"), (150, "2.5 min"), (7200, "2 h"), (260_000, "3.01 d"), (None, "–")],
)
def test_durations_come_in_the_unit_that_reads_best(value: float | None, text: str) -> None:
    assert spaced(numbers.seconds(value)) == text


@pytest.mark.parametrize(
    ("value", "text"), [(385, "385"), (1234567, "1.23 M"), (999_900, "1 M"), (21_000, "21 k"), (32e9, "32 G")]
)
def test_counts_carry_a_prefix(value: float, text: str) -> None:
    assert spaced(numbers.count(value)) == text


@pytest.mark.parametrize(
    ("ratio", "text"), [(0.9, "−10.0 %"), (1.05, "+5.0 %"), (1.0, "0.0 %"), (0.99999, "0.0 %"), (1.5, "+50 %")]
)
def test_a_log_ratio_reads_as_percent_with_a_true_minus(ratio: float, text: str) -> None:
    assert spaced(numbers.signed_percent(math.log(ratio))) == text


def test_an_interval_keeps_the_decimals_of_its_estimate() -> None:
    assert numbers.number_interval(Interval(estimate=0.2, low=0.172, high=0.2301), 2) == "0.20 [0.17, 0.23]"
    assert numbers.loss_interval(Interval(estimate=0.4, low=0.39, high=0.41)) == "0.400 [0.390, 0.410]"
    assert numbers.number_interval(None) == "–"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.412, "0.412"),
        (2.08, "2.080"),
        (10.824, "10.824"),
        (0.0, "0.000"),
        (0.00412, "0.004120"),
        (0.0523, "0.05230"),
        (123.4, "123.4"),
        (41234.5, "41234"),
        (3.3527e-206, "3.353×10⁻²⁰⁶"),
        (5.6358e194, "5.636×10¹⁹⁴"),
        (None, "–"),
    ],
)
def test_a_loss_keeps_its_digits_whatever_its_size(value: float | None, text: str) -> None:
    assert numbers.loss(value) == text


def test_intervals_of_losses_and_parameters_are_written_by_their_size() -> None:
    assert numbers.loss_interval(Interval(estimate=0.0052, low=0.005, high=0.0054)) == "0.005200 [0.005000, 0.005400]"
    tiny = Interval(estimate=2.5e-200, low=2.4e-200, high=2.6e-200)
    assert numbers.loss_interval(tiny) == numbers.powered_interval(tiny) == "2.5×10⁻²⁰⁰ [2.4×10⁻²⁰⁰, 2.6×10⁻²⁰⁰]"
    assert numbers.powered_interval(Interval(estimate=0.0, low=0.0, high=0.05)) == "0.00 [0.00, 0.05]"


def test_small_learning_rates_are_written_out() -> None:
    assert [numbers.plain(rate) for rate in (1.6, 0.0008, 0.00025, 64.0)] == ["1.6", "0.0008", "0.00025", "64"]


def test_coefficients_keep_three_digits_where_the_interval_is_wide_and_a_bound_has_none():
    assert numbers.powered_interval(Interval(estimate=70.1, low=25.7, high=3619.1)) == "70.1 [25.7, 3620]"
    assert numbers.powered_interval(Interval(estimate=0.0213, low=0.0, high=0.5413)) == "0.0213 [0, 0.541]"
    assert numbers.powered_interval(Interval(estimate=0.0, low=0.0, high=0.0)) == "0 (at a bound)"
    assert numbers.powered_interval(Interval(estimate=475.0, low=349.0, high=629.0)) == "475 [349, 629]"
