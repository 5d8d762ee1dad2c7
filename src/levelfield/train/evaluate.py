"""Held-out scores: every measure of a task, over every example of a split, one number each."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from levelfield.data.loader import evaluation_batches
from levelfield.data.source import Prompted
from levelfield.data.sources import Source
from levelfield.families.judged import weights_held
from levelfield.records.data import Split
from levelfield.records.errors import TrialError
from levelfield.records.fields import STRETCH
from levelfield.records.head import Head, PixelHead
from levelfield.records.trial import Dtype, HeldOutMeans
from levelfield.tasks.base import RankingTask, TallyingTask, Task, answers
from levelfield.train.ranks import ALONE, Ranks

EVALUATION_BATCH = 512
"""Large enough to be efficient; a constant, so that the batch never changes the last bits of a result."""
_OUTPUTS = ""
"""Among the fields of a split, what the network put out: a name that no field has."""
_MOST_OUTPUTS = 2**23
"""Numbers that the answers to a batch may be, of a head that answers every pixel: 32 MB."""


def batch_judged(head: Head, resolution: int) -> int:
    """Examples that are judged at a time, a power of two: a function of the shape of the answers alone."""
    each = head.num_outputs * resolution**2 if isinstance(head, PixelHead) else 1
    return min(EVALUATION_BATCH, 1 << max(0, (_MOST_OUTPUTS // each).bit_length() - 1))


@dataclass(frozen=True, kw_only=True, eq=False)
class HeldOutScores:
    """The means over a split, and of every measure the value of each example in the split's order [num_examples].

    Masked (corrupt) examples are left out of the means and are NaN. ``tallies`` int64 [num_examples, ...] are what a
    task adds up over the split, 0 for masked ones; ``stretch`` int64 [num_examples] says which examples err together.
    Either is None where the task, or the source, has none.
    """

    mean: HeldOutMeans
    each: dict[str, NDArray[np.float32]]
    tallies: NDArray[np.int64] | None = None
    stretch: NDArray[np.int64] | None = None


@torch.inference_mode()
def evaluate(
    model: nn.Module,
    task: Task,
    source: Source,
    split: Split,
    *,
    device: torch.device,
    dtype: Dtype,
    batch_size: int = EVALUATION_BATCH,
    ranks: Ranks = ALONE,
) -> HeldOutScores:
    """What ``task`` measures of ``model`` over every example of ``split``, ``batch_size`` at a time.

    Batches are shared out over ``ranks``, whose models must be equal, and every one of them has all scores.

    Raises:
        TrialError: not one example of the split is whole.
    """
    was_training = model.training
    model.eval()
    own: list[_Judged] = []
    classes = None
    with weights_held(model, half=dtype == "bfloat16"):
        for batch in evaluation_batches(source, split, batch_size, rank=ranks.rank, world_size=ranks.size):
            fields = {name: batch.fields[name].to(device) for name in task.fields}
            with torch.autocast(device.type, torch.bfloat16, enabled=dtype == "bfloat16"):
                outputs = answers(task, model, fields)
                scores = {} if isinstance(task, RankingTask) else task.scores(outputs, fields)
            ranked, tallies = {}, None
            if isinstance(task, RankingTask):
                kept = {name: field for name, field in batch.fields.items() if name != task.fields[0]}
                ranked = {**kept, _OUTPUTS: outputs.float().cpu()}
            if isinstance(task, TallyingTask):
                counted = task.tallies(outputs, fields).cpu()
                tallies = counted * batch.valid.view(-1, *(1,) * (counted.ndim - 1))
            measured = {name: score.cpu() for name, score in scores.items()}
            own.append(_Judged(measured, batch.valid, tallies, batch.fields.get(STRETCH), ranked))
        prompts = source.prompts if isinstance(source, Prompted) else None
        if isinstance(task, RankingTask) and prompts is not None:
            with torch.autocast(device.type, torch.bfloat16, enabled=dtype == "bfloat16"):
                classes = task.named(model, torch.as_tensor(prompts, device=device)).float().cpu()
    model.train(was_training)
    judged = _in_turn(ranks.gathered(own))
    valid = torch.cat([each.valid for each in judged])
    if not valid.any():
        raise TrialError(f"every example of the {split} split is corrupt")
    found = _by_name(each.scores for each in judged)
    if isinstance(task, RankingTask):
        of_split = _by_name(each.ranked for each in judged)
        found = dict(task.rankings(of_split.pop(_OUTPUTS), of_split, valid, source.fields, classes))
    each = {name: torch.where(valid, scores, torch.nan) for name, scores in found.items()}
    values = {name: float(scores[valid].double().mean()) for name, scores in each.items()}
    counted, stretch = _joined(each.tallies for each in judged), _joined(each.stretch for each in judged)
    whole = dict(task.whole(counted.sum(0))) if counted is not None and isinstance(task, TallyingTask) else None
    return HeldOutScores(
        mean=HeldOutMeans(values=values, num_examples=int(valid.sum()), whole=whole),
        each={name: scores.numpy() for name, scores in each.items()},
        tallies=None if counted is None else counted.numpy(),
        stretch=None if stretch is None else stretch.numpy(),
    )


class _Judged(NamedTuple):
    """What was measured of a batch; ``ranked`` is what its examples are ranked among those of the split by."""

    scores: dict[str, torch.Tensor]
    valid: torch.Tensor
    tallies: torch.Tensor | None
    stretch: torch.Tensor | None
    ranked: dict[str, torch.Tensor]


def _in_turn(shares: Sequence[Sequence[_Judged]]) -> list[_Judged]:
    """The batches that ranks took in turn, in their order."""
    return [each for turn in itertools.zip_longest(*shares) for each in turn if each is not None]


def _by_name(parts: Iterable[Mapping[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    held = list(parts)
    return {name: torch.cat([part[name] for part in held]) for name in held[0]}


def _joined(parts: Iterable[torch.Tensor | None]) -> torch.Tensor | None:
    held = [part for part in parts if part is not None]
    return torch.cat(held) if held else None
