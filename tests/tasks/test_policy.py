"""Behaviour cloning: what is learnt is the best action, what is left is the noise, and all of it is counted."""

import dataclasses
import functools

import numpy as np
import pytest
import torch

from levelfield.compute.analytic import count
from levelfield.compute.count import trace
from levelfield.data.loader import Loader
from levelfield.data.order import Order
from levelfield.families.registry import build, parameter_role
from levelfield.records.codec import from_plain, to_plain
from levelfield.records.data import DigitPairsSpec
from levelfield.records.errors import SpecError
from levelfield.records.fields import FieldFacts
from levelfield.records.trial import RecipeSpec, TrialSpec
from levelfield.tasks.base import answers
from levelfield.tasks.policy import ACTION_LOSS, NEXT_ACTION_LOSS, Policy
from levelfield.testing.sources import check_source
from levelfield.testing.tasks import check_task
from levelfield.train.evaluate import evaluate
from levelfield.train.frozen import freeze
from levelfield.train.policy import policy_table
from levelfield.train.state import TrainState
from levelfield.train.step import TrainingStep
from tests.tasks.planted_policy import PlantedPolicy

CPU = torch.device("cpu")
SOURCE = PlantedPolicy(noise=0.2, train=64, held_out=24)
TASK = Policy(width=64)
RECIPE = RecipeSpec(preset="test", optimizer="adamw", peak_lr=4e-3)
RESNET = "timm:resnet10t,channels=8x8x16x16,stem_width=8"
families = pytest.mark.parametrize("architecture", ["nfnet:w8-d1x1", "vit:w16-d2-p4", RESNET])


def spec_of(architecture: str, *, batch: int = 64, steps: int = 1, start: str | None = None, **recipe) -> TrialSpec:
    return TrialSpec(
        architecture=architecture,
        data=DigitPairsSpec(),
        recipe=dataclasses.replace(RECIPE, **recipe),
        head=TASK.head(SOURCE.fields),
        budget_flops=1e9,
        global_batch_size=batch,
        steps=steps,
        weights="raw",
        task="policy",
        start=start,
    )


def state_of(spec: TrialSpec) -> TrainState:
    torch.manual_seed(0)
    model = build(spec.architecture, resolution=8, head=spec.head).train()
    if spec.recipe.frozen:
        freeze(model)
    parameters = {name: each for name, each in model.named_parameters() if each.requires_grad}
    roles = {name: parameter_role(spec.architecture, name) for name in parameters}
    return TrainState(model, spec, policy_table(parameters, roles, spec.recipe))


def trained(spec: TrialSpec, source: PlantedPolicy) -> TrainState:
    state, step = state_of(spec), TrainingStep(spec, TASK, device=CPU)
    order = Order(num_examples=source.split_sizes["train"], seed=0, fingerprint=source.fingerprint)
    for batch in Loader(source, order=order, global_batch_size=spec.global_batch_size):
        step(state, batch)
        if state.step == spec.steps:
            return state
    raise AssertionError("a loader without an end has ended")


def test_the_task_and_the_planted_stream_conform():
    check_task(TASK, SOURCE, recipe=RECIPE)
    check_source(SOURCE)


def test_the_best_action_errs_by_the_noise_and_the_mean_action_by_chance():
    source = PlantedPolicy(noise=0.2, held_out=4000)
    ids = np.arange(4000)
    fields = {name: torch.as_tensor(each) for name, each in source.batch("report", ids).fields.items()}
    best = torch.as_tensor(source.best("report", ids)).flatten(1)
    for name, found in TASK.scores(best, fields).items():
        assert float(found.mean()) == pytest.approx(0.2, abs=0.01), name
    for measure in TASK.measures(source.fields):
        assert measure.floor == 0.2
        blind = TASK.scores(torch.zeros_like(best), fields)[measure.name]
        assert float(blind.mean()) == pytest.approx(measure.chance, abs=0.05)


def test_what_lies_beyond_an_episode_weighs_nothing():
    fields = {name: torch.as_tensor(each) for name, each in SOURCE.batch("report", np.arange(24)).fields.items()}
    outputs, valid = torch.randn(24, 9), torch.ones(24, dtype=torch.bool)
    changed = torch.where(fields["within"][..., None], fields["action"], 1e6)
    other = {**fields, "action": changed}
    assert float(TASK.weight(fields, valid)) == int(fields["within"].sum()) == 24 * 3 - 12
    assert TASK.loss(outputs, other, valid, RECIPE) == TASK.loss(outputs, fields, valid, RECIPE)
    errors = (outputs.view(24, 3, 3) - fields["action"]).square().mean(-1)
    scores = TASK.scores(outputs, other)
    assert scores[ACTION_LOSS][1].item() == pytest.approx(errors[1, :2].mean().item())
    assert torch.allclose(scores[NEXT_ACTION_LOSS], errors[:, 0])


