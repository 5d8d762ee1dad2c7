"""Scores on labelled images: accuracy, loss, calibration, and which classes are taken for which."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from levelfield.inference.answers import Answers
from levelfield.inference.pictures import Unreadable
from levelfield.records.errors import DataError
from levelfield.records.evaluation import CalibrationBin, ClassScore, Confusion, Evaluation, Share
from levelfield.scaling.noise.of_images import mean_ends, proportion_ends

SCORE_LEVEL = 0.9
NUM_BINS = 15
_TOP = 5


def score(answers: Iterable[Answers], names: Sequence[str], *, unreadable: Sequence[Unreadable] = ()) -> Evaluation:
    """The scores of ``answers`` about labelled images, by a network whose outputs are called ``names``.

    ``unreadable`` may fill while the answers come.

    Raises:
        DataError: there is not one answer.
    """
    said, ranks, log_p, confidence, true = [], [], [], [], []
    for batch in answers:
        own = batch.labels
        assert own is not None
        of_true = np.take_along_axis(batch.log_probabilities, own[:, None], axis=1)
        said.append(batch.log_probabilities.argmax(axis=1))
        ranks.append(_ranks(batch.log_probabilities, of_true, own))
        log_p.append(of_true[:, 0].astype(float))
        confidence.append(np.exp(batch.log_probabilities.max(axis=1).astype(float)))
        true.append(own)
    if not true:
        why = f", the first is {unreadable[0]}" if unreadable else ""
        raise DataError(f"not one of the images can be read{why}")
    guesses, owns, sure = np.concatenate(said), np.concatenate(true), np.concatenate(confidence)
    hits, losses = guesses == owns, -np.concatenate(log_p)
    bins = _bins(sure, hits)
    return Evaluation(
        num_images=len(owns),
        num_unreadable=len(unreadable),
        top1=_proportion(hits),
        top5=_proportion(np.concatenate(ranks) < _TOP) if len(names) > _TOP else None,
        loss=_mean(losses),
        calibration_error=sum(each.num_images * abs(each.confidence - each.accuracy) for each in bins) / len(owns),
        bins=bins,
        classes=_classes(owns, guesses, names),
        confusions=_confusions(owns, guesses, len(names)),
    )


def _ranks(log_p: NDArray[np.float32], of_true: NDArray[np.float32], own: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many classes [B] are named before the true one; of equals the lower number is, as argmax has it.

    Counting the more probable alone would find every class in the top 5 of a network that has learnt nothing.
    """
    before = (log_p == of_true) & (np.arange(log_p.shape[1]) < own[:, None])
    return ((log_p > of_true) | before).sum(axis=1)


def _proportion(hits: NDArray[np.bool_]) -> Share:
    """With Wilson's interval."""
    low, high = proportion_ends(int(hits.sum()), len(hits), SCORE_LEVEL)
    return Share(estimate=float(hits.mean()), low=low, high=high)


def _mean(values: NDArray[np.float64]) -> Share:
    """With Student's interval."""
    low, high = mean_ends(values, SCORE_LEVEL) or (None, None)
    return Share(estimate=float(values.mean()), low=low, high=high)


def _bins(sure: NDArray[np.float64], hits: NDArray[np.bool_]) -> tuple[CalibrationBin, ...]:
    """Bins of equal width that hold any image."""
    places = np.clip(np.ceil(sure * NUM_BINS).astype(int) - 1, 0, NUM_BINS - 1)
    return tuple(
        CalibrationBin(
            low=place / NUM_BINS,
            high=(place + 1) / NUM_BINS,
            num_images=int(inside.sum()),
            confidence=float(sure[inside].mean()),
            accuracy=float(hits[inside].mean()),
        )
        for place in np.unique(places).tolist()
        if (inside := places == place).any()
    )


def _classes(true: NDArray[np.int64], said: NDArray[np.int64], names: Sequence[str]) -> tuple[ClassScore, ...]:
    own, called = (np.bincount(labels, minlength=len(names)) for labels in (true, said))
    right = np.bincount(true[true == said], minlength=len(names))
    return tuple(
        ClassScore(
            label=label,
            name=name,
            num_images=int(own[label]),
            precision=float(right[label] / called[label]) if called[label] else None,
            recall=float(right[label] / own[label]) if own[label] else None,
        )
        for label, name in enumerate(names)
    )


def _confusions(true: NDArray[np.int64], said: NDArray[np.int64], num_classes: int) -> tuple[Confusion, ...]:
    pairs, counts = np.unique(true * num_classes + said, return_counts=True)
    return tuple(
        Confusion(true=pair // num_classes, said=pair % num_classes, num_images=count)
        for pair, count in zip(pairs.tolist(), counts.tolist(), strict=True)
    )
