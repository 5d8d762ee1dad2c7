"""Layer-wise decay of the learning rate, and momentum that does not look ahead."""

import pytest
import torch

from levelfield.families import registry
from levelfield.records.data import DigitPairsSpec
from levelfield.records.head import LinearHead
from levelfield.records.trial import TrialSpec
from levelfield.study.plan.recipes import preset
from levelfield.train.optimizers import set_learning_rate
from levelfield.train.policy import policy_table
from levelfield.train.state import TrainState

# By BEiT's rule: the head and what stands right before it take the whole rate, each block below 0.5 times the next.
EXPECTED = {
    "vit:w8-d2-p8,pool=token": {
        "head.weight": 1.0,
        "norm.weight": 1.0,
        "blocks.1.fc2.bias": 0.5,
        "blocks.0.qkv.weight": 0.25,
        "patch_embed.weight": 0.125,
        "position": 0.125,
        "class_token": 0.125,
    },
    "nfnet:w8-d1x2-s4": {
        "head.bias": 1.0,
        "final_conv.weight": 1.0,
        "stages.1.1.conv2.gain": 0.5,
        "stages.1.0.shortcut.weight": 0.25,
        "stages.0.0.skip_gain": 0.125,
        "stem.conv2.weight": 0.0625,
    },
}


def state_of(architecture: str, **override) -> TrainState:
    spec = TrialSpec(
        architecture=architecture,
        data=DigitPairsSpec(),
        recipe=preset("vit-sgd-agc", peak_lr=0.1, override={"weight_decay": 0.5, "agc_lambda": None, **override}),
        head=LinearHead(num_outputs=3),
        budget_flops=1e8,
        global_batch_size=4,
        steps=4,
    )
    model = registry.build(architecture, num_outputs=3, resolution=16).double()
    names = [name for name, _ in model.named_parameters()]
    family = registry.parse(architecture)
    roles = {name: registry.parameter_role(family, name) for name in names}
    depths = {name: registry.parameter_depth(family, name) for name in names}
    return TrainState(model, spec, policy_table(dict(model.named_parameters()), roles, spec.recipe, depths=depths))


@pytest.mark.parametrize("architecture", EXPECTED)
def test_every_block_below_the_head_halves_the_rate(architecture):
    scales = {row.name: row.lr_scale for row in state_of(architecture, layer_decay=0.5).policy}
    assert {name: scales[name] for name in EXPECTED[architecture]} == EXPECTED[architecture]


@pytest.mark.parametrize("architecture", EXPECTED)
def test_each_tensor_moves_by_its_own_rate(architecture):
    state = state_of(architecture, layer_decay=0.5, momentum=0.0, weight_decay=0.0)
    before = {name: weight.detach().clone() for name, weight in state.parameters.items()}
    for weight in state.parameters.values():
        weight.grad = torch.ones_like(weight)
    set_learning_rate(state.optimizer, 0.3)
    state.optimizer.step()
    for row in state.policy:
        moved = before[row.name] - state.parameters[row.name].detach()
        torch.testing.assert_close(moved, torch.full_like(moved, 0.3 * row.lr_scale))


def test_without_layer_decay_every_rate_is_whole_and_nothing_is_said_of_it():
    from levelfield.records.codec import to_plain

    policy = state_of("vit:w8-d2-p8").policy
    assert {row.lr_scale for row in policy} == {1.0}
    assert not any("lr_scale" in row for row in to_plain(policy))


def test_layer_decay_without_depths_is_refused():
    recipe = preset("vit-short", peak_lr=0.1, override={"layer_decay": 0.5})
    with pytest.raises(ValueError, match="depth"):
        policy_table({"head.weight": torch.zeros(2, 2)}, {"head.weight": "classifier_kernel"}, recipe)


@pytest.mark.parametrize("nesterov", [True, False])
def test_plain_momentum_does_not_look_ahead(nesterov):
    state = state_of("vit:w8-d1-p8", nesterov=nesterov, weight_decay=0.0)
    start = state.parameters["head.bias"].detach().clone()
    for _ in range(2):
        for weight in state.parameters.values():
            weight.grad = torch.ones_like(weight)
        set_learning_rate(state.optimizer, 1.0)
        state.optimizer.step()
    ahead = (1 + 0.9) + (1 + 0.9 * 1.9)
    behind = 1 + 1.9
    moved = start - state.parameters["head.bias"].detach()
    torch.testing.assert_close(moved, torch.full_like(moved, ahead if nesterov else behind))
