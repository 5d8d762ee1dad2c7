"""Held-out scores: every measure of a task, over every example of a split, one number each."""

from __future__ import annotations

from dataclasses import dataclass

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
) -> HeldOutScores:
    """What ``task`` measures of ``model`` over every example of ``split``, ``batch_size`` at a time.

    Raises:
        TrialError: not one example of the split is whole.
    """
    was_training = model.training
    model.eval()
    found: dict[str, list[torch.Tensor]] = {}
    valids, tallies, stretches = [], [], []
    rows: dict[str, list[torch.Tensor]] = {}
    classes = None
    with weights_held(model, half=dtype == "bfloat16"):
        for batch in evaluation_batches(source, split, batch_size):
            fields = {name: batch.fields[name].to(device) for name in task.fields}
            with torch.autocast(device.type, torch.bfloat16, enabled=dtype == "bfloat16"):
                outputs = answers(task, model, fields)
                scores = {} if isinstance(task, RankingTask) else task.scores(outputs, fields)
            if isinstance(task, RankingTask):
                kept = {name: field for name, field in batch.fields.items() if name != task.fields[0]}
                for name, field in {**kept, _OUTPUTS: outputs.float().cpu()}.items():
                    rows.setdefault(name, []).append(field)
            if isinstance(task, TallyingTask):
                counted = task.tallies(outputs, fields).cpu()
                tallies.append(counted * batch.valid.view(-1, *(1,) * (counted.ndim - 1)))
            if STRETCH in batch.fields:
                stretches.append(batch.fields[STRETCH])
            for name, score in scores.items():
                found.setdefault(name, []).append(score.cpu())
            valids.append(batch.valid)
        prompts = source.prompts if isinstance(source, Prompted) else None
        if isinstance(task, RankingTask) and prompts is not None:
            with torch.autocast(device.type, torch.bfloat16, enabled=dtype == "bfloat16"):
                classes = task.named(model, torch.as_tensor(prompts, device=device)).float().cpu()
    model.train(was_training)
    valid = torch.cat(valids)
    if not valid.any():
        raise TrialError(f"every example of the {split} split is corrupt")
    if isinstance(task, RankingTask):
        of_split = {name: torch.cat(fields) for name, fields in rows.items()}
        ranked = task.rankings(of_split.pop(_OUTPUTS), of_split, valid, source.fields, classes)
        found = {name: [scores] for name, scores in ranked.items()}
    each = {name: torch.where(valid, torch.cat(scores), torch.nan) for name, scores in found.items()}
    values = {name: float(scores[valid].double().mean()) for name, scores in each.items()}
    counted = torch.cat(tallies) if tallies else None
    whole = dict(task.whole(counted.sum(0))) if counted is not None and isinstance(task, TallyingTask) else None
    return HeldOutScores(
        mean=HeldOutMeans(values=values, num_examples=int(valid.sum()), whole=whole),
        each={name: scores.numpy() for name, scores in each.items()},
        tallies=None if counted is None else counted.numpy(),
        stretch=torch.cat(stretches).numpy() if stretches else None,
    )
