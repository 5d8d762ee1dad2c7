"""Weights that are held while a network is judged change no bit of what it computes."""

from __future__ import annotations

import pytest
import torch

from levelfield.families import registry
from levelfield.families.judged import weights_held
from levelfield.families.nfnet.folded import FoldedNFNet
from levelfield.families.nfnet.fused import can_fuse
from levelfield.families.nfnet.model import NFNet
from levelfield.records.head import Head, LinearHead, PixelHead
from tests.narrowed import of_kind

from .test_registry import TINY_CONVNEXT

SMALL = "nfnet:w16-d1x2-g8-s2"


def opened(text: str, head: Head | None = None) -> torch.nn.Module:
    torch.manual_seed(0)
    head = head or LinearHead(num_outputs=10)
    model = registry.build(text, head=head, resolution=33 if "nfnet" in text else 32)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(("skip_gain", "bias", "gain")):
                parameter.normal_(0.5, 0.1)
    return model.eval()


@pytest.mark.parametrize("text", [SMALL, f"{SMALL},ws=timm,gelu=erf,pad=symmetric", "vit:w16-d1-p8", TINY_CONVNEXT])
@pytest.mark.parametrize("half", [False, True])
def test_outputs_are_the_same_bits_for_one_batch_after_another(text: str, half: bool) -> None:
    model = opened(text)
    side = 33 if "nfnet" in text else 32
    batches = [torch.randn(count, 3, side, side) for count in (4, 1)]

    def outputs() -> list[torch.Tensor]:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=half):
            return [model(images) for images in batches]

    unheld = outputs()
    with weights_held(model, half=half):
        held = outputs()
    assert all(torch.equal(*pair) for pair in zip(held, unheld, strict=True))
    assert held[0].dtype == (torch.bfloat16 if half else torch.float32)


@pytest.mark.parametrize("half", [False, True])
def test_a_map_of_answers_is_the_same_bits(half: bool) -> None:
    model, images = opened(SMALL, PixelHead(num_outputs=5, output_stride=8)), torch.randn(2, 3, 33, 33)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=half):
        unheld = model(images)
        with weights_held(model, half=half):
            assert torch.equal(model(images), unheld)


def test_weights_are_made_once_and_again_when_they_are_others(monkeypatch: pytest.MonkeyPatch) -> None:
    model, images = of_kind(NFNet, opened(SMALL)), torch.randn(2, 3, 33, 33)
    made: list[int] = []
    monkeypatch.setattr(model.standardisation, "forward", _counted(model.standardisation.forward, made))
    with torch.inference_mode():
        with weights_held(model, half=False):
            before = [model(images) for _ in range(3)]
        assert len(made) == 1
        model.final_conv.weight.add_(torch.randn_like(model.final_conv.weight))
        with weights_held(model, half=False):
            assert not torch.equal(model(images), before[0])
    assert len(made) == 2


def test_a_folded_network_computes_in_the_precision_that_surrounds_it() -> None:
    model = of_kind(NFNet, opened(SMALL))
    folded, images = FoldedNFNet(model), torch.randn(4, 3, 33, 33)
    with torch.inference_mode():
        assert can_fuse(images)
        exact = model(images)
        assert (folded(images) - exact).norm() < 1e-5 * exact.norm()
        with torch.autocast("cpu", torch.bfloat16):
            assert not can_fuse(images)
            assert torch.equal(folded(images), model(images))


def _counted(call, made: list[int]):
    def counted(*arguments):
        made.append(1)
        return call(*arguments)

    return counted
