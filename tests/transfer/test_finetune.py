"""Fine-tuning as a trial: exact resume, compute charged truthfully, weights that are named by what made them."""

import dataclasses
import shutil

import numpy as np
import pytest
import torch

from levelfield.compute.analytic import count
from levelfield.data.arranged import training_order
from levelfield.data.audit import expected_audit
from levelfield.data.sources import open_source
from levelfield.inference.labelled import judged_resolution, score_trial
from levelfield.records.data import DigitsSpec
from levelfield.records.errors import InputError, SpecError, StoreError
from levelfield.records.sealed import write_record
from levelfield.records.store import StudyDirectory, TrialDirectory
from levelfield.study.execute.backbones import backbone_at, backbone_in, model_at
from levelfield.study.execute.finetune import finetune, finetune_spec
from levelfield.study.execute.trial import run_trial
from levelfield.transfer.backbone import backbone_of_trial
from levelfield.transfer.recipes import RECIPES, steps_of, transfer_preset, transfer_recipe
from levelfield.weights.kept import KeptFacts, keep_weights, weights_of_trial
from levelfield.weights.read import load_model
from levelfield.weights.write import save_safetensors
from tests.narrowed import present
from tests.transfer.conftest import CPU, PRETRAINING, pretraining

DATA = DigitsSpec(resolution=16, select_examples=100, report_examples=200)
STEPS = 6
OVERRIDE = {
    "sam_rho": 0.05,
    "sam_fraction": 0.25,
    "dropout": 0.2,
    "stochastic_depth": 0.3,
    "multiplicity": 2,
    "layer_decay": 0.8,
    "ema_fraction": 0.5,
}


@pytest.fixture(scope="module")
def source():
    return open_source(DATA)


def spec_for(backbone, source, **changes):
    spec = finetune_spec(
        backbone,
        DATA,
        source,
        recipe="short-sam",
        length=f"{STEPS} steps",
        global_batch_size=8,
        override=OVERRIDE,
        test_resolution=20,
    )
    return dataclasses.replace(spec, **changes)


class Killed(Exception):
    """Stands for a crash right after a step."""


def files_of(path) -> dict[str, bytes]:
    kept = ("spec.json", "result.json", "metrics.jsonl", "policy.json", "report_loss.npy", "report_error.npy")
    return {name: (path / name).read_bytes() for name in (*kept, "weights.safetensors")}


@pytest.mark.slow
def test_fine_tuning_resumes_bit_identical_at_every_step(pretrained, source, tmp_path):
    backbone = backbone_of_trial(pretrained)
    spec = spec_for(backbone, source)
    finetune(spec, backbone, source, tmp_path / "undisturbed", device=CPU)
    for cut in range(1, STEPS + 1):
        path = tmp_path / f"cut-{cut}"

        def kill(report, cut=cut):
            if report.step == cut:
                raise Killed

        with pytest.raises(Killed):
            finetune(spec, backbone, source, path, device=CPU, checkpoint_seconds=0, on_step=kill)
        finetune(spec, backbone, source, path, device=CPU, checkpoint_seconds=0)
        assert files_of(path) == files_of(tmp_path / "undisturbed")
        assert present(TrialDirectory(path).timing()).attempts == 2


def test_a_fine_tuning_charges_its_ascent_its_test_resolution_and_what_came_before(pretrained, source, tmp_path):
    backbone = backbone_of_trial(pretrained)
    spec = spec_for(backbone, source)
    result = finetune(spec, backbone, source, tmp_path / "run", device=CPU)
    architecture = backbone.facts.architecture
    train = count(architecture, resolution=16, num_outputs=10, in_channels=1)
    test = count(architecture, resolution=20, num_outputs=10, in_channels=1)
    assert result.train_flops == STEPS * (8 + 2) * train.train_flops_per_example == spec.budget_flops
    assert result.evaluate_flops == 200 * test.forward_flops
    assert result.start_flops == present(TrialDirectory(pretrained).result()).train_flops
    assert result.epochs == STEPS * 8 / 2 / source.split_sizes["train"]
    seen = expected_audit(training_order(source, spec.seed, multiplicity=2), 0, spec.examples)
    assert result.seen_digest == seen.digest
    wrong = np.load(tmp_path / "run" / "report_error.npy")
    assert wrong.shape == (200,)
    assert wrong.mean() == pytest.approx(result.held_out["report"].values["error"])


