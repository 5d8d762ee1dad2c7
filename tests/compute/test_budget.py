"""Budgets, devices and the ledger."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from levelfield.compute.budget import examples_for, global_batch_size
from levelfield.compute.devices import DEVICES, device, device_hours
from levelfield.compute.ledger import Ledger, total
from levelfield.records.errors import SpecError


@settings(deadline=None)
@given(st.integers(1, 10**12), st.floats(1e-3, 10))
def test_the_batch_is_the_power_of_two_nearest_to_the_rule_within_its_limits(examples: int, coefficient: float) -> None:
    batch = global_batch_size(examples, coefficient=coefficient)
    wanted = coefficient * math.sqrt(examples)
    assert batch in [2**power for power in range(3, 13)]
    if 8 < batch < 4096:
        assert batch / wanted == pytest.approx(1, rel=2**0.5 - 1 + 1e-9) or wanted / batch <= 2**0.5 + 1e-9


def test_the_batch_doubles_for_four_times_the_examples() -> None:
    batches = [global_batch_size(4**power, coefficient=0.5) for power in range(5, 13)]
    assert batches == [16, 32, 64, 128, 256, 512, 1024, 2048]
    assert global_batch_size(1, coefficient=0.5) == 8
    assert global_batch_size(10**12, coefficient=0.5) == 4096


def test_examples_are_whole_and_paid_for() -> None:
    assert examples_for(100, 30) == 3
    for budget, flops in ((0, 1), (-1, 1), (math.inf, 1), (1, math.nan), (1, 0)):
        with pytest.raises(SpecError, match="positive and finite"):
            examples_for(budget, flops)


@pytest.mark.parametrize("limits", [{"smallest": 6}, {"largest": 100}, {"smallest": 64, "largest": 32}])
def test_limits_of_a_batch_that_are_no_powers_of_two_in_order_are_refused(limits: dict[str, int]) -> None:
    with pytest.raises(SpecError):
        global_batch_size(1000, coefficient=0.5, **limits)


def test_device_hours_are_flops_over_the_share_of_peak() -> None:
    assert device_hours(989.4e12 * 3600, "h100", utilisation=0.5) == pytest.approx(2.0)
    assert device_hours(66.9e12 * 3600, "H100", utilisation=1.0, precision="float32") == pytest.approx(1.0)


def test_an_unknown_device_precision_or_utilisation_is_refused() -> None:
    with pytest.raises(SpecError, match="did you mean 'tpu-v4-core'"):
        device_hours(1e18, "tpu-v4-cor", utilisation=0.4)
    with pytest.raises(SpecError, match="no float32 peak is known"):
        device("tpu-v4-core").peak("float32")
    for utilisation in (0.0, -0.1, 1.01, math.nan):
        with pytest.raises(SpecError, match="share of the peak"):
            device_hours(1e18, "a100", utilisation=utilisation)


def test_every_peak_states_its_source() -> None:
    assert len({row.name for row in DEVICES}) == len(DEVICES)
    for row in DEVICES:
        assert row.source
        assert all(flops > 1e12 for _, flops in row.peaks)


def test_a_ledger_keeps_training_evaluation_and_failed_attempts_apart() -> None:
    spent = total([Ledger(train_flops=3.0), Ledger(evaluate_flops=2.0, failed_flops=1.0), Ledger(train_flops=4.0)])
    assert spent == Ledger(train_flops=7.0, evaluate_flops=2.0, failed_flops=1.0)
    assert spent.total_flops == 10.0
    with pytest.raises(SpecError):
        Ledger(train_flops=-1.0)
