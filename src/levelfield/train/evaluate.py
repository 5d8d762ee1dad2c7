"""Held-out loss: plain, over every example of a split, one number each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from levelfield.data.loader import evaluation_batches
from levelfield.data.sources import Source
from levelfield.data.transforms import to_float
from levelfield.records.data import Split
from levelfield.records.errors import TrialError
from levelfield.records.trial import Dtype, HeldOutLoss
from levelfield.tasks.base import Task

# Large enough to be efficient; a constant, so that the batch never changes the last bits of a result.
EVALUATION_BATCH = 512


@dataclass(frozen=True, kw_only=True, eq=False)
class HeldOutScores:
    """The mean over a split, and every example of it in the split's order [num_examples].

    ``hits`` are 1 where the first answer is right, else 0. Masked (corrupt) examples are left out of the mean and are
    NaN in both arrays.
    """

    mean: HeldOutLoss
    losses: NDArray[np.float32]
    hits: NDArray[np.float32]


@torch.inference_mode()
def evaluate(
    model: nn.Module, task: Task, source: Source, split: Split, *, device: torch.device, dtype: Dtype
) -> HeldOutScores:
    """The held-out loss and top-1 of ``model`` over every example of ``split``.

    Raises:
        TrialError: not one example of the split is whole.
    """
    was_training = model.training
    model.eval()
    losses, hits, valids = [], [], []
    for batch in evaluation_batches(source, split, EVALUATION_BATCH):
        with torch.autocast(device.type, torch.bfloat16, enabled=dtype == "bfloat16"):
            loss, hit = task.held_out(model, to_float(batch.images.to(device)), batch.labels.to(device))
        losses.append(loss.cpu())
        hits.append(hit.cpu())
        valids.append(batch.valid)
    model.train(was_training)
    valid = torch.cat(valids)
    if not valid.any():
        raise TrialError(f"every example of the {split} split is corrupt")
    each = torch.where(valid, torch.cat(losses), torch.nan)
    right = torch.where(valid, torch.cat(hits).float(), torch.nan)
    held_out = HeldOutLoss(
        loss=float(each[valid].double().mean()),
        top1=float(right[valid].double().mean()),
        num_examples=int(valid.sum()),
    )
    return HeldOutScores(mean=held_out, losses=each.numpy(), hits=right.numpy())