def test_a_trial_evaluates_to_its_own_record_at_the_side_that_it_was_judged_at(pretrained, source, tmp_path):
    """A ViT's positions would have to be resampled again: it is refused, never judged at another side."""
    backbone = backbone_of_trial(pretrained)
    spec = spec_for(backbone, source)
    record = finetune(spec, backbone, source, tmp_path / "run", device=CPU).held_out["report"].values
    side = judged_resolution(tmp_path / "run")
    if spec.family == "vit":
        with pytest.raises(SpecError, match="positions are for 16 px, not for 20"):
            model_at(tmp_path / "run", device=CPU, resolution=side)
        return
    loaded = model_at(tmp_path / "run", device=CPU, resolution=side)
    found, _, _ = score_trial(tmp_path / "run", loaded, device=CPU)
    assert found.loss.estimate == pytest.approx(record["loss"], rel=1e-5)
    assert found.top1.estimate == pytest.approx(1 - record["error"])


def test_the_first_loss_is_that_of_a_guess_since_the_head_is_zero(pretrained, source, tmp_path):
    backbone = backbone_of_trial(pretrained)
    spec = spec_for(backbone, source, recipe=transfer_preset("short-sgd", peak_lr=0.1))
    first = []
    finetune(spec, backbone, source, tmp_path / "run", device=CPU, on_step=lambda report: first.append(report.loss))
    assert first[0] == pytest.approx(np.log(10), rel=1e-6)


def test_what_a_trial_starts_from_is_its_identity(pretrained, source):
    backbone = backbone_of_trial(pretrained)
    spec = spec_for(backbone, source)
    other = dataclasses.replace(spec, start="trial:" + "0" * 32)
    assert len({spec.fingerprint, other.fingerprint, dataclasses.replace(spec, start=None).fingerprint}) == 3
    assert backbone.identity.removeprefix("trial:")[:8] in spec.name


def test_a_trial_given_other_weights_than_it_names_is_refused(pretrained, source, tmp_path):
    backbone = backbone_of_trial(pretrained)
    other = dataclasses.replace(spec_for(backbone, source), start="weights:1234")
    with pytest.raises(SpecError, match="starts from weights:1234, but was given trial:"):
        run_trial(other, TrialDirectory(tmp_path / "run"), source, device=CPU, backbone=backbone)
    with pytest.raises(SpecError, match="was given no weights"):
        run_trial(other, TrialDirectory(tmp_path / "run"), source, device=CPU)


def test_a_test_resolution_needs_the_data_at_it(pretrained, source, tmp_path):
    backbone = backbone_of_trial(pretrained)
    with pytest.raises(SpecError, match="judged at 20 px, not at 16"):
        run_trial(spec_for(backbone, source), TrialDirectory(tmp_path), source, device=CPU, backbone=backbone)


def test_weights_that_were_not_kept_are_trained_again_and_come_out_equal(pretrained, tmp_path):
    family = backbone_of_trial(pretrained).facts.architecture.partition(":")[0]
    spec = pretraining(family)
    study = StudyDirectory(tmp_path / "study")
    directory = study.trial(spec)
    run_trial(spec, directory, open_source(PRETRAINING), device=CPU)
    before = {path.name: path.read_bytes() for path in directory.path.iterdir() if path.is_file()}
    found = backbone_in(study, f"trial:{spec.fingerprint}", device=CPU)
    kept = backbone_of_trial(pretrained)
    assert found.facts == kept.facts
    assert all(torch.equal(tensor, kept.state[name]) for name, tensor in found.state.items())
    after = {path.name: path.read_bytes() for path in directory.path.iterdir() if path.is_file()}
    assert {name: content for name, content in after.items() if name in before} == before
    assert set(after) - set(before) <= {"weights.safetensors", "lock"}


@pytest.mark.slow
def test_a_fine_tuned_trial_that_kept_no_weights_is_tuned_again_from_its_own_start(pretrained, source, tmp_path):
    shutil.copytree(pretrained.parents[1], tmp_path / "study")
    backbone = backbone_of_trial(pretrained)
    spec = spec_for(backbone, source)
    judging = open_source(spec.held_out_data)
    plain = StudyDirectory(tmp_path / "study").trial(spec)
    run_trial(spec, plain, source, device=CPU, backbone=backbone, test_source=judging)
    keeping = TrialDirectory(tmp_path / "keeping")
    run_trial(spec, keeping, source, device=CPU, backbone=backbone, test_source=judging, keeps_weights=True)
    found, wanted = model_at(plain.path, device=CPU), load_model(keeping.path)
    assert found.digest() == wanted.digest()
    alone = TrialDirectory(tmp_path / "alone" / "trials" / "x")
    run_trial(spec, alone, source, device=CPU, backbone=backbone, test_source=judging)
    with pytest.raises(InputError, match=r"holds nothing to start from that is trial:"):
        model_at(alone.path, device=CPU)


def test_weights_whose_trial_comes_out_otherwise_are_lost(pretrained, tmp_path):
    family = backbone_of_trial(pretrained).facts.architecture.partition(":")[0]
    directory = StudyDirectory(tmp_path).trial(pretraining(family))
    run_trial(pretraining(family), directory, open_source(PRETRAINING), device=CPU)
    result = directory.result()
    assert result is not None
    write_record(directory.path / "result.json", dataclasses.replace(result, train_loss=1.0))
    with pytest.raises(StoreError, match="another result than its record"):
        backbone_at(directory.path, device=CPU)


