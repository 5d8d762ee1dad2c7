"""Trials that learn a policy: resumed bit for bit, started from a classifier, frozen or not, and run as a study."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from levelfield.compute.analytic import count
from levelfield.data.ingest.lerobot_writer import Episode, Recording, write_lerobot
from levelfield.data.sources import open_source
from levelfield.families.registry import build
from levelfield.records.data import DemonstrationsSpec, data_content
from levelfield.records.head import PolicyHead
from levelfield.records.store import TrialDirectory
from levelfield.records.trial import TrialSpec
from levelfield.study.execute.finetune import finetune, finetune_spec
from levelfield.study.execute.trial import run_trial
from levelfield.study.outcome.table import kept_losses
from levelfield.study.plan.recipes import preset
from levelfield.tasks.policy import ACTION_LOSS, NEXT_ACTION_LOSS
from levelfield.transfer.backbone import PretrainedBackbone, backbone_of_trial
from levelfield.weights.kept import NetworkFacts
from tests.conftest import run

CPU = torch.device("cpu")
STEPS, SIDE = 4, 16
HEAD = PolicyHead(num_outputs=8, num_states=3, width=256, depth=2)
RECORDING = Recording(robot="arm", task="reach", fps=25, state_names=("x", "y", "z"), action_names=("u", "v"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """24 episodes in which the picture says the first action and the senses the second."""
    drawn, path = np.random.default_rng(0), tmp_path_factory.mktemp("policy") / "arm"
    episodes = []
    for length in drawn.integers(4, 9, 24).tolist():
        shown = drawn.integers(0, 256, length)
        states = drawn.normal(size=(length, 3)).astype(np.float32)
        pictures = np.broadcast_to(shown[:, None, None, None], (length, SIDE, SIDE, 3)).astype(np.uint8)
        actions = np.stack([shown / 128.0 - 1, states.sum(1)], axis=1).astype(np.float32)
        episodes.append(Episode(pictures, states, actions))
    write_lerobot(path, RECORDING, episodes)
    return path


@pytest.fixture(scope="module")
def data(folder):
    return DemonstrationsSpec(path=str(folder), resolution=SIDE, chunk=4, select_episodes=4, report_episodes=10)


@pytest.fixture(scope="module")
def source(data):
    return open_source(data)


def trial(data, source, **changes) -> TrialSpec:
    noise = {"warmup_fraction": 0.4, "ema_fraction": 0.3, "dropout": 0.1, "stochastic_depth": 0.2}
    spec = TrialSpec(
        architecture="nfnet:w8-d1x1-g4",
        data=data,
        recipe=preset("nfnet-short", peak_lr=0.2, override=noise),
        head=HEAD,
        task="policy",
        budget_flops=1e8,
        global_batch_size=6,
        steps=STEPS,
        held_out="report",
        data_content=data_content(data, source.fingerprint),
    )
    return dataclasses.replace(spec, **changes)


class Stopped(Exception):
    """Stands for a crash right after a step."""


@pytest.mark.slow
def test_resume_is_bit_identical_at_every_step(data, source, tmp_path):
    spec, undisturbed = trial(data, source), TrialDirectory(tmp_path / "undisturbed")
    whole = run_trial(spec, undisturbed, source, device=CPU, keeps_weights=True)
    assert {"report_action_loss.npy", "report_next_action_loss.npy", "report_stretch.npy"} <= set(whole.kept)
    for cut in range(1, STEPS + 1):
        directory = TrialDirectory(tmp_path / f"cut-{cut}")

        def stop(report, cut=cut):
            if report.step == cut:
                raise Stopped

        with pytest.raises(Stopped):
            run_trial(spec, directory, source, device=CPU, checkpoint_seconds=0, on_step=stop)
        run_trial(spec, directory, source, device=CPU, checkpoint_seconds=0, keeps_weights=True)
        for name in ("spec.json", "result.json", "metrics.jsonl", "weights.safetensors", *whole.kept):
            assert (directory.path / name).read_bytes() == (undisturbed.path / name).read_bytes(), name


def test_held_out_losses_come_an_episode_each_with_the_mean_of_their_frames(data, source, tmp_path):
    directory = TrialDirectory(tmp_path / "trial")
    result = run_trial(trial(data, source, steps=1), directory, source, device=CPU)
    assert [measure.name for measure in result.measures] == [ACTION_LOSS, NEXT_ACTION_LOSS]
    for measure in result.measures:
        kept = kept_losses(directory, result, measure.name)
        assert kept is not None
        assert len(kept) == 10
        assert kept.mean() == pytest.approx(result.loss("report", measure.name), rel=1e-6)
    assert result.held_out["report"].num_examples == source.split_sizes["report"] > 40


def backbone(architecture: str) -> PretrainedBackbone:
    torch.manual_seed(3)
    model = build(architecture, num_outputs=10, resolution=SIDE)
    facts = NetworkFacts(architecture=architecture, resolution=SIDE, num_outputs=10, in_channels=3)
    state = {name: parameter.detach() for name, parameter in model.named_parameters()}
    return PretrainedBackbone(identity="weights:seen", facts=facts, state=state, train_flops=1e6)


@pytest.mark.parametrize("architecture", ["nfnet:w8-d1x1-g4", "vit:w16-d1-p8"])
@pytest.mark.parametrize("frozen", [False, True])
def test_a_classifiers_backbone_learns_to_act(architecture, frozen, data, source, tmp_path):
    start, said = backbone(architecture), {"frozen": frozen, "label_smoothing": 0.0}
    made = {"recipe": "short-sgd", "length": "6 steps", "global_batch_size": 6, "task": "policy"}
    spec = finetune_spec(start, data, source, override=said, **made)
    result = finetune(spec, start, source, tmp_path / "tuned", device=CPU)
    assert result.status == "finished"
    kept = backbone_of_trial(tmp_path / "tuned")
    body = [name for name in kept.state if not name.startswith("head.")]
    moved = [name for name in body if not torch.equal(kept.state[name], start.state[name])]
    assert moved == [] if frozen else len(moved) > len(body) / 2
    counted = count(architecture, resolution=SIDE, head=HEAD, frozen=frozen)
    assert result.train_flops == 36 * counted.train_flops_per_example


STUDY = """
name = "arm"
question = "Does a policy learn?"
task = "policy"

