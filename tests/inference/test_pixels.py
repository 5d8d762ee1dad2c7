"""The scores of a network that answers every pixel: from planted confusions, with intervals or the reason for none."""

import numpy as np
import pytest

from levelfield.inference.pixels import evaluation_of
from levelfield.records.evaluation import Share
from levelfield.records.measure import Measure
from levelfield.records.stretches import FewStretches
from levelfield.records.trial import HeldOutMeans
from levelfield.report.page.pixels import resampled_sentence, score_rows
from levelfield.train.evaluate import HeldOutScores
from tests.narrowed import present

NAMES = ("sky", "road", "unicorn")
LOSS = Measure(name="loss", unit="nats")


def judged(stretch, num=40, damaged=()):
    """``num`` pictures of sky and road, half of the road taken for sky or so, the share drawn for each stretch."""
    rng = np.random.default_rng(0)
    tallies = np.zeros((num, 3, 3), dtype=np.int64)
    of = np.arange(num) if stretch is None else stretch
    wrong = 20 + rng.integers(0, 10, num)[of]
    tallies[:, 0, 0], tallies[:, 1, 1], tallies[:, 1, 0] = 50, 50 - wrong, wrong
    values = wrong / 100
    values[list(damaged)] = np.nan
    tallies[list(damaged)] = 0
    mean = HeldOutMeans(values={"loss": float(np.nanmean(values))}, num_examples=num - len(damaged))
    return HeldOutScores(mean=mean, each={"loss": values.astype(np.float32)}, tallies=tallies, stretch=stretch)


def test_scores_are_of_all_pictures_together_and_of_each():
    found = evaluation_of(judged(np.arange(40) // 4, damaged=[3]), [LOSS], NAMES)
    total = np.array(found.confusion)
    sky, road = total[0, 0] / (total[0].sum() + total[1, 0]), total[1, 1] / total[1].sum()
    assert found.miou.estimate == pytest.approx((sky + road) / 2), "a class that does not occur is left out"
    assert found.classes[2].iou is None
    assert (found.num_images, found.num_masked, found.num_stretches) == (39, 1, 10)
    for told in (found.miou, found.measures[0].value):
        assert present(told.low) < told.estimate < present(told.high)
    assert "one of 10 stretches" in resampled_sentence(found)


def width(found: Share) -> float:
    return present(found.high) - present(found.low)


def test_pictures_that_err_together_say_less_than_pictures_for_themselves():
    together = evaluation_of(judged(np.arange(40) // 4), [LOSS], NAMES)
    scores = judged(np.arange(40) // 4)
    alone = evaluation_of(HeldOutScores(mean=scores.mean, each=scores.each, tallies=scores.tallies), [LOSS], NAMES)
    assert together.miou.estimate == alone.miou.estimate
    assert width(together.miou) > 1.3 * width(alone.miou)


def test_too_few_stretches_give_no_interval_and_the_number_is_said():
    found = evaluation_of(judged(np.arange(40) // 10), [LOSS], NAMES)
    assert found.no_interval == FewStretches(num=4, needed=8)
    assert found.miou.low is None
    assert score_rows(found)[0][2] == ""
    assert "4 stretches, and 8 are needed" in resampled_sentence(found)
