"""Both families against timm, an independent implementation, by way of converted random weights."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import timm
import torch
import torch.nn.functional as F
from timm.layers.padding import pad_same
from timm.layers.std_conv import ScaledStdConv2dSame
from timm.models.nfnet import GammaAct
from torch import Tensor, nn

from levelfield.families import registry
from levelfield.families.nfnet import weights as nfnet
from levelfield.families.nfnet.model import NFNet
from levelfield.families.vit import weights as vit
from levelfield.families.vit.model import ViT
from levelfield.records.errors import SpecError
from tests.undrawn import Undrawn

State = dict[str, Tensor]
CLASSES = 10


def random_vit(**options: Any) -> State:
    """The weights of a network of timm's with no tensor at its initial values."""
    torch.manual_seed(0)
    with Undrawn():
        state = timm.create_model("vit_base_patch16_224", num_classes=CLASSES, **options).state_dict()
    return {name: tensor + 0.05 * torch.randn_like(tensor) for name, tensor in state.items()}


def timm_network(name: str, state: State, **options: Any) -> nn.Module:
    with torch.device("meta"), Undrawn():
        network = timm.create_model(name, num_classes=CLASSES, **options).eval()
    network.load_state_dict(state, assign=True)
    return network


def our_network(text: str, state: State, *, resolution: int) -> Any:
    with Undrawn():
        network = registry.build(text, num_outputs=CLASSES, resolution=resolution).eval()
    convert = nfnet.from_timm if text.startswith("nfnet") else vit.from_timm
    network.load_state_dict(convert(state, network))  # pyright: ignore[reportArgumentType]
    return network


@torch.no_grad()
def difference(ours: nn.Module, theirs: nn.Module, *, resolution: int) -> float:
    """The largest difference of two images' logits, relative to the largest logit."""
    torch.manual_seed(1)
    images = torch.randn(2, 3, resolution, resolution)
    expected = theirs(images)
    assert expected.std() > 1e-3
    return ((ours(images) - expected).abs().max() / expected.abs().max()).item()


@pytest.fixture(scope="module")
def f0_state() -> State:
    """An F0 whose residual branches are open: at its initial values it would not use them."""
    torch.manual_seed(0)
    state = timm.create_model("dm_nfnet_f0", num_classes=CLASSES).state_dict()
    return {name: torch.randn(()) if name.endswith("skipinit_gain") else tensor for name, tensor in state.items()}


def test_an_f0_gives_the_logits_of_timm_at_an_even_and_an_odd_size(f0_state: State) -> None:
    torch.manual_seed(2)
    state = {
        name: tensor + 0.2 * torch.randn_like(tensor) if name.endswith(("gain", "bias")) else tensor
        for name, tensor in f0_state.items()
    }
    theirs = timm_network("dm_nfnet_f0", state)
    ours = our_network("nfnet:F0,ws=timm,gelu=erf", state, resolution=64)
    assert difference(ours, theirs, resolution=64) < 1e-5
    assert difference(ours, theirs, resolution=97) < 1e-5
    for name, tensor in nfnet.to_timm(ours).items():
        assert torch.equal(tensor, state.pop(name)), name
    assert not state


def released_conv(conv: Any, x: Tensor) -> Tensor:
    """nfnets/base.py: scale by rsqrt(max(var * fan_in, 1e-4)) with biased variance."""
    mean = conv.weight.mean((1, 2, 3), keepdim=True)
    variance = conv.weight.var((1, 2, 3), keepdim=True, correction=0)
    scale = torch.rsqrt(torch.clamp(variance * conv.weight[0].numel(), min=1e-4)) * conv.gain
    x = pad_same(x, conv.kernel_size, conv.stride, conv.dilation) if conv.same_pad else x
    return F.conv2d(x, (conv.weight - mean) * scale, conv.bias, conv.stride, conv.padding, conv.dilation, conv.groups)


def give_released_rules(network: nn.Module) -> None:
    """Turn timm's network into what the released code computes: its standardisation, and jax.nn.gelu's tanh."""
    for module in network.modules():
        if isinstance(module, ScaledStdConv2dSame):
            module.forward = partial(released_conv, module)
        if isinstance(module, GammaAct):
            module.act_fn = lambda x, inplace: F.gelu(x, approximate="tanh")


@pytest.mark.slow
def test_an_f0_gives_the_logits_of_the_released_rules_where_they_and_timms_differ_by_half(f0_state: State) -> None:
    """At 0.2 x the initial weights, as long weight decay leaves them, the two rules are 40 to 60 % apart."""
    shrunk = {name: 0.2 * tensor if tensor.ndim == 4 else tensor for name, tensor in f0_state.items()}
    shrunk |= {name: tensor for name, tensor in f0_state.items() if name.endswith("gain") or "attn_last" in name}
    theirs = timm_network("dm_nfnet_f0", shrunk)
    ours = our_network("nfnet:F0", shrunk, resolution=64)
    assert 0.4 < difference(theirs, ours, resolution=64) < 0.6
    give_released_rules(theirs)
    assert difference(ours, theirs, resolution=64) < 1e-5

    with torch.no_grad():
        for module in theirs.modules():
            if isinstance(module, ScaledStdConv2dSame):
                module.get_parameter("weight")[::4] *= 0.03  # below the floor of the standardisation
    ours.load_state_dict(nfnet.from_timm(theirs.state_dict(), ours))
    assert difference(ours, theirs, resolution=64) < 1e-5


