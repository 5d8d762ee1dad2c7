"""Held-out scores: every measure of a task, over every example of a split, one number each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from levelfield.data.loader import evaluation_batches
from levelfield.data.sources import Source
from levelfield.data.transforms import fed
from levelfield.records.data import Split
from levelfield.records.errors import TrialError
from levelfield.records.trial import Dtype, HeldOutMeans
from levelfield.tasks.base import Task

# Large enough to be efficient; a constant, so that the batch never changes the last bits of a result.
EVALUATION_BATCH = 512


@dataclass(frozen=True, kw_only=True, eq=False)
class HeldOutScores:
    """The means over a split, and of every measure the value of each example in the split's order [num_examples].

    Masked (corrupt) examples are left out of the means and are NaN.
    """

    mean: HeldOutMeans
    each: dict[str, NDArray[np.float32]]


@torch.inference_mode()
def evaluate(
    model: nn.Module, task: Task, source: Source, split: Split, *, device: torch.device, dtype: Dtype
) -> HeldOutScores:
    """What ``task`` measures of ``model`` over every example of ``split``.

    Raises:
        TrialError: not one example of the split is whole.
    """
    was_training = model.training
    model.eval()
    found: dict[str, list[torch.Tensor]] = {}
    valids = []
    for batch in evaluation_batches(source, split, EVALUATION_BATCH):
        fields = {name: batch.fields[name].to(device) for name in task.fields}
        with torch.autocast(device.type, torch.bfloat16, enabled=dtype == "bfloat16"):
            scores = task.scores(model(fed(fields[task.fields[0]])), fields)
        for name, score in scores.items():
            found.setdefault(name, []).append(score.cpu())
        valids.append(batch.valid)
    model.train(was_training)
    valid = torch.cat(valids)
    if not valid.any():
        raise TrialError(f"every example of the {split} split is corrupt")
    each = {name: torch.where(valid, torch.cat(scores), torch.nan) for name, scores in found.items()}
    values = {name: float(scores[valid].double().mean()) for name, scores in each.items()}
    mean = HeldOutMeans(values=values, num_examples=int(valid.sum()))
    return HeldOutScores(mean=mean, each={name: scores.numpy() for name, scores in each.items()})
