"""The Vision Transformer against a straight-line reference."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from levelfield.families import registry
from levelfield.families.vit.model import EncoderBlock, ViT, sincos_positions
from tests.narrowed import of_kind, present


def randomised(text: str, *, resolution: int, stochastic_depth: float = 0.0) -> ViT:
    """A float64 net with no parameter left at zero."""
    torch.manual_seed(0)
    built = registry.build(text, num_outputs=7, resolution=resolution, stochastic_depth=stochastic_depth)
    model = of_kind(ViT, built).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return model


def reference_norm(x: Tensor, state: dict[str, Tensor], name: str) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    scaled = centred / ((centred**2).mean(-1, keepdim=True) + 1e-6).sqrt()
    return scaled * state[f"{name}.weight"] + state[f"{name}.bias"]


def reference_linear(x: Tensor, state: dict[str, Tensor], name: str) -> Tensor:
    return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]


def reference_attention(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    """One head and one query at a time."""
    size = query.shape[-1] // heads
    out = torch.zeros_like(query)
    for head in range(heads):
        part = slice(head * size, (head + 1) * size)
        for place in range(query.shape[1]):
            scores = (key[..., part] @ query[:, place, part, None])[..., 0] / math.sqrt(size)
            out[:, place, part] = (scores.softmax(-1)[..., None] * value[..., part]).sum(1)
    return out


def reference_logits(model: ViT, images: Tensor) -> Tensor:
    """big_vision's models/vit.py, line by line."""
    spec, state = model.spec, dict(model.state_dict())
    gelu = lambda x: F.gelu(x, approximate="tanh" if spec.gelu == "tanh" else "none")  # noqa: E731
    x = F.conv2d(images, state["patch_embed.weight"], state["patch_embed.bias"], spec.patch_size)
    x = x.flatten(2).transpose(1, 2) + model.position
    if spec.pooling == "token":
        x = torch.cat([state["class_token"].expand(len(x), 1, -1), x], 1)
    for index in range(spec.depth):
        name = f"blocks.{index}"
        query, key, value = reference_linear(reference_norm(x, state, f"{name}.norm1"), state, f"{name}.qkv").chunk(
            3, -1
        )
        x = x + reference_linear(reference_attention(query, key, value, spec.num_heads), state, f"{name}.proj")
        hidden = gelu(reference_linear(reference_norm(x, state, f"{name}.norm2"), state, f"{name}.fc1"))
        x = x + reference_linear(hidden, state, f"{name}.fc2")
    x = reference_norm(x, state, "norm")
    if spec.pooling == "map":
        query = reference_linear(state["map_head.probe"].expand(len(x), 1, -1), state, "map_head.query")
        key, value = reference_linear(x, state, "map_head.key_value").chunk(2, -1)
        pooled = reference_linear(reference_attention(query, key, value, spec.num_heads), state, "map_head.proj")
        hidden = gelu(reference_linear(reference_norm(pooled, state, "map_head.norm"), state, "map_head.fc1"))
        x = (pooled + reference_linear(hidden, state, "map_head.fc2"))[:, 0]
    else:
        x = x[:, 0] if spec.pooling == "token" else x.mean(1)
    return reference_linear(x, state, "head")


@pytest.mark.parametrize(
    "text",
    [
        "vit:w16-d2-p4-h2",
        "vit:w16-d2-p8-h4,pool=token,gelu=erf",
        "vit:w24-d1-p4-h3-m2,pool=map",
        "vit:w16-d1-p4,pool=map,pos=sincos2d",
    ],
)
def test_logits_equal_a_straight_line_float64_reference(text: str) -> None:
    model = randomised(text, resolution=16).eval()
    images = torch.randn(2, 3, 16, 16, dtype=torch.float64)
    torch.testing.assert_close(model(images), reference_logits(model, images), rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("pool", ["gap", "token", "map"])
def test_the_first_loss_is_that_of_chance(pool: str) -> None:
    torch.manual_seed(0)
    model = registry.build(f"vit:w16-d2-p8,pool={pool}", num_outputs=37, resolution=16)
    loss = F.cross_entropy(model(torch.randn(4, 3, 16, 16)), torch.tensor([0, 3, 7, 36]))
    assert loss.item() == pytest.approx(math.log(37), rel=1e-6)


def test_sincos_positions_are_those_of_moco() -> None:
    positions = sincos_positions(3, 8)
    omega = [1.0, 1 / 10_000]
    for y in range(3):
        for x in range(3):
            expected = [math.sin(x * w) for w in omega] + [math.cos(x * w) for w in omega]
            expected += [math.sin(y * w) for w in omega] + [math.cos(y * w) for w in omega]
            torch.testing.assert_close(positions[3 * y + x], torch.tensor(expected))


def test_the_class_token_has_no_position() -> None:
    model = randomised("vit:w16-d1-p8,pool=token", resolution=16).eval()
    seen: list[Tensor] = []
    model.blocks[0].register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    model(torch.randn(2, 3, 16, 16, dtype=torch.float64))
    torch.testing.assert_close(seen[0][:, :1], present(model.class_token).expand(2, 1, -1))


def test_stochastic_depth_ends_at_its_rate_and_keeps_the_mean() -> None:
    model = randomised("vit:w16-d3-p8", resolution=16, stochastic_depth=0.5)
    assert [of_kind(EncoderBlock, block).skip_mlp.rate for block in model.blocks] == [0.0, 0.25, 0.5]
    ones = torch.ones(4000, 1, 1, dtype=torch.float64)
    with model.noise.drawn_from(torch.arange(4000)):
        dropped = of_kind(EncoderBlock, model.blocks[2]).skip_mlp(ones, True)
    assert set(dropped.flatten().tolist()) == {0.0, 2.0}
    assert dropped.mean().item() == pytest.approx(1.0, abs=0.05)
