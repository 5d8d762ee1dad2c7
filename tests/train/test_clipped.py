"""What adaptive clipping scales down is counted by stage, alike under every engine."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch

from levelfield.data.sources import open_source_once
from levelfield.native.library import kernels
from levelfield.records.store import TrialDirectory
from levelfield.study.execute.trial import run_trial
from levelfield.train.clipped import ClippedLog, clipped_shares, stage_of
from tests.narrowed import present
from tests.study.test_trial import CPU, Killed
from tests.study.test_trial import trial as a_trial

from .test_lean import DATA, batches, stepped, trial


def test_a_stage_is_the_path_to_the_first_number_else_the_first_word():
    names = {
        "stages.0.3.conv1.weight": "stages.0",
        "blocks.11.fc1.bias": "blocks.11",
        "stem.conv1.gain": "stem",
        "position": "position",
        "body.layer1.0.conv1.weight": "body.layer1.0",
    }
    assert {name: stage_of(name) for name in names} == names


@pytest.mark.parametrize("case", ["faithful", "short", "a transformer by SGD"])
def test_engines_clip_the_same_units(case: str) -> None:
    if kernels() is None:
        pytest.skip("no C compiler is installed")
    spec = trial(case)
    told = []
    for lean in (False, True):
        state, step = stepped(spec, lean=lean)
        assert not step.side.scales(state) or lean
        told.append([clipped_shares(step.side.scales(state)) for batch in batches(spec) if step(state, batch).finite])
    plain, lean = told
    assert plain == lean
    assert {share for shares in plain for share in shares.values()} - {0.0, 1.0}, "nothing was clipped in part"


def test_the_units_counted_are_those_whose_gradient_was_scaled_down():
    spec = trial("short")
    state, step = stepped(spec, lean=False)
    outputs = state.model(torch.randn(8, 1, 16, 16, generator=torch.Generator().manual_seed(0)))
    torch.nn.functional.cross_entropy(outputs, torch.arange(8)).backward()
    weights = {name: each.detach().clone() for name, each in state.parameters.items()}
    gradients = {name: present(each.grad).clone() for name, each in state.parameters.items()}
    step.side.update(state, step.side.gradient_norm(state), 0.1)
    by_stage: dict[str, list[bool]] = {}
    for row in state.policy:
        if row.clipped:
            whole = row.unit_axis is None
            units = [each.reshape(1 if whole else len(each), -1) for each in (weights[row.name], gradients[row.name])]
            norms = [each.norm(dim=1) for each in units]
            over = norms[1] > present(spec.recipe.agc_lambda) * norms[0].clamp(min=spec.recipe.agc_eps)
            by_stage.setdefault(stage_of(row.name), []).extend(over.tolist())
    told = clipped_shares(step.side.scales(state))
    assert told == {stage: sum(each) / len(each) for stage, each in by_stage.items()}
    assert 0 < sum(told.values()) < len(told)


def test_a_trial_tells_them_beside_its_trace_however_often_it_was_cut(tmp_path):
    spec, source = a_trial("nfnet"), open_source_once(DATA)
    whole = TrialDirectory(tmp_path / "whole")
    run_trial(spec, whole, source, device=CPU)
    cut = TrialDirectory(tmp_path / "cut")

    def kill(report):
        if report.step == 4:
            raise Killed

    with pytest.raises(Killed):
        run_trial(spec, cut, source, device=CPU, checkpoint_seconds=0, on_step=kill)
    run_trial(spec, cut, source, device=CPU, checkpoint_seconds=0)
    assert cut.clipped_path.read_bytes() == whole.clipped_path.read_bytes()
    lines = [json.loads(line) for line in whole.clipped_path.read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, spec.steps + 1))
    means = present(whole.timing()).clipped
    assert means == {name: pytest.approx(sum(each[name] for each in lines) / len(lines)) for name in present(means)}
    assert means == present(cut.timing()).clipped
    assert whole.clipped_path.name not in present(whole.result()).kept


def test_where_nothing_is_clipped_nothing_is_told(tmp_path):
    directory = TrialDirectory(tmp_path / "trial")
    run_trial(dataclasses.replace(a_trial("vit"), steps=2), directory, open_source_once(DATA), device=CPU)
    assert not directory.clipped_path.exists()
    assert present(directory.timing()).clipped is None
    assert ClippedLog(tmp_path / "none.jsonl").means is None


def test_a_scale_of_one_is_no_clipping():
    told = clipped_shares({"stages.0.a": torch.tensor([[0.5], [1.0]]), "stages.0.b": torch.tensor(0.99)})
    assert told == {"stages.0": 2 / 3}
