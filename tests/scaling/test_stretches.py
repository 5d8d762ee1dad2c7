"""Intervals over examples that err together: of a mean they are the textbook's, and they cover what they say."""

import numpy as np
import pytest

from levelfield.records.stretches import LEAST_STRETCHES_JUDGED
from levelfield.scaling.noise.stretches import jackknifed, stretch_means, summed_by_stretch
from levelfield.scaling.noise.uncertainty import MIN_EFFECTIVE_EXAMPLES


def test_as_many_stretches_judge_as_examples_do_elsewhere():
    assert LEAST_STRETCHES_JUDGED == MIN_EFFECTIVE_EXAMPLES


def mean_of(pair):
    return float(pair[0] / pair[1])


def interval(values, stretch):
    counts = summed_by_stretch(np.ones(len(values)), stretch)
    return jackknifed(np.stack([summed_by_stretch(values, stretch), counts], axis=1), mean_of, level=0.9)


def test_of_independent_examples_it_is_students_interval():
    from scipy.stats import t

    values = np.random.default_rng(0).normal(size=30)
    estimate, low, high = interval(values, np.arange(30))
    half = t.ppf(0.95, 29) * values.std(ddof=1) / np.sqrt(30)
    assert (estimate, low, high) == pytest.approx((values.mean(), values.mean() - half, values.mean() + half))


def test_it_covers_where_neighbours_err_together_and_examples_taken_alone_do_not():
    """Eleven films of twenty frames, whose common error is as large as that of a frame."""
    rng, covered, alone = np.random.default_rng(1), 0, 0
    stretch = np.repeat(np.arange(11), 20)
    for _ in range(400):
        values = rng.normal(size=11)[stretch] + rng.normal(size=220)
        _, low, high = interval(values, stretch)
        covered += low <= 0 <= high
        _, low, high = interval(values, np.arange(220))
        alone += low <= 0 <= high
    assert 0.86 <= covered / 400 <= 0.94, "of 90 %, with the noise of 400 draws"
    assert alone / 400 < 0.5


def test_stretches_of_unequal_length_keep_the_mean():
    values = np.random.default_rng(2).normal(size=50)
    stretch = np.random.default_rng(3).integers(0, 9, 50)
    means = stretch_means(values, stretch)
    assert len(means) == 9
    assert means.mean() == pytest.approx(values.mean())


def test_one_stretch_gives_no_interval():
    with pytest.raises(ValueError, match="two at least"):
        interval(np.ones(5), np.zeros(5, dtype=int))
