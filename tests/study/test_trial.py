"""One trial: bit-identical resume at every step, divergence as a result, the policy in the record."""

import dataclasses
import json
import math

import pytest
import torch

from levelfield.data.arranged import training_order
from levelfield.data.audit import expected_audit
from levelfield.data.sources import open_source
from levelfield.records.data import DigitPairsSpec
from levelfield.records.errors import StoreError
from levelfield.records.head import LinearHead
from levelfield.records.store import TrialDirectory
from levelfield.records.trial import TrialSpec
from levelfield.study.execute.parts import build_state
from levelfield.study.execute.trial import run_trial
from levelfield.study.plan.recipes import preset
from tests.narrowed import present

CPU = torch.device("cpu")
DATA = DigitPairsSpec(resolution=16, select_examples=64, report_examples=64)
STEPS = 7


def trial(family: str, **changes) -> TrialSpec:
    architecture, recipe, peak = {
        "nfnet": ("nfnet:w8-d1x1-g4", "nfnet-short", 0.2),
        "vit": ("vit:w16-d1-p4", "vit-short", 0.01),
        "batch-norm": ("timm:resnet10t,channels=8x8x8x8,stem_width=8", "vit-sgd-agc", 0.1),
    }[family]
    noise = {"warmup_fraction": 0.4, "ema_fraction": 0.3, "dropout": 0.1, "stochastic_depth": 0.2}
    if family == "batch-norm":
        noise |= {"ghost_batch_size": 4, "sam_rho": 0.05, "sam_fraction": 0.5}
    spec = TrialSpec(
        architecture=architecture,
        data=DATA,
        recipe=preset(recipe, peak_lr=peak, override=noise),
        head=LinearHead(num_outputs=100),
        budget_flops=1e8,
        global_batch_size=8,
        steps=STEPS,
        held_out="report",
    )
    return dataclasses.replace(spec, **changes)


@pytest.fixture(scope="module")
def source():
    return open_source(DATA)


class Killed(Exception):
    """Stands for a crash right after a step."""


def files_of(directory: TrialDirectory) -> dict[str, bytes]:
    names = ("spec.json", "result.json", "metrics.jsonl", "policy.json", "report_loss.npy")
    return {name: (directory.path / name).read_bytes() for name in names}


@pytest.mark.parametrize("family", ["nfnet", "vit", pytest.param("batch-norm", marks=pytest.mark.slow)])
def test_resume_is_bit_identical_at_every_step(family, source, tmp_path):
    spec = trial(family)
    undisturbed = TrialDirectory(tmp_path / "undisturbed")
    run_trial(spec, undisturbed, source, device=CPU, keeps_weights=True)
    for cut in range(1, STEPS + 1):
        directory = TrialDirectory(tmp_path / f"cut-{cut}")

        def kill(report, cut=cut):
            if report.step == cut:
                raise Killed

        with pytest.raises(Killed):
            run_trial(spec, directory, source, device=CPU, checkpoint_seconds=0, on_step=kill)
        run_trial(spec, directory, source, device=CPU, checkpoint_seconds=0, keeps_weights=True)
        assert files_of(directory) == files_of(undisturbed)
        assert directory.weights_path.read_bytes() == undisturbed.weights_path.read_bytes()
        assert present(directory.timing()).attempts == 2
        assert not (directory.path / "attempts").exists()


def test_work_lost_since_the_last_checkpoint_is_counted(source, tmp_path):
    directory = TrialDirectory(tmp_path / "trial")

    def kill(report):
        if report.step == 5:
            raise Killed

    with pytest.raises(Killed):
        run_trial(trial("vit"), directory, source, device=CPU, checkpoint_seconds=1e9, on_step=kill)
    run_trial(trial("vit"), directory, source, device=CPU)
    assert present(directory.timing()).lost_steps == 5


def test_a_run_proves_which_examples_it_saw(source, tmp_path):
    spec = trial("vit")
    result = run_trial(spec, TrialDirectory(tmp_path / "trial"), source, device=CPU)
    assert result.seen_digest == expected_audit(training_order(source, spec.seed), 0, spec.examples).digest


def test_the_flops_charged_are_the_flops_counted(source, tmp_path):
    from levelfield.compute.analytic import count

    spec = trial("nfnet")
    result = run_trial(spec, TrialDirectory(tmp_path / "trial"), source, device=CPU)
    counted = count(spec.architecture, resolution=16, num_outputs=100, in_channels=1)
    assert result.train_flops == spec.examples * counted.train_flops_per_example
    assert result.evaluate_flops == 64 * counted.forward_flops


def test_a_diverged_trial_is_a_result_with_no_loss_and_whole_weights(source, tmp_path):
    recipe = preset("vit-short", peak_lr=1e30, override={"global_clip_norm": None, "warmup_fraction": 0.0})
    directory = TrialDirectory(tmp_path / "trial")
    result = run_trial(trial("vit", recipe=recipe, steps=50), directory, source, device=CPU)
    assert result.status == "diverged"
    assert result.held_out == {}
    assert 0 < result.steps < 50
    assert "nan" in result.reason or "inf" in result.reason
    assert all(math.isfinite(json.loads(line)["loss"]) for line in directory.metrics_path.read_text().splitlines())


@pytest.mark.parametrize("family", ["nfnet", "vit"])
def test_the_policy_of_every_tensor_is_in_the_record(family, source, tmp_path):
    directory = TrialDirectory(tmp_path / "trial")
    run_trial(trial(family), directory, source, device=CPU)
    rows = {row["name"]: row for row in json.loads((directory.path / "policy.json").read_text())["tensors"]}
    state = build_state(trial(family), source, device=CPU)
    assert set(rows) == set(state.parameters)
    decayed = {row["role"] for row in rows.values() if row["decayed"]}
    clipped = {row["role"] for row in rows.values() if row["clipped"]}
    assert decayed == {"kernel", "classifier_kernel"}
    assert clipped == ({"kernel", "gain", "bias", "classifier_bias"} if family == "nfnet" else set())


def test_the_faithful_preset_clips_the_skip_gain_and_never_the_classifiers_kernel(source):
    spec = trial("nfnet", recipe=preset("nfnet-faithful", peak_lr=0.1))
    policy = build_state(spec, source, device=CPU).policy
    unclipped = {row.role for row in policy if not row.clipped}
    assert unclipped == {"classifier_kernel"}


def test_every_parameter_is_in_the_optimiser_once(source):
    for family in ("nfnet", "vit"):
        state = build_state(trial(family), source, device=CPU)
        held = [id(p) for group in state.optimizer.param_groups for p in group["params"]]
        assert sorted(held) == sorted(id(p) for p in state.parameters.values())


def test_a_directory_that_holds_another_trial_is_refused(source, tmp_path):
    directory = TrialDirectory(tmp_path / "trial")
    directory.open(trial("vit"))
    with pytest.raises(StoreError, match=r"holds another trial .*: seed was 0, is 1"):
        run_trial(trial("vit", seed=1), directory, source, device=CPU)


def test_bfloat16_trains_to_a_finite_loss_near_float32(source, tmp_path):
    losses = [
        run_trial(trial("vit", dtype=dtype), TrialDirectory(tmp_path / dtype), source, device=CPU).loss("report")
        for dtype in ("float32", "bfloat16")
    ]
    assert losses[0] == pytest.approx(losses[1], rel=0.02)
