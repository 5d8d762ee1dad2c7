"""The NFNet against straight-line references and autograd."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from levelfield.families import registry
from levelfield.families.nfnet.model import NFNet
from levelfield.families.nfnet.spec import VARIANTS, NFNetSpec, WsRule
from levelfield.families.nfnet.standardise import Standardisation, StandardisedConv2d
from tests.narrowed import of_kind, present

GAMMA = 1.7015043497085571


@contextmanager
def float64() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


def randomised(text: str, *, stochastic_depth: float = 0.0) -> NFNet:
    """A float64 net whose gains, biases and skip gains are not at their initial values."""
    torch.manual_seed(0)
    with float64():
        model = of_kind(NFNet, registry.build(text, num_outputs=7, resolution=32, stochastic_depth=stochastic_depth))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(("gain", "bias")):
                parameter.add_(torch.randn_like(parameter) * 0.3)
    return model


def reference_weight(state: Mapping[str, Tensor], name: str, rule: str) -> Tensor:
    """One output at a time, as the papers write it."""
    weight, gain = state[f"{name}.weight"], state[f"{name}.gain"]
    fan_in = weight[0].numel()
    rows = []
    for row, scale in zip(weight, gain, strict=True):
        variance = ((row - row.mean()) ** 2).mean()
        if rule == "clamp":
            inverse = torch.maximum(variance * fan_in, torch.tensor(1e-4, dtype=row.dtype)).rsqrt()
        else:
            inverse = (variance + 1e-5).rsqrt() * fan_in**-0.5
        rows.append((row - row.mean()) * inverse * scale)
    return torch.stack(rows)


def reference_conv(x: Tensor, state: Mapping[str, Tensor], name: str, rule: str, stride: int = 1) -> Tensor:
    """NCHW convolution with TF's SAME padding written out."""
    weight = reference_weight(state, name, rule)
    kernel = weight.shape[-1]
    pads = []
    for side in (x.shape[3], x.shape[2]):
        total = max(0, (math.ceil(side / stride) - 1) * stride + kernel - side)
        pads += [total // 2, total - total // 2]
    return F.conv2d(F.pad(x, pads), weight, state[f"{name}.bias"], stride, groups=x.shape[1] // weight.shape[1])


def reference_logits(model: NFNet, images: Tensor, *, betas: list[float]) -> Tensor:
    """Appendix C of arXiv 2102.06171, line by line, nothing folded."""
    spec, state = model.spec, dict(model.named_parameters())
    rule = spec.ws_rule
    gelu = lambda x: GAMMA * F.gelu(x, approximate="tanh" if spec.gelu == "tanh" else "none")  # noqa: E731
    x = images
    for index, stride in enumerate(spec.stem_strides):
        x = reference_conv(gelu(x) if index else x, state, f"stem.conv{index + 1}", rule, stride)
    place = 0
    for stage, depth in enumerate(spec.depths):
        for index in range(depth):
            name, stride = f"stages.{stage}.{index}", 2 if stage > 0 and index == 0 else 1
            active = gelu(x) * betas[place]
            shortcut = x
            if index == 0:
                pooled = F.avg_pool2d(active, 2, ceil_mode=True, count_include_pad=False) if stride == 2 else active
                shortcut = reference_conv(pooled, state, f"{name}.shortcut", rule)
            out = reference_conv(active, state, f"{name}.conv1", rule)
            out = reference_conv(gelu(out), state, f"{name}.conv2", rule, stride)
            out = reference_conv(gelu(out), state, f"{name}.conv3", rule)
            out = reference_conv(gelu(out), state, f"{name}.conv4", rule)
            squeezed = out.mean((2, 3)) @ state[f"{name}.squeeze.weight"].T + state[f"{name}.squeeze.bias"]
            excited = squeezed.relu() @ state[f"{name}.excite.weight"].T + state[f"{name}.excite.bias"]
            out = 2 * torch.sigmoid(excited)[:, :, None, None] * out
            x = shortcut + 0.2 * state[f"{name}.skip_gain"] * out
            place += 1
    features = gelu(reference_conv(x, state, "final_conv", rule)).mean((2, 3))
    return features @ state["head.weight"].T + state["head.bias"]


@pytest.mark.parametrize(
    ("text", "resolution", "betas"),
    [
        ("nfnet:w8-d1-s1", 9, [1.0]),
        ("nfnet:w8-d1x2-s2-g2,gelu=erf", 16, [1.0, 1.04**-0.5, 1.04**-0.5]),
        ("nfnet:w12-d2x1x2-s4-g4,ws=timm", 33, [1.0, 1.04**-0.5, 1.08**-0.5, 1.04**-0.5, 1.04**-0.5]),
        ("nfnet:w10-d1x3x1x1", 21, [1, 1.04**-0.5, 1.04**-0.5, 1.08**-0.5, 1.12**-0.5, 1.04**-0.5]),
    ],
)
def test_logits_equal_an_unfolded_float64_reference(text: str, resolution: int, betas: list[float]) -> None:
    model = randomised(text).eval()
    images = torch.randn(2, 3, resolution, resolution, dtype=torch.float64)
    torch.testing.assert_close(model(images), reference_logits(model, images, betas=betas), rtol=1e-10, atol=1e-10)


def test_betas_of_f0_are_those_of_the_released_code() -> None:
    betas = [round(block.input_scale, 4) for block in NFNetSpec.variant("F0").blocks]
    assert betas == [1, 0.9806, 0.9806, 0.9623, 0.9806, 0.9623, 0.9449, 0.9285, 0.9129, 0.8980, 0.9806, 0.9623]


def three_convs() -> list[StandardisedConv2d]:
    """Two of one fan-in, one row of them below the clamp, and one constant row."""
    torch.manual_seed(0)
    convs = [
        StandardisedConv2d(4, 3, 3, groups=2, input_scale=0.7).double(),
        StandardisedConv2d(18, 2, 1, input_scale=1.3).double(),
        StandardisedConv2d(2, 5, 1).double(),
    ]
    with torch.no_grad():
        for conv in convs:
            conv.gain.uniform_(0.5, 2)
        convs[0].weight[1] *= 1e-3
        convs[1].weight[0] = 0.25
    return convs


@pytest.mark.parametrize("rule", ["clamp", "timm"])
def test_weights_standardised_together_equal_each_row_standardised_alone(rule: WsRule) -> None:
    convs = three_convs()
    together = Standardisation(convs, ws_rule=rule)([conv.weight for conv in convs], [conv.gain for conv in convs])
    for conv, weight in zip(convs, together, strict=True):
        state = {"conv.weight": conv.weight, "conv.gain": conv.gain}
        torch.testing.assert_close(weight, conv.input_scale * reference_weight(state, "conv", rule), rtol=1e-6, atol=0)
        assert weight.shape == conv.weight.shape


@pytest.mark.parametrize("rule", ["clamp", "timm"])
def test_the_closed_form_gradient_of_standardisation_is_the_numerical_one(rule: WsRule) -> None:
    convs = three_convs()
    standardisation = Standardisation(convs, ws_rule=rule).double()
    tensors = [conv.weight for conv in convs] + [conv.gain for conv in convs]
    leaves = [tensor.detach().clone().requires_grad_() for tensor in tensors]
    assert torch.autograd.gradcheck(lambda *given: standardisation(given[:3], given[3:]), leaves)


def test_gradients_of_every_parameter_equal_the_reference_ones() -> None:
    model = randomised("nfnet:w8-d1x2-s4-g2")
    images = torch.randn(2, 3, 24, 24, dtype=torch.float64)
    labels = torch.tensor([1, 4])
    parameters = dict(model.named_parameters())
    loss = F.cross_entropy(model(images), labels)
    folded = torch.autograd.grad(loss, list(parameters.values()))
    betas = [1.0, 1.04**-0.5, 1.04**-0.5]
    reference = F.cross_entropy(reference_logits(model, images, betas=betas), labels)
    unfolded = torch.autograd.grad(reference, list(parameters.values()))
    for name, ours, theirs in zip(parameters, folded, unfolded, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-12, msg=lambda text, name=name: f"{name}: {text}")


def test_folded_weights_give_the_same_logits_and_are_forgotten_afterwards() -> None:
    model = randomised("nfnet:w8-d1x2-s4").eval()
    images = torch.randn(2, 3, 16, 16, dtype=torch.float64)
    before = model(images)
    with model.folded():
        assert torch.equal(model(images), before)
        with torch.no_grad():
            model.final_conv.gain.mul_(2)
        assert torch.equal(model(images), before)
    assert not torch.allclose(model(images), before)


def test_logits_do_not_depend_on_the_memory_format_of_images_or_weights() -> None:
    model = randomised("nfnet:w8-d1x2-s2").eval()
    images = torch.randn(2, 3, 16, 16, dtype=torch.float64)
    expected = model(images)
    torch.testing.assert_close(model(images.to(memory_format=torch.channels_last)), expected)
    torch.testing.assert_close(model.to(memory_format=torch.contiguous_format)(images), expected)


def test_residual_branches_start_shut_and_only_their_skip_gain_learns() -> None:
    torch.manual_seed(0)
    model = registry.build("nfnet:w8-d1-s4", num_outputs=5, resolution=16)
    F.cross_entropy(model(torch.randn(4, 3, 16, 16)), torch.arange(4)).backward()
    grads = {name: present(parameter.grad).norm().item() for name, parameter in model.named_parameters()}
    assert grads["stages.0.0.skip_gain"] > 0
    assert grads["stages.0.0.conv4.weight"] == 0


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_published_net_drops_branches_at_the_rate_times_index_over_number_of_blocks(variant: str) -> None:
    num_blocks = 12 * (int(variant[1]) + 1)
    fractions = [block.drop_fraction for block in NFNetSpec.variant(variant).blocks]
    assert fractions == [index / num_blocks for index in range(num_blocks)]


@torch.no_grad()
def test_every_image_and_block_draws_its_own_stochastic_depth_and_kept_branches_are_not_rescaled() -> None:
    images, rate = 4000, 0.6
    model = randomised("nfnet:w8-d2x2-s4", stochastic_depth=rate)
    weights = model.standardised_weights()
    x = torch.randn(images, 2, 2, 4, dtype=torch.float64)
    dropped: list[Tensor] = []
    for block in (block for stage in model.stages for block in stage):  # pyright: ignore[reportGeneralTypeIssues]
        whole, given = block.eval()(x, weights), x
        with model.noise.drawn_from(torch.arange(images)):
            x = block.train()(x, weights)
        block.eval().skip_gain.zero_()
        shut = block(given, weights)
        missing = (x == shut).flatten(1).all(1)
        torch.testing.assert_close(x, torch.where(missing[:, None, None, None], shut, whole), rtol=1e-12, atol=1e-12)
        dropped.append(missing.double())
    for index, missing in enumerate(dropped):
        expected = rate * index / 4
        spread = math.sqrt(expected * (1 - expected) / images)
        assert missing.mean().item() == pytest.approx(expected, abs=4 * spread)
    assert (torch.stack(dropped[1:]).corrcoef() - torch.eye(3)).abs().max() < 4 / math.sqrt(images)


def test_the_published_plus_variants_keep_192_channels_in_one_group() -> None:
    first = NFNetSpec.variant("F3+").blocks[0]
    assert (first.mid_channels, first.groups) == (192, 1)
    first = NFNetSpec.variant("F3+", rounding="released").blocks[0]
    assert (first.mid_channels, first.groups) == (128, 1)


@pytest.mark.parametrize(
    ("width", "group_width", "groups"), [(32, 16, 1), (64, 16, 2), (74, 10, 1), (80, 12, 2), (24, 16, 1), (16, 64, 1)]
)
def test_a_bottleneck_has_as_many_equal_groups_as_the_group_width_allows(
    width: int, group_width: int, groups: int
) -> None:
    block = NFNetSpec.ladder(width=width, depths=(1,), group_width=group_width).blocks[0]
    assert (block.mid_channels, block.groups) == (width // 2, groups)