[data]
source = "demonstrations"
path = "{path}"
resolution = 16
chunk = 4
select_episodes = 4
report_episodes = 10

[ladder]
budgets = [2.5e9]
batch_coefficient = 0.1
max_epochs = 4000

[[families]]
name = "vit"
recipe = "vit-short"
sizes = ["vit:w16-d1-p8"]
base_lr = {{ low = 0.008, start = 0.016, high = 0.032 }}
lr_batch_exponent = 0.5
"""


@pytest.mark.slow
def test_a_study_of_few_episodes_runs_to_its_end_and_says_that_it_compares_nothing(folder, tmp_path):
    (tmp_path / "study.toml").write_text(STUDY.format(path=folder))
    planned = run("plan", tmp_path / "study.toml")
    assert planned.returncode == 0, planned.stderr
    assert "10 stretches, and 100 are needed" in planned.stdout
    done = run("run", tmp_path / "study.toml", "--dir", tmp_path / "study")
    assert done.returncode == 0, done.stderr
    results = [json.loads(path.read_text()) for path in (tmp_path / "study/trials").glob("*/result.json")]
    judged = [each["held_out"]["report"]["values"] for each in results if "report" in each["held_out"]]
    assert len(judged) >= 3
    assert max(each[NEXT_ACTION_LOSS] for each in judged) < 0.1, "which picture and senses tell"
    assert min(each[ACTION_LOSS] for each in judged) > 0.5, "of those after it nothing is told: each is drawn anew"
    assert "action loss" in (tmp_path / "study/report.html").read_text()
