"""The weight average and the learning-rate schedule against their definitions."""

import itertools
import math

import pytest
import torch

from levelfield.train.averaging import WeightAverage, ema_decay
from levelfield.train.schedules import warmup_cosine


def test_the_ramp_of_the_average_follows_the_released_code():
    decays = [ema_decay(step, num_steps=10**6, fraction=0.5) for step in range(1, 20)]
    assert decays == pytest.approx([(1 + t) / (10 + t) for t in range(1, 20)])


def test_the_average_settles_at_a_horizon_that_is_a_fraction_of_the_run():
    assert ema_decay(10_000, num_steps=1000, fraction=0.05) == pytest.approx(1 - 1 / 50)


def test_the_average_equals_the_recurrence_in_float64():
    weights = [torch.zeros(3), torch.ones(2, 2)]
    average = WeightAverage(weights, num_steps=100, fraction=0.1)
    expected = [weight.double().clone() for weight in weights]
    generator = torch.Generator().manual_seed(1)
    for step in range(1, 31):
        for weight in weights:
            weight.add_(torch.randn(weight.shape, generator=generator))
        average.update(weights, step=step)
        decay = ema_decay(step, num_steps=100, fraction=0.1)
        expected = [decay * e + (1 - decay) * w.double() for e, w in zip(expected, weights, strict=True)]
    for mine, theirs in zip(average.averages, expected, strict=True):
        torch.testing.assert_close(mine.double(), theirs, rtol=1e-5, atol=1e-5)


def test_warm_up_rises_linearly_to_the_peak():
    shares = [warmup_cosine(step, num_steps=100, warmup_steps=10) for step in range(11)]
    assert shares[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert shares[10] == 1.0


def test_the_cosine_falls_from_the_peak_to_nearly_zero():
    shares = [warmup_cosine(step, num_steps=100, warmup_steps=10) for step in range(10, 100)]
    assert all(low < high for high, low in itertools.pairwise(shares))
    assert shares[-1] == pytest.approx(0.5 * (1 + math.cos(math.pi * 89 / 90)))
    assert warmup_cosine(55, num_steps=100, warmup_steps=10) == pytest.approx(0.5)