@pytest.mark.parametrize(
    ("state", "message"),
    [("empty", "is no"), ("unfinished", "is not finished"), ("damaged", "cannot be read as the weights of a trial")],
)
def test_what_is_no_backbone_is_refused_with_the_reason(state, message, pretrained, tmp_path):
    path = tmp_path / "trial"
    if state == "unfinished":
        TrialDirectory(path).open(pretraining("vit"))
    if state == "damaged":
        path.mkdir()
        for file in ("spec.json", "result.json", "timing.json", "weights.safetensors"):
            (path / file).write_bytes((pretrained / file).read_bytes()[: None if file.endswith("json") else 40])
    with pytest.raises((InputError, StoreError), match=message):
        backbone_at(path, device=CPU)


@pytest.mark.parametrize("keeps", ["weights", "nothing", "a file of ours"])
def test_a_network_that_contradicts_the_records_is_refused_before_anything_is_trained(keeps, pretrained, tmp_path):
    place, own = tmp_path / pretrained.name, weights_of_trial(pretrained).spec.architecture
    shutil.copytree(pretrained, place)
    if keeps == "a file of ours":
        place = tmp_path / "model.safetensors"
        save_safetensors(load_model(pretrained), place)
    if keeps == "nothing":
        (place / "weights.safetensors").unlink()
    for other in ("vit:w16-d1-p8", "nfnet:w16-d1-s4", "vit_base_patch16_224"):
        for read in (backbone_at, model_at):
            with pytest.raises(SpecError, match=f"holds {own}, --arch says {other}: leave --arch out"):
                read(place, device=CPU, arch=other)
    assert keeps != "nothing" or not (place / "weights.safetensors").exists()
    assert keeps == "nothing" or model_at(place, device=CPU, arch=own).card.architecture == own


def test_equal_weights_have_equal_bytes_and_say_what_they_are(pretrained, tmp_path):
    from levelfield.families import registry

    kept = weights_of_trial(pretrained)
    facts, state = kept.facts, kept.state
    assert (facts.num_outputs, facts.in_channels, facts.resolution) == (100, 1, 16)
    model = registry.build(facts.architecture, num_outputs=100, resolution=16, in_channels=1)
    model.load_state_dict(state)
    names = {"trial": kept.spec.fingerprint, "data": kept.result.data_fingerprint}
    keep_weights(TrialDirectory(tmp_path), model, KeptFacts(network=facts, **names))
    assert (tmp_path / "weights.safetensors").read_bytes() == (pretrained / "weights.safetensors").read_bytes()


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_every_published_recipe_says_its_source_and_can_be_meant(recipe):
    made = transfer_preset(recipe.name, peak_lr=recipe.peak_lr)
    assert recipe.source
    assert made.optimizer == "sgd"
    assert steps_of(recipe.length, made, num_train=1_281_167, global_batch_size=recipe.global_batch_size) >= 500


def test_the_published_numbers_are_those_of_the_sources():
    jft, big = (transfer_preset(name, peak_lr=0.1) for name in ("nfnet-jft", "big-vision"))
    assert (jft.sam_rho, jft.weight_decay, jft.dropout, jft.stochastic_depth) == (0.05, 1e-5, 0.25, 0.1)
    assert round(jft.warmup_fraction * 15_000) == 5_000
    assert 1 - 1 / (jft.ema_fraction * 15_000) == pytest.approx(0.9999)
    assert (big.nesterov, big.momentum, big.global_clip_norm, big.weight_decay) == (False, 0.9, 1.0, 0.0)
    assert round(big.warmup_fraction * 20_000) == 500
    paper = transfer_recipe("paper-50-epochs")
    assert (paper.length, paper.resolution, paper.test_resolution) == ("50 epochs", 384, 480)
    assert any("rho" in unsaid for unsaid in paper.unsaid)


def test_repeated_augmentation_costs_what_plain_augmentation_costs():
    costs = {
        name: steps_of(
            transfer_recipe(name).length, transfer_preset(name, peak_lr=0.1), num_train=1000, global_batch_size=50
        )
        for name in ("paper-50-epochs", "paper-50-epochs-repeated")
    }
    assert costs == {"paper-50-epochs": 1000, "paper-50-epochs-repeated": 1000}


@pytest.mark.parametrize("length", ["50", "-1 epochs", "0.001 epochs", "2.5 steps"])
def test_a_length_that_cannot_be_meant_is_refused(length):
    with pytest.raises(SpecError, match=r"length|less than one step"):
        steps_of(length, transfer_preset("short-sgd", peak_lr=0.1), num_train=100, global_batch_size=8)
