"""What an NFNet is built for: a signal whose variance is known at every depth, without normalisation."""

import pytest
import timm
import torch
from torch import Tensor, nn

from levelfield.families import registry
from levelfield.families.nfnet.model import NFNet
from levelfield.families.nfnet.weights import to_timm

ALPHA = 0.2


@torch.no_grad()
def opened(text: str) -> NFNet:
    """A net at its initial values with every residual branch open."""
    torch.manual_seed(0)
    model = registry.build(text, num_outputs=10, resolution=64).eval()
    for name, parameter in model.named_parameters():
        if name.endswith("skip_gain"):
            parameter.fill_(1.0)
    return model  # pyright: ignore[reportReturnType]


@pytest.mark.parametrize("text", ["nfnet:w64-d8x16x48x24", "nfnet:w96-d1x2x6x3,ws=timm,gelu=erf"])
@torch.no_grad()
def test_a_block_adds_alpha_squared_to_the_variance_that_its_beta_expects(text: str) -> None:
    """Per-block variances as arXiv 2101.08692 and 2102.06171 derive them; padding costs a branch some of its own."""
    model = opened(text)
    weights = model.standardised_weights()
    blocks = [block for stage in model.stages for block in stage]  # pyright: ignore[reportGeneralTypeIssues]
    branches: list[float] = []
    for depth in model.spec.depths:
        for index in range(depth):
            block = blocks.pop(0)
            if index == 0:
                continue  # a transition has no expectation of its own: it starts the count again
            expected = 1 + index * ALPHA**2
            images = torch.randn(1, 32, 32, block.conv1.weight.shape[1]) * expected**0.5
            out = block(images, weights)
            assert out.var().item() == pytest.approx(expected + ALPHA**2, rel=0.02)
            branches.append((out - images).var().item() / ALPHA**2)
    assert min(branches) > 0.85
    assert max(branches) < 1.1
    assert 0.93 < sum(branches) / len(branches) < 0.98


def variance_profile(model: nn.Module, images: Tensor) -> Tensor:
    """The variance after every block, (blocks,)."""
    variances: list[Tensor] = []
    hooks = [
        block.register_forward_hook(lambda _module, _inputs, output: variances.append(output.double().var()))
        for stage in model.stages  # pyright: ignore[reportGeneralTypeIssues]
        for block in stage  # pyright: ignore[reportGeneralTypeIssues]
    ]
    with torch.no_grad():
        model(images)
    for hook in hooks:
        hook.remove()
    return torch.stack(variances)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variant", "depths"),
    [("F0", (1, 2, 6, 3)), pytest.param("F7", (8, 16, 48, 24), marks=pytest.mark.slow)],
)
def test_the_variance_after_every_block_is_that_of_timm_with_the_same_weights(
    variant: str, depths: tuple[int, ...]
) -> None:
    """timm has no F7 of this kind by name; it is its F0 with other depths."""
    ours = opened(f"nfnet:{variant},ws=timm,gelu=erf")
    with torch.device("meta"):
        theirs = timm.create_model("dm_nfnet_f0", depths=depths, num_classes=10).eval()
    theirs.load_state_dict(to_timm(ours), assign=True)
    images = torch.randn(2, 3, 64, 64)
    profile = variance_profile(ours, images)
    assert len(profile) == sum(depths)
    torch.testing.assert_close(profile, variance_profile(theirs, images), rtol=1e-5, atol=0)
    within = profile.split(depths)
    assert all((stage.diff() > 0).all() for stage in within)  # blocks add up, transitions start again
