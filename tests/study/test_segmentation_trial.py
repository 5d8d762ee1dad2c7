"""Trials that answer every pixel: resumed bit for bit, fine-tuned from a classifier, frozen or not, and planned."""

import dataclasses
import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from levelfield.compute.analytic import count
from levelfield.data.arranged import training_order
from levelfield.data.loader import Loader
from levelfield.data.sources import open_source
from levelfield.data.transforms import to_float
from levelfield.records.data import MaskedImagesSpec, data_content
from levelfield.records.errors import SpecError
from levelfield.records.head import LinearHead, PixelHead
from levelfield.records.store import TrialDirectory
from levelfield.records.stretches import FewStretches
from levelfield.records.trial import TrialSpec
from levelfield.study.execute.finetune import finetune, finetune_spec
from levelfield.study.execute.parts import put_together
from levelfield.study.execute.trial import run_trial
from levelfield.study.outcome.table import kept_losses
from levelfield.study.plan.recipes import preset
from levelfield.transfer.backbone import PretrainedBackbone, backbone_of_trial
from levelfield.weights.kept import NetworkFacts
from tests.conftest import one_complaint, run
from tests.masked_pictures import rows, write_parquet

CPU = torch.device("cpu")
STEPS = 4
HEAD = PixelHead(num_outputs=3, output_stride=8)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = write_parquet(tmp_path_factory.mktemp("masks") / "bars.parquet", rows())
    return MaskedImagesSpec(
        path=str(path), resolution=32, stretch=2, mask_column="mask", split_column="split", sequence_column="file"
    )


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
        task="segmentation",
        budget_flops=1e8,
        global_batch_size=6,
        steps=STEPS,
        held_out="report",
        data_content=data_content(data, source.fingerprint),
    )
    return dataclasses.replace(spec, **changes)


class Killed(Exception):
    """Stands for a crash right after a step."""


@pytest.mark.slow
def test_resume_is_bit_identical_at_every_step(data, source, tmp_path):
    spec = trial(data, source)
    undisturbed = TrialDirectory(tmp_path / "undisturbed")
    whole = run_trial(spec, undisturbed, source, device=CPU, keeps_weights=True)
    assert {"report_image_mIoU.npy", "report_tallies.npz", "report_stretch.npy"} <= set(whole.kept)
    for cut in range(1, STEPS + 1):
        directory = TrialDirectory(tmp_path / f"cut-{cut}")

        def kill(report, cut=cut):
            if report.step == cut:
                raise Killed

        with pytest.raises(Killed):
            run_trial(spec, directory, source, device=CPU, checkpoint_seconds=0, on_step=kill)
        run_trial(spec, directory, source, device=CPU, checkpoint_seconds=0, keeps_weights=True)
        for name in ("spec.json", "result.json", "metrics.jsonl", "weights.safetensors", *whole.kept):
            assert (directory.path / name).read_bytes() == (undisturbed.path / name).read_bytes(), name


def test_training_is_a_straight_line(data, source):
    """Three plain SGD steps of the trial against a loop in which the loss is torch's and the update is written out."""
    recipe = dataclasses.replace(
        preset("nfnet-short", peak_lr=0.1),
        agc_lambda=None,
        agc_eps=1e-3,
        clip_skip_gain=True,
        momentum=0.0,
        weight_decay=0.0,
        warmup_fraction=0.0,
        ema_fraction=0.0,
    )
    spec = trial(data, source, recipe=recipe, weights="raw")
    parts, twin = (put_together(spec, source, device=CPU) for _ in range(2))
    network = twin.network
    batches = iter(Loader(source, order=training_order(source, 0), global_batch_size=6))
    for batch in parts.loader():
        if parts.state.step == 3:
            break
        report = parts.step(parts.state, batch)
        own = next(batches)
        mask = own.fields["mask"].long()
        logits = network(to_float(own.fields["image"]))
        loss = F.cross_entropy(logits, mask, ignore_index=255)
        network.zero_grad()
        loss.backward()
        with torch.no_grad():
            for parameter in network.parameters():
                parameter -= report.learning_rate * parameter.grad
        assert report.loss == pytest.approx(loss.item(), rel=1e-5)
    for ours, theirs in zip(parts.network.parameters(), network.parameters(), strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-6)


def test_values_of_examples_come_by_stretch_with_the_same_mean(data, source, tmp_path):
    directory = TrialDirectory(tmp_path / "trial")
    result = run_trial(trial(data, source), directory, source, device=CPU)
    for measure in result.measures:
        kept = kept_losses(directory, result, measure.name)
        assert kept is not None
        assert len(kept) == 8, "sixteen pictures, two a stretch"
        assert kept.mean() == pytest.approx(result.loss("report", measure.name), rel=1e-6)
    few = dataclasses.replace(data, stretch=3)
    lesser = open_source(few)
    assert source.no_verdict_because == FewStretches(num=8, needed=100), "they decide nothing between networks"
    directory = TrialDirectory(tmp_path / "few")
    assert kept_losses(directory, run_trial(trial(few, lesser), directory, lesser, device=CPU), "loss") is None


