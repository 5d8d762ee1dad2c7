"""Scores of a network that answers every pixel, on the report split of the trial that trained it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from levelfield.data.loader import evaluation_batches
from levelfield.data.sources import Source, open_source
from levelfield.data.transforms import fed
from levelfield.inference.evaluate import SCORE_LEVEL
from levelfield.records.difference import refuse_other_data
from levelfield.records.errors import InputError
from levelfield.records.evaluation import Share
from levelfield.records.measure import Measure
from levelfield.records.pixel_evaluation import PixelClassScore, PixelEvaluation, ScoredMeasure
from levelfield.records.store import TrialDirectory
from levelfield.records.stretches import few_stretches
from levelfield.scaling.noise.stretches import Statistic, jackknifed, summed_by_stretch
from levelfield.tasks.registry import task_named
from levelfield.train.evaluate import HeldOutScores, batch_judged, evaluate
from levelfield.weights.loaded import LoadedModel

SHOWN = 8
"""Pictures that a page shows: those at even steps from the worst answered to the best."""


class AnsweredPicture(NamedTuple):
    """A picture uint8 [3, H, W], its mask and the answer [H, W], and how well it was answered."""

    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    answer: NDArray[np.uint8]
    score: float


def score_pixels(
    path: Path, loaded: LoadedModel, *, device: torch.device
) -> tuple[PixelEvaluation, list[AnsweredPicture]]:
    """``loaded``, which the trial at ``path`` has left, judged on that trial's report split; and some of its answers.

    Raises:
        InputError: ``path`` is no trial.
        DataError: the trial's data is gone.
        StoreError: other data lies there now.
    """
    directory = TrialDirectory(path)
    spec, result = directory.spec(), directory.result()
    if spec is None or result is None:
        raise InputError(
            f"{path} is no finished trial: a network that answers every pixel is judged on the report split of its own"
        )
    source, task = open_source(spec.held_out_data), task_named(spec.task)
    if spec.test_resolution is None:
        refuse_other_data(result.data_fingerprint, source.fingerprint, where=path)
    network = loaded.model.to(device)
    judged = evaluate(
        network,
        task,
        source,
        "report",
        device=device,
        dtype=spec.dtype,
        batch_size=batch_judged(spec.head, source.resolution),
    )
    found = evaluation_of(judged, result.measures, source.class_names, weights=loaded.digest(), data=source.fingerprint)
    best = result.measures[-1]
    return found, _answered(network, source, best.shortfall(judged.each[best.name]), device)


def evaluation_of(
    judged: HeldOutScores,
    measures: Sequence[Measure],
    names: Sequence[str],
    *,
    weights: str | None = None,
    data: str | None = None,
) -> PixelEvaluation:
    """The record of what was ``judged``, with intervals over stretches."""
    assert judged.tallies is not None
    whole = np.isfinite(next(iter(judged.each.values())))
    confusions = judged.tallies[whole].astype(float)
    stretch = np.arange(len(whole)) if judged.stretch is None else judged.stretch
    stretch = stretch[whole]
    sums = summed_by_stretch(confusions, stretch)
    few = few_stretches(len(sums))
    counts = summed_by_stretch(np.ones(len(stretch)), stretch)

    def share(each: NDArray[np.float64], statistic: Statistic) -> Share:
        if few is not None:
            return Share(estimate=statistic(each.sum(axis=0)), low=None, high=None)
        estimate, low, high = jackknifed(each, statistic, level=SCORE_LEVEL)
        if low == high:  # every stretch says the same, 0 for a class never found: that bounds nothing
            return Share(estimate=estimate, low=None, high=None)
        return Share(estimate=estimate, low=low, high=high)

    total = confusions.sum(axis=0)
    scored = []
    for measure in measures:
        pairs = np.stack([summed_by_stretch(judged.each[measure.name][whole], stretch), counts], axis=1)
        scored.append(
            ScoredMeasure(
                name=measure.name,
                unit=measure.unit,
                better=measure.better,
                value=share(pairs, lambda pair: float(pair[0] / pair[1])),
            )
        )
    classes = []
    for label, name in enumerate(names):
        own, called, both = total[label].sum(), total[:, label].sum(), total[label, label]
        iou = share(sums, lambda matrix, label=label: _iou(matrix, label)) if own + called > 0 else None
        classes.append(
            PixelClassScore(
                label=label,
                name=name,
                share=float(own / max(total.sum(), 1)),
                iou=iou,
                recall=float(both / own) if own else None,
                precision=float(both / called) if called else None,
            )
        )
    return PixelEvaluation(
        num_images=int(whole.sum()),
        num_masked=int((~whole).sum()),
        num_stretches=len(sums),
        stretched=judged.stretch is not None,
        no_interval=few,
        miou=share(sums, _mean_iou),
        measures=tuple(scored),
        classes=tuple(classes),
        confusion=tuple(tuple(map(int, row)) for row in total.tolist()),
        weights=weights,
        data=data,
    )


def _iou(confusion: NDArray[np.float64], label: int) -> float:
    both = confusion[label, label]
    union = confusion[label].sum() + confusion[:, label].sum() - both
    return float(both / union) if union else 0.0


def _mean_iou(confusion: NDArray[np.float64]) -> float:
    occurs = np.flatnonzero(confusion.sum(axis=0) + confusion.sum(axis=1))
    return float(np.mean([_iou(confusion, label) for label in occurs.tolist()]))


@torch.inference_mode()
def _answered(
    network: torch.nn.Module, source: Source, shortfalls: NDArray[np.floating], device: torch.device
) -> list[AnsweredPicture]:
    """Some pictures from the worst answered to the best, and what the network says of them."""
    order = np.argsort(-np.nan_to_num(shortfalls, nan=-np.inf), kind="stable")[: int(np.isfinite(shortfalls).sum())]
    chosen = order[np.unique(np.linspace(0, len(order) - 1, SHOWN).round().astype(int))]
    shown = []
    for batch in evaluation_batches(source, "report", 1):
        place = int(batch.ids[0])
        if place in chosen:
            logits = network(fed(batch.fields["image"].to(device)))
            shown.append(
                AnsweredPicture(
                    image=batch.fields["image"][0].numpy(),
                    mask=batch.fields["mask"][0].numpy(),
                    answer=logits.argmax(1)[0].cpu().numpy().astype(np.uint8),
                    score=1 - float(shortfalls[place]),
                )
            )
    return sorted(shown, key=lambda each: each.score)
