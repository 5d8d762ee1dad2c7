"""Judging standardises weights once, for all batches of a split, and gives what it gave when every batch did."""

from __future__ import annotations

import contextlib

import pytest
import torch

from levelfield.data.sources import open_source_once
from levelfield.families import registry
from levelfield.families.nfnet.model import NFNet
from levelfield.records.data import DigitPairsSpec
from levelfield.records.trial import Dtype
from levelfield.tasks.registry import task_named
from levelfield.train.evaluate import evaluate
from tests.narrowed import of_kind

CPU = torch.device("cpu")
DATA = DigitPairsSpec(resolution=16, select_examples=64, report_examples=64)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_an_evaluation_standardises_once_and_changes_no_bit(dtype: Dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model = of_kind(NFNet, registry.build("nfnet:w8-d1x2-g4-s4", num_outputs=100, resolution=16, in_channels=1))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("skip_gain"):
                parameter.fill_(0.5)
    source, task = open_source_once(DATA), task_named("classification")
    made: list[int] = []
    standardise = model.standardised_weights
    monkeypatch.setattr(model, "standardised_weights", lambda: (made.append(1), standardise())[1])
    found = evaluate(model, task, source, "select", device=CPU, dtype=dtype, batch_size=16)
    assert len(made) == 1
    monkeypatch.setattr("levelfield.train.evaluate.weights_held", lambda *_, **__: contextlib.nullcontext())
    plain = evaluate(model, task, source, "select", device=CPU, dtype=dtype, batch_size=16)
    assert len(made) == 5
    assert found.mean == plain.mean
    for name, each in found.each.items():
        assert (each == plain.each[name]).all()
