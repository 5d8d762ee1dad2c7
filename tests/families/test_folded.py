"""The folded NFNet: plain convolutions, fused on a CPU, that compute what the network computes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from levelfield.families import registry
from levelfield.families.nfnet.folded import FoldedConv2d, FoldedNFNet
from levelfield.families.nfnet.fused import can_fuse


def pair(text: str) -> tuple[torch.nn.Module, FoldedNFNet]:
    torch.manual_seed(0)
    model = registry.build(text, num_outputs=10, resolution=32).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("skip_gain"):
                parameter.fill_(0.5)
    return model, FoldedNFNet(model)  # pyright: ignore[reportArgumentType]


def error(a: Tensor, b: Tensor) -> float:
    return float((a - b).norm() / b.norm())


@pytest.mark.parametrize("text", ["nfnet:w16-d1x2", "nfnet:w16-d1x2,gelu=erf,pad=symmetric", "nfnet:w8-d1x1-s4"])
def test_it_computes_the_same_for_one_shape_after_another(text: str) -> None:
    model, folded = pair(text)
    with torch.inference_mode():
        for shape in [(2, 3, 32, 32), (2, 3, 33, 33), (3, 3, 48, 32), (1, 3, 33, 32), (2, 3, 32, 32)]:
            images = torch.randn(shape)
            assert can_fuse(images)
            assert error(folded(images), model(images)) < 1e-5, shape


def test_it_is_not_fused_where_it_is_differentiated_or_of_another_precision() -> None:
    model, folded = pair("nfnet:w16-d1x2")
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        fused = folded(images)
    images.requires_grad_()
    assert not can_fuse(images)
    plain = folded(images)
    assert error(fused, plain.detach()) < 1e-6
    wanted = torch.autograd.grad(model(images).sum(), images)[0]
    assert error(torch.autograd.grad(plain.sum(), images)[0], wanted) < 1e-4
    assert not can_fuse(images.detach().double())


def test_what_was_fused_follows_its_weights() -> None:
    _, folded = pair("nfnet:w16-d1x2")
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        before = folded(images)
        assert error(folded.double()(images.double()).float(), before) < 1e-5
        for conv in (module for module in folded.modules() if isinstance(module, FoldedConv2d)):
            conv.get_buffer("weight").mul_(1.1)
        assert error(folded.float()(images), before) > 1e-2