def backbone(architecture: str) -> PretrainedBackbone:
    from levelfield.families.registry import build

    torch.manual_seed(3)
    model = build(architecture, num_outputs=10, resolution=32)
    facts = NetworkFacts(architecture=architecture, resolution=32, num_outputs=10, in_channels=3)
    state = {name: parameter.detach() for name, parameter in model.named_parameters()}
    return PretrainedBackbone(identity="weights:seen", facts=facts, state=state, train_flops=1e6)


@pytest.mark.parametrize("architecture", ["nfnet:w8-d1x1-g4", "vit:w16-d1-p8,pool=map"])
@pytest.mark.parametrize("frozen", [False, True])
def test_a_classifier_is_fine_tuned_to_answer_every_pixel(architecture, frozen, data, source, tmp_path):
    start = backbone(architecture)
    spec = finetune_spec(
        start,
        data,
        source,
        recipe="short-sgd",
        length="6 steps",
        global_batch_size=6,
        override={"frozen": frozen},
        task="segmentation",
    )
    result = finetune(spec, start, source, tmp_path / "tuned", device=CPU)
    assert result.status == "finished"
    kept = backbone_of_trial(tmp_path / "tuned")
    body = [name for name in kept.state if not name.startswith("head.")]
    moved = [name for name in body if not torch.equal(kept.state[name], start.state[name])]
    assert moved == [] if frozen else len(moved) > len(body) / 2
    counted = count(architecture, resolution=32, head=HEAD, frozen=frozen)
    assert result.train_flops == 36 * counted.train_flops_per_example + 1024 * counted.forward_flops
    rows = json.loads((tmp_path / "tuned" / "policy.json").read_text())["tensors"]
    assert {row["name"].split(".")[0] for row in rows} == {"head"} if frozen else len(rows) > 4


def test_a_frozen_backbone_without_a_start_is_refused(data, source):
    with pytest.raises(SpecError, match="starts from random weights"):
        trial(data, source, recipe=preset("nfnet-short", peak_lr=0.1, override={"frozen": True}))


def test_the_fingerprint_of_a_classifier_knows_nothing_of_other_heads(data, source):
    plain = trial(data, source, head=LinearHead(num_outputs=3), task="classification")
    from levelfield.records.codec import to_plain

    assert to_plain(plain)["head"] == {"num_outputs": 3}
    assert "frozen" not in to_plain(plain)["recipe"]


@pytest.mark.slow
def test_the_command_line_fine_tunes_judges_and_draws(data, source, tmp_path):
    run_trial(
        dataclasses.replace(trial(data, source), seed=1), TrialDirectory(tmp_path / "first"), source, device=CPU,
        keeps_weights=True,
    )  # fmt: skip
    columns = ("--split-column", "split", "--sequence-column", "file", "--stretch", 2)
    tuned = ("--task", "segmentation", "--data", data.path, "--resolution", 32, "--batch", 6, "--length", "4 steps")
    done = run("finetune", tmp_path / "first", *tuned, *columns, "--set", "frozen=true", "--dir", tmp_path / "tuned")
    assert done.returncode == 0, done.stderr
    assert "mIoU of all together" in done.stdout
    done = run("evaluate", tmp_path / "tuned", "--out", tmp_path / "scores")
    assert done.returncode == 0, done.stderr
    assert "one of 8 stretches of consecutive pictures" in done.stdout
    page = (tmp_path / "scores" / "evaluation.html").read_text()
    assert page.count("image mIoU") == 1 + 8, "eight pictures, and the row of the measure"
    result = json.loads((tmp_path / "tuned" / "result.json").read_text())
    said = json.loads((tmp_path / "scores" / "evaluation.json").read_text())
    assert said["miou"]["estimate"] == pytest.approx(result["held_out"]["report"]["whole"]["mIoU"], rel=1e-12)
    tallies = np.load(tmp_path / "tuned" / "report_tallies.npz")["tallies"]
    assert tallies.sum(0).tolist() == said["confusion"]
    assert "answers every pixel" in one_complaint(run("classify", tmp_path / "tuned", data.path), 2)
    mixed = run("finetune", tmp_path / "first", "--data", "digits", "--resolution", 32, "--mask-column", "mask")
    assert "is of masks" in one_complaint(mixed, 2)
