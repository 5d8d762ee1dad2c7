"""The scores against scikit-learn's, and against a plain loop."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, log_loss, precision_recall_fscore_support, top_k_accuracy_score

from levelfield.inference.answers import Answers
from levelfield.inference.evaluate import NUM_BINS, score
from levelfield.inference.pictures import Unreadable
from levelfield.records.errors import DataError

CLASSES, IMAGES = 8, 500


@pytest.fixture(scope="module")
def answered() -> tuple[np.ndarray, np.ndarray]:
    """Log-probabilities [images, classes] that know something, and labels; no image is of the last class."""
    generator = np.random.default_rng(0)
    labels = generator.integers(0, CLASSES - 1, IMAGES)
    logits = generator.standard_normal((IMAGES, CLASSES)) + 2 * np.eye(CLASSES)[labels]
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    return log_p.astype(np.float32), labels


def in_batches(log_p: np.ndarray, labels: np.ndarray, size: int) -> list[Answers]:
    places = np.arange(len(labels))
    return [
        Answers(log_probabilities=log_p[cut], places=places[cut], labels=labels[cut])
        for cut in (slice(first, first + size) for first in range(0, len(labels), size))
    ]


def test_the_scores_are_those_of_scikit_learn_whatever_the_batches(answered) -> None:
    log_p, labels = answered
    names = [f"class {label}" for label in range(CLASSES)]
    found = score(in_batches(log_p, labels, 64), names)
    assert found == score(in_batches(log_p, labels, IMAGES), names)
    every, said = np.arange(CLASSES), log_p.argmax(1)
    sums_to_one = np.exp(log_p.astype(float)) / np.exp(log_p.astype(float)).sum(1, keepdims=True)
    assert found.top1.estimate == pytest.approx((said == labels).mean())
    assert found.top5 is not None
    assert found.top5.estimate == pytest.approx(top_k_accuracy_score(labels, log_p, k=5, labels=every))
    assert found.loss.estimate == pytest.approx(log_loss(labels, sums_to_one, labels=every), rel=1e-6)
    matrix = np.zeros((CLASSES, CLASSES), dtype=int)
    for each in found.confusions:
        matrix[each.true, each.said] = each.num_images
    assert np.array_equal(matrix, confusion_matrix(labels, said, labels=every))
    precision, recall, _, support = map(
        np.asarray,
        precision_recall_fscore_support(labels, said, labels=every, zero_division=0),  # pyright: ignore[reportArgumentType]
    )
    assert [each.num_images for each in found.classes] == list(support)
    assert [each.precision or 0 for each in found.classes] == pytest.approx(list(precision))
    assert [each.recall for each in found.classes[:-1]] == pytest.approx(list(recall[:-1]))
    assert found.classes[-1].recall is None


def test_the_calibration_error_is_that_of_its_definition(answered) -> None:
    log_p, labels = answered
    found = score(in_batches(log_p, labels, 100), [""] * CLASSES)
    sure, hits, wanted = np.exp(log_p.max(1).astype(float)), log_p.argmax(1) == labels, 0.0
    for place in range(NUM_BINS):
        inside = (sure > place / NUM_BINS) & (sure <= (place + 1) / NUM_BINS)
        if inside.any():
            wanted += inside.mean() * abs(sure[inside].mean() - hits[inside].mean())
    assert found.calibration_error == pytest.approx(wanted)
    assert sum(each.num_images for each in found.bins) == IMAGES
    assert wanted > 0.01


def test_the_interval_of_accuracy_is_wilsons() -> None:
    """9 of 10 at 90 %: 0.6524 to 0.9774 by the formula of Wilson (1927)."""
    log_p = np.log(np.full((10, 2), [0.9, 0.1], dtype=np.float32))
    found = score(in_batches(log_p, np.array([0] * 9 + [1]), 10), ["a", "b"])
    z, n, p = 1.6448536269514722, 10, 0.9
    middle, half = (p + z * z / (2 * n)), z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    assert (found.top1.low, found.top1.high) == pytest.approx(
        ((middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n))
    )


def test_a_network_that_knows_nothing_has_the_top_5_of_chance() -> None:
    """All classes equal: 5 of 10 are named before the others, whichever they are."""
    labels = np.arange(100) % 10
    found = score(in_batches(np.full((100, 10), np.log(0.1), dtype=np.float32), labels, 32), [""] * 10)
    assert (found.top1.estimate, found.top5 and found.top5.estimate) == (0.1, 0.5)


def test_top_5_of_five_classes_is_absent() -> None:
    assert score(in_batches(np.zeros((3, 5), dtype=np.float32), np.arange(3), 3), [""] * 5).top5 is None


def test_nothing_to_judge_is_refused_with_why_the_first_cannot_be_read() -> None:
    with pytest.raises(DataError, match="not one of the images"):
        score([], ["a", "b"])
    with pytest.raises(DataError, match=r"not one of the images can be read, the first is a\.png \(16-bit grey\)"):
        score([], ["a", "b"], unreadable=[Unreadable(name="a.png", why="16-bit grey")])
