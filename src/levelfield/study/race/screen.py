"""A long shelf is made short before it races: frozen probes of a few training images, judged by the select split.

A probe costs a forward pass of some thousand images, a competitor a whole search. What is lost by it is measured on
fine-tunes that were run whole: ``python -m benchmarks.probe_screen``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from levelfield.compute.analytic import count
from levelfield.compute.head_fit import HEAD_ITERATIONS, head_examples
from levelfield.data.arranged import training_order
from levelfield.data.sources import Source
from levelfield.families.registry import parse
from levelfield.records.errors import DataError
from levelfield.records.screened import ScreenedWeights, ShelfScreen
from levelfield.study.execute.backbones import backbone_at
from levelfield.study.race.design import Shelved
from levelfield.transfer.backbone import PretrainedBackbone
from levelfield.transfer.channels import suited
from levelfield.transfer.features import features_at
from levelfield.transfer.probes import head_loss, head_of_features
from levelfield.transfer.surgery import assembled


def screen_shelf(shelf: Sequence[Shelved], source: Source, *, keep: int, device: torch.device) -> ShelfScreen:
    """The probes of all of ``shelf`` on ``source``, of which the ``keep`` best go on.

    Raises:
        SpecError: weights take images of other channels.
        DataError: no training image, or none to select by, is whole.
        WeightsError: a feature is no finite number.
    """
    positions = np.arange(head_examples(source.split_sizes["train"]))
    _, train = training_order(source, seed=0).ids(positions)
    select = np.arange(source.split_sizes["select"])
    probed = [_probed(each, source, train, select, device=device) for each in shelf]
    weights = sorted((weights for weights, _ in probed), key=lambda each: each.loss)
    return ShelfScreen(
        weights=tuple(dataclasses.replace(each, kept=place < keep) for place, each in enumerate(weights)),
        num_train=len(train),
        num_select=len(select),
        flops=sum(flops for _, flops in probed),
    )


def _probed(
    shelved: Shelved, source: Source, train: np.ndarray, select: np.ndarray, *, device: torch.device
) -> tuple[ScreenedWeights, float]:
    """The weights with the loss of their probe, and the FLOPs it took."""
    backbone = suited(
        backbone_at(Path(shelved.place), device=torch.device("cpu"), arch=shelved.architecture), source.in_channels
    )
    family, head = parse(backbone.facts.architecture), backbone.facts.head
    resolution, channels = source.resolution, source.in_channels
    model = assembled(family, backbone.state, head=head, resolution=resolution, in_channels=channels).to(device)
    fitted = features_at(model, source, "train", train, device=device)
    judged = features_at(model, source, "select", select, device=device)
    for split, features in (("training", fitted), ("select", judged)):
        if not len(features):
            raise DataError(f"not one of the {split} images that a probe takes is whole")
    kernel, bias = head_of_features(
        fitted.x.astype(np.float64), fitted.y, num_outputs=len(source.class_names), iterations=HEAD_ITERATIONS
    )
    flops = count(family, head=head, resolution=resolution, in_channels=channels).forward_flops
    return _told(shelved, backbone, head_loss(kernel, bias, judged.x, judged.y)), flops * (len(train) + len(select))


def _told(shelved: Shelved, backbone: PretrainedBackbone, loss: float) -> ScreenedWeights:
    return ScreenedWeights(
        name=shelved.name,
        architecture=shelved.architecture,
        place=shelved.place,
        identity=backbone.identity,
        loss=loss,
        kept=False,
    )
