"""Networks of timm's with no tensor at its initial values, and how far ours are from them."""

from typing import Any

import numpy as np
import timm
import torch
from torch import Tensor, nn

from tests.undrawn import Undrawn

State = dict[str, Tensor]
CLASSES = 10
SMALL_VIT: dict[str, Any] = {
    "img_size": 32,
    "patch_size": 8,
    "embed_dim": 48,
    "depth": 2,
    "num_heads": 4,
    "mlp_ratio": 2,
}


def timm_network(name: str, *, seed: int = 0, **options: Any) -> nn.Module:
    """``name`` with random weights, whose residual branches are open."""
    with Undrawn():
        network = timm.create_model(name, num_classes=CLASSES, **options).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for key, tensor in network.named_parameters():
            if key.endswith("gain") and tensor.ndim == 4:
                tensor.copy_(1 + 0.2 * torch.randn(tensor.shape, generator=generator))
            elif key.endswith("skipinit_gain"):
                tensor.copy_(torch.randn((), generator=generator))
            elif tensor.ndim >= 2:
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * tensor[0].numel() ** -0.5)
            elif "norm" in key and key.endswith("weight"):
                tensor.copy_(1 + 0.1 * torch.randn(tensor.shape, generator=generator))
            else:
                tensor.copy_(0.1 * torch.randn(tensor.shape, generator=generator))
    return network


@torch.no_grad()
def difference(ours: Any, theirs: Any, *, resolution: int, channels: int = 3) -> float:
    """The largest difference of two images' logits, relative to the largest logit."""
    images = torch.randn(2, channels, resolution, resolution, generator=torch.Generator().manual_seed(1))
    expected, seen = (torch.as_tensor(np.asarray(network(images))) for network in (theirs, ours))
    assert expected.std() > 1e-3
    return ((seen - expected).abs().max() / expected.abs().max()).item()