@pytest.mark.slow
def test_a_vit_b16_gives_the_logits_of_timm() -> None:
    state = random_vit()
    theirs = timm_network("vit_base_patch16_224", state)
    ours = our_network("vit:B/16,pool=token,gelu=erf", state, resolution=224)
    assert difference(ours, theirs, resolution=224) < 1e-5


SMALL_VITS: list[tuple[str, dict[str, Any]]] = [
    ("vit:w48-d2-p8-h4-m2,pool=token", {"global_pool": "token", "act_layer": "gelu_tanh"}),
    ("vit:w48-d2-p8-h4-m2,gelu=erf", {"global_pool": "avg", "class_token": False, "fc_norm": False}),
    ("vit:w48-d2-p8-h4-m2,pool=map,gelu=erf", {"global_pool": "map", "class_token": False}),
]
SMALL_SHAPE: dict[str, Any] = {
    "img_size": 32,
    "patch_size": 8,
    "embed_dim": 48,
    "depth": 2,
    "num_heads": 4,
    "mlp_ratio": 2,
}


@pytest.mark.parametrize(("text", "options"), SMALL_VITS, ids=["token", "gap", "map"])
def test_a_vit_gives_the_logits_of_timm_whichever_way_it_pools(text: str, options: dict[str, Any]) -> None:
    options |= SMALL_SHAPE
    state = random_vit(**options)
    theirs = timm_network("vit_base_patch16_224", state, **options)
    ours = our_network(text, state, resolution=32)
    assert difference(ours, theirs, resolution=32) < 1e-5

    returned = vit.to_timm(ours)
    assert difference(ours, timm_network("vit_base_patch16_224", returned, **options), resolution=32) < 1e-5
    again = vit.from_timm(returned, ours)
    assert all(torch.equal(again.pop(name), parameter) for name, parameter in ours.named_parameters())
    assert not again


def test_fixed_positions_are_handed_over_as_learned_ones_and_never_taken_back() -> None:
    torch.manual_seed(0)
    ours = registry.build("vit:w48-d2-p8-h4-m2,pos=sincos2d,gelu=erf", num_outputs=CLASSES, resolution=32).eval()
    assert isinstance(ours, ViT)
    nn.init.normal_(ours.head.weight)
    options = {**SMALL_VITS[1][1], **SMALL_SHAPE}
    theirs = timm_network("vit_base_patch16_224", vit.to_timm(ours), **options)
    assert difference(ours, theirs, resolution=32) < 1e-5
    with pytest.raises(SpecError, match="no place for timm's 'pos_embed'"):
        vit.from_timm(theirs.state_dict(), ours)


def without(name: str) -> Callable[[State], State]:
    return lambda state: {key: tensor for key, tensor in state.items() if key != name}


def with_shape(name: str, *shape: int) -> Callable[[State], State]:
    return lambda state: {**state, name: torch.empty(shape)}


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (without("final_conv.gain"), "final_conv.gain wants timm's 'final_conv.gain' .* saw no such tensor"),
        (without("stages.1.1.skipinit_gain"), "stages.1.1.skip_gain wants timm's 'stages.1.1.skipinit_gain'"),
        (with_shape("stem.conv1.gain", 16), r"'stem.conv1.gain' of shape \(16, 1, 1, 1\), saw shape \(16,\)"),
        (with_shape("head.fc.weight", 11, 3072), r"head.weight wants .* of shape \(10, 3072\), saw shape \(11, 3072\)"),
        (with_shape("stages.0.1.conv1.weight", 1), "nfnet:F0 has no place for timm's 'stages.0.1.conv1.weight'"),
    ],
)
def test_an_nfnet_refuses_weights_of_another_network_by_name(damage: Callable[[State], State], message: str) -> None:
    with torch.device("meta"), Undrawn():
        ours = registry.build("nfnet:F0", num_outputs=CLASSES, resolution=64)
        state = timm.create_model("dm_nfnet_f0", num_classes=CLASSES).state_dict()
    assert isinstance(ours, NFNet)
    assert set(nfnet.from_timm(state, ours)) == set(ours.state_dict())
    with pytest.raises(SpecError, match=message):
        nfnet.from_timm(damage(state), ours)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (without("blocks.1.mlp.fc1.bias"), "blocks.1.fc1.bias wants timm's 'blocks.1.mlp.fc1.bias' .* no such tensor"),
        (with_shape("pos_embed", 1, 15, 48), r"'pos_embed' of shape \(1, 17, 48\), saw shape \(1, 15, 48\)"),
        (with_shape("blocks.0.attn.q_norm.weight", 12), "no place for timm's 'blocks.0.attn.q_norm.weight'"),
    ],
)
def test_a_vit_refuses_weights_of_another_network_by_name(damage: Callable[[State], State], message: str) -> None:
    with torch.device("meta"), Undrawn():
        ours = registry.build("vit:w48-d2-p8-h4-m2,pool=token", num_outputs=CLASSES, resolution=32)
        state = timm.create_model("vit_base_patch16_224", num_classes=CLASSES, **SMALL_SHAPE).state_dict()
    assert isinstance(ours, ViT)
    assert set(vit.from_timm(state, ours)) == set(ours.state_dict())
    with pytest.raises(SpecError, match=message):
        vit.from_timm(damage(state), ours)
