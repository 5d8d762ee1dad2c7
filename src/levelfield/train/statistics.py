"""BatchNorm while training and before judging: who shares a statistic, and which one a network is judged by.

While training a statistic is of the batch, or of a ghost batch of it, and nothing of it is kept. What judges is
estimated once, when the weights to judge are known: so it is theirs, raw or averaged, however the run was cut.

Source: docs/decisions/0018-batch-statistics.md; Wu and Johnson, arXiv 2105.07576, section 3 ("PreciseBN"), computed as
torch.optim.swa_utils.update_bn does; Hoffer et al., arXiv 1705.08741, section 4 (ghost batches).
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from levelfield.families.tensors import batch_norms
from levelfield.records.errors import TrialError
from levelfield.records.trial import LEAST_GHOST_BATCH


def keep_none(network: nn.Module) -> bool:
    """Let the BatchNorm layers of ``network`` that train leave their buffers alone; whether there are any."""
    layers = [layer for layer in batch_norms(network).values() if layer.training]
    for layer in layers:
        layer.track_running_stats = False
    return bool(layers)


def sharing_parts(whole: int, first: int, ghost_batch_size: int | None) -> tuple[list[slice], int]:
    """The parts of a batch of ``whole`` examples that run each by itself, and how many make up its ``first`` ones."""
    cuts = sorted({*range(0, whole, ghost_batch_size or whole), first} - {whole})
    ends = [*cuts[1:], whole]
    return [slice(begin, end) for begin, end in zip(cuts, ends, strict=True)], sum(end <= first for end in ends)


def sharing_examples(fields: dict[str, Tensor], valid: Tensor) -> tuple[dict[str, Tensor], Tensor]:
    """Those examples of a part that its statistics are of, the whole ones, and which of them count in the loss.

    A part without any runs as it is, and adds nothing. One alone runs twice and counts once: with its like beside it,
    it has the statistics of itself.
    """
    rows = valid.nonzero().flatten()
    number = len(rows)
    if number in (0, len(valid)):
        return fields, valid
    rows = rows if number >= LEAST_GHOST_BATCH else rows.expand(LEAST_GHOST_BATCH)
    counts = torch.arange(len(rows), device=valid.device) < number
    return {name: field[rows] for name, field in fields.items()}, counts


@torch.no_grad()
def estimate_statistics(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Give ``network`` the statistics of its present weights over ``batches`` of images [B, C, H, W] as it is fed, and
    leave it in evaluation mode.

    Layers that are not in training mode keep theirs. All else runs as it is judged: dropout and stochastic depth are
    off. Means and unbiased variances of a batch are averaged over the batches; one of a single image is passed over.

    Raises:
        TrialError: no batch is left.
    """
    layers = [layer for layer in batch_norms(network).values() if layer.training]
    momenta = [layer.momentum for layer in layers]
    network.eval()
    for layer in layers:
        layer.training = layer.track_running_stats = True
        layer.momentum = None  # torch's word for the mean of all
        layer.reset_running_stats()
    seen = False
    for images in batches:
        if len(images) >= LEAST_GHOST_BATCH:
            network(images)
            seen = True
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.training, layer.momentum = False, momentum
    if not seen:
        raise TrialError("every training example that statistics are estimated on is corrupt: mend the data")
