"""A fine-tune that begins with a fitted head: where it starts, what it is charged, and that cuts change nothing."""

import dataclasses

import numpy as np
import pytest
import torch

from levelfield.compute.analytic import count
from levelfield.compute.head_fit import HEAD_EXAMPLES, HEAD_ITERATIONS, head_examples, head_fit_flops
from levelfield.data.sources import open_source
from levelfield.records.data import DigitsSpec
from levelfield.records.errors import SpecError
from levelfield.records.store import TrialDirectory
from levelfield.study.execute.finetune import finetune, finetune_spec
from levelfield.transfer.backbone import backbone_of_trial
from levelfield.transfer.probes import HEAD_INVERSE_PENALTY, head_of_features
from levelfield.transfer.recipes import RECIPES, default_recipe
from tests.transfer.conftest import CPU

DATA = DigitsSpec(resolution=16, select_examples=100, report_examples=200)


@pytest.fixture(scope="module")
def source():
    return open_source(DATA)


def spec_for(backbone, source, *, length="4 steps", recipe="short-probed", **changes):
    made = finetune_spec(backbone, DATA, source, recipe=recipe, length=length, global_batch_size=32, peak_lr=1e-3)
    return dataclasses.replace(made, **changes)


def features(num_classes: int, seed: int = 0):
    draw = np.random.default_rng(seed)
    y = draw.integers(0, num_classes, 300)
    return draw.normal(size=(300, 6)) * [1, 10, 0.1, 1, 1, 1] + np.c_[y, y % 2, y, -y, y**2, 0 * y] + 5, y


@pytest.mark.parametrize("num_classes", [2, 3, 5])
def test_a_fitted_head_says_of_raw_features_what_the_regression_says_of_standardised_ones(num_classes):
    from sklearn.linear_model import LogisticRegression

    x, y = features(num_classes)
    kernel, bias = head_of_features(x, y, num_outputs=num_classes, iterations=500)
    scaled = (x - x.mean(0)) / (x.std(0) + 1e-5)
    known = LogisticRegression(C=HEAD_INVERSE_PENALTY, max_iter=500).fit(scaled, y).predict_log_proba(scaled)
    logits = torch.from_numpy(x @ kernel.T + bias)
    torch.testing.assert_close(logits.log_softmax(1), torch.from_numpy(known), atol=1e-6, rtol=1e-6)


def test_a_class_without_an_image_is_no_likelier_than_any_other_and_one_class_alone_fits_nothing():
    x, y = features(3)
    seen = y != 1
    kernel, bias = head_of_features(x[seen], y[seen], num_outputs=4, iterations=500)
    assert not kernel[[1, 3]].any()
    said = (x[seen] @ kernel.T + bias).argmax(1)
    assert set(said.tolist()) <= {0, 2}
    kernel, bias = head_of_features(x, np.zeros_like(y), num_outputs=4, iterations=500)
    assert not kernel.any()
    assert not bias.any()


def test_the_first_step_is_taken_from_a_head_that_answers_already(pretrained, source, tmp_path):
    backbone = backbone_of_trial(pretrained)
    first = {}
    for recipe in ("short-sgd", "short-probed"):
        losses = []
        finetune(
            spec_for(backbone, source, recipe=recipe, length="1 steps"),
            backbone,
            source,
            tmp_path / recipe,
            device=CPU,
            on_step=lambda report, losses=losses: losses.append(report.loss),
        )
        first[recipe] = losses[0]
    assert first["short-sgd"] == pytest.approx(np.log(10), rel=1e-6)
    assert first["short-probed"] < 0.95 * first["short-sgd"]
    fitted, zero = (TrialDirectory(tmp_path / recipe).result() for recipe in ("short-probed", "short-sgd"))
    assert fitted is not None
    assert zero is not None
    errors = [each.held_out["report"].values["error"] for each in (fitted, zero)]
    assert errors[0] < errors[1] - 0.1, "after one step of next to nothing: the judged average begins there, too"


def test_what_fitting_the_head_takes_is_charged_once_and_is_in_the_budget(pretrained, source, tmp_path):
    backbone = backbone_of_trial(pretrained)
    spec = spec_for(backbone, source)
    result = finetune(spec, backbone, source, tmp_path / "run", device=CPU)
    counted = count(backbone.facts.architecture, resolution=16, num_outputs=10, in_channels=1)
    num = source.split_sizes["train"]
    head = next(layer for layer in counted.layers if layer.name == "head")
    once = 2 * num * (counted.forward_flops + HEAD_ITERATIONS * 4 * head.forward_macs)
    assert head_fit_flops(counted, num) == once
    assert result.train_flops == 4 * 32 * counted.train_flops_per_example + once == spec.budget_flops
    assert head_examples(10**9) == HEAD_EXAMPLES


@pytest.mark.slow
def test_a_run_from_a_fitted_head_that_is_cut_at_any_step_ends_with_the_same_bits(pretrained, source, tmp_path):
    backbone = backbone_of_trial(pretrained)
    spec = spec_for(backbone, source)
    whole = finetune(spec, backbone, source, tmp_path / "whole", device=CPU)

    class Killed(Exception):
        """Stands for a crash right after a step."""

    for cut in (1, 3):

        def kill(report, cut=cut):
            if report.step == cut:
                raise Killed

        with pytest.raises(Killed):
            finetune(spec, backbone, source, tmp_path / f"{cut}", device=CPU, checkpoint_seconds=0, on_step=kill)
        again = finetune(spec, backbone, source, tmp_path / f"{cut}", device=CPU, checkpoint_seconds=0)
        assert again.weights_digest == whole.weights_digest


def test_a_head_is_fitted_to_nothing_but_the_features_of_a_trained_backbone(pretrained, source):
    spec = spec_for(backbone_of_trial(pretrained), source)
    with pytest.raises(SpecError, match=r"head_fit fits a classifier .* this one starts from random weights"):
        dataclasses.replace(spec, start=None)
    with pytest.raises(SpecError, match="the task is 'segmentation'"):
        dataclasses.replace(spec, task="segmentation")


def test_the_recipe_where_nothing_is_said_fits_a_head_where_the_task_has_classes():
    known = {recipe.name: recipe for recipe in RECIPES}
    assert known[default_recipe("classification")].fields["head_fit"]
    assert "head_fit" not in known[default_recipe("segmentation")].fields
