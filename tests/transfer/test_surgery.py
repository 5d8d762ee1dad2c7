"""New heads and new resolutions: what moves over, what becomes zero, what is resampled, what is refused."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy.ndimage import zoom
from torch import nn

from levelfield.families import registry
from levelfield.families.base import Backbone
from levelfield.records.errors import SpecError
from levelfield.records.head import LinearHead
from levelfield.transfer.backbone import PretrainedBackbone
from levelfield.transfer.surgery import assembled, graft, resampled_positions
from levelfield.weights.kept import NetworkFacts
from tests.narrowed import of_kind

ARCHITECTURES = ["nfnet:w8-d1x2-s4", "vit:w16-d2-p4", "vit:w16-d1-p4,pool=token", "vit:w16-d1-p4,pool=map,pos=sincos2d"]


def backbone_of(architecture: str, *, resolution: int = 16, classes: int = 7, channels: int = 3) -> PretrainedBackbone:
    torch.manual_seed(5)
    model = registry.build(architecture, num_outputs=classes, resolution=resolution, in_channels=channels)
    with torch.no_grad():
        state = {name: parameter + torch.randn_like(parameter) for name, parameter in model.named_parameters()}
    facts = NetworkFacts(architecture=architecture, resolution=resolution, num_outputs=classes, in_channels=channels)
    return PretrainedBackbone(identity="weights:test", facts=facts, state=state)


def grafted(architecture: str, backbone: PretrainedBackbone, *, resolution: int, classes: int = 4):
    torch.manual_seed(6)
    model = registry.build(architecture, num_outputs=classes, resolution=resolution)
    graft(model, registry.parse(architecture), backbone)
    return model.eval()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_grafted_network_has_the_features_of_its_backbone_and_a_head_of_zeros(architecture):
    backbone = backbone_of(architecture)
    model = grafted(architecture, backbone, resolution=16)
    old = registry.build(architecture, num_outputs=7, resolution=16).eval()
    old.load_state_dict(dict(backbone.state))
    images = torch.randn(3, 3, 16, 16)
    assert isinstance(model, Backbone)
    assert isinstance(old, Backbone)
    with torch.no_grad():
        assert torch.equal(model.features(images), old.features(images))
        assert torch.equal(model(images), torch.zeros(3, 4))


def test_positions_are_resampled_as_big_vision_resamples_them():
    positions = torch.randn(16, 6, dtype=torch.float64)
    for side in (2, 4, 5, 7, 12):
        grid = positions.numpy().reshape(4, 4, 6)
        expected = np.asarray(zoom(grid, (side / 4, side / 4, 1), order=1)).reshape(side * side, 6)
        found = resampled_positions(positions, side * side).numpy()
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_positions_that_are_no_square_are_refused():
    with pytest.raises(SpecError, match="15 positions are no square grid"):
        resampled_positions(torch.zeros(15, 4), 16)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_backbone_moves_to_another_resolution_whatever_its_family(architecture):
    backbone = backbone_of(architecture)
    model = grafted(architecture, backbone, resolution=32)
    state = dict(model.named_parameters())
    if "position" in backbone.state:
        expected = resampled_positions(backbone.state["position"], 64)
        assert torch.equal(state["position"].detach(), expected)
    moved = {name for name in state if not name.startswith(("head.", "position"))}
    assert all(torch.equal(state[name].detach(), backbone.state[name]) for name in moved)
    with torch.no_grad():
        assert model(torch.randn(2, 3, 32, 32)).shape == (2, 4)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_network_is_judged_at_another_resolution_with_the_head_that_it_has(architecture):
    torch.manual_seed(1)
    model = registry.build(architecture, num_outputs=4, resolution=16)
    head = of_kind(nn.Linear, model.head)
    with torch.no_grad():
        head.weight.normal_()
    family, state = registry.parse(architecture), dict(model.named_parameters())
    moved = assembled(family, state, head=LinearHead(num_outputs=4), resolution=24, in_channels=3)
    assert torch.equal(of_kind(nn.Linear, moved.head).weight, head.weight)
    same = assembled(family, state, head=LinearHead(num_outputs=4), resolution=16, in_channels=3)
    images = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        assert torch.equal(same(images), model.eval()(images))
        assert moved(torch.randn(2, 3, 24, 24)).shape == (2, 4)
    assert not moved.training


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b: dataclasses.replace(b, facts=dataclasses.replace(b.facts, architecture="vit:w16-d1-p4")), "cannot"),
        (lambda b: dataclasses.replace(b, state={k: v for k, v in b.state.items() if k != "norm.bias"}), "norm.bias"),
        (lambda b: backbone_of("vit:w16-d2-p4", channels=1), "patch_embed.weight is .* channels"),
    ],
)
def test_weights_that_do_not_fit_are_refused_by_name(change, message):
    backbone = change(backbone_of("vit:w16-d2-p4"))
    with pytest.raises(SpecError, match=message):
        grafted("vit:w16-d2-p4", backbone, resolution=16)
