"""Small pre-trained networks of both families, made once by real trials."""

import dataclasses
from pathlib import Path

import pytest
import torch

from levelfield.data.sources import open_source
from levelfield.records.data import DigitPairsSpec
from levelfield.records.head import LinearHead
from levelfield.records.store import TrialDirectory
from levelfield.records.trial import TrialSpec
from levelfield.study.execute.trial import run_trial
from levelfield.study.plan.recipes import preset

CPU = torch.device("cpu")
PRETRAINING = DigitPairsSpec(resolution=16, select_examples=64, report_examples=64)
ARCHITECTURES = {
    "nfnet": ("nfnet:w8-d1x1-g4", "nfnet-short", 0.2),
    "vit": ("vit:w16-d2-p4", "vit-short", 0.01),
    "batch-norm": ("timm:resnet10t,channels=8x8x8x8,stem_width=8", "vit-sgd-agc", 0.1),
}


def pretraining(family: str, **changes) -> TrialSpec:
    architecture, recipe, peak = ARCHITECTURES[family]
    spec = TrialSpec(
        architecture=architecture,
        data=PRETRAINING,
        recipe=preset(recipe, peak_lr=peak, override={"ema_fraction": 0.3}),
        head=LinearHead(num_outputs=100),
        budget_flops=1e8,
        global_batch_size=16,
        steps=20,
    )
    return dataclasses.replace(spec, **changes)


@pytest.fixture(scope="session", params=["nfnet", "vit"])
def pretrained(request, tmp_path_factory) -> Path:
    """The directory of a finished trial that has kept its weights."""
    spec = pretraining(request.param)
    path = tmp_path_factory.mktemp("study") / "trials" / spec.name
    run_trial(spec, TrialDirectory(path), open_source(PRETRAINING), device=CPU, keeps_weights=True)
    return path