@families
def test_the_head_and_what_is_sensed_are_counted(architecture):
    head = TASK.head(SOURCE.fields)
    counted = count(architecture, resolution=16, head=head)
    model = build(architecture, resolution=16, head=head)
    assert counted.params == sum(each.numel() for each in model.parameters())
    from torch.utils.flop_counter import FlopCounterMode

    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.head.acted(torch.zeros(1, 64), torch.zeros(1, 1))  # pyright: ignore[reportCallIssue, reportAttributeAccessIssue]
    image = trace(architecture, resolution=16, head=head).forward_flops
    assert counted.forward_flops == image + counter.get_total_flops()
    own = {layer.name: 2 * layer.forward_macs for layer in counted.layers if layer.name.startswith("head.")}
    body = count(architecture, resolution=16, num_outputs=1)
    below = body.backward_flops - 2 * 2 * body.layers[-1].forward_macs
    assert counted.backward_flops == below + 2 * sum(own.values()) - own["head.state"]
    frozen = count(architecture, resolution=16, head=head, frozen=True)
    assert frozen.backward_flops == 2 * sum(own.values()) - own["head.state"] - own["head.seen"]


@families
def test_image_and_senses_both_reach_the_actions_and_the_gradient(architecture):
    state = state_of(spec_of(architecture))
    model = state.model
    with torch.no_grad():
        model.head.actions.weight.normal_()  # pyright: ignore[reportCallIssue, reportAttributeAccessIssue]
    fields = {name: torch.as_tensor(each) for name, each in SOURCE.batch("report", np.arange(8)).fields.items()}
    plain = answers(TASK, model.eval(), fields)
    for name in ("image", "state"):
        moved = {**fields, name: fields[name].roll(1, 0)}
        assert not torch.allclose(answers(TASK, model, moved), plain)
    loss = TASK.loss(plain, fields, torch.ones(8, dtype=torch.bool), RECIPE)
    gradients = torch.autograd.grad(loss, list(state.parameters.values()), allow_unused=True)
    assert all(each is not None for each in gradients)


def test_a_frozen_encoder_stays_as_it_was_and_the_head_learns():
    spec = spec_of("vit:w16-d2-p4", batch=16, steps=3, start="weights:0", frozen=True)
    before = {name: each.clone() for name, each in state_of(spec).model.state_dict().items()}
    after = trained(spec, SOURCE).model.state_dict()
    moved = {name for name, each in after.items() if not torch.equal(each, before[name])}
    assert moved
    assert all(name.startswith("head.") for name in moved)


def test_adaptive_clipping_reaches_the_encoder_alone():
    recipe = dataclasses.replace(RECIPE, agc_lambda=0.01, weight_decay=1e-4)
    parameters = dict(build("nfnet:w8-d1x1", resolution=8, head=TASK.head(SOURCE.fields)).named_parameters())
    roles = {name: parameter_role("nfnet:w8-d1x1", name) for name in parameters}
    for row in policy_table(parameters, roles, recipe):
        assert row.clipped == (not row.name.startswith("head.")), row.name
        if row.name.startswith("head."):
            assert row.decayed == row.name.endswith("weight")


def test_a_head_is_read_back_as_what_it_is():
    spec = spec_of("vit:w16-d2-p4")
    assert from_plain(TrialSpec, to_plain(spec)) == spec


def test_what_cannot_be_meant_is_refused():
    with pytest.raises(SpecError, match="sensed and acted"):
        TASK.head(FieldFacts())
    fields = {name: torch.as_tensor(each) for name, each in SOURCE.batch("report", np.arange(4)).fields.items()}
    smoothed = dataclasses.replace(RECIPE, label_smoothing=0.1)
    with pytest.raises(SpecError, match="set it 0"):
        TASK.loss(torch.zeros(4, 9), fields, torch.ones(4, dtype=torch.bool), smoothed)


@functools.cache
def learnt(architecture: str, noise: float) -> float:
    source = PlantedPolicy(noise=noise, train=2**15, held_out=2000)
    state = trained(spec_of(architecture, batch=128, steps=400), source)
    return float(evaluate(state.model, TASK, source, "report", device=CPU, dtype="float32").each[ACTION_LOSS].mean())


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.0, 0.3])
@pytest.mark.parametrize("architecture", ["nfnet:w8-d1x1", "vit:w32-d1-p4"])
def test_a_planted_policy_is_learnt_down_to_its_noise(architecture, noise):
    assert learnt(architecture, noise) == pytest.approx(noise, abs=0.02)
