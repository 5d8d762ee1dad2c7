"""The two recipes as straight-line scripts over timm's networks, to be compared with their sources line by line.

Nothing of ours is used, and nothing is shared between the scripts: what they have in common is written out twice.
Both take timm's names of parameters, and grey uint8 images with their labels, one batch a step.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from timm.layers import ScaledStdConv2dSame
from timm.layers.activations import gelu_tanh
from timm.models.nfnet import GammaAct, NfCfg, NormFreeNet
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from tests.narrowed import present


@dataclass(frozen=True, kw_only=True)
class Run:
    """The loss before each update and the weights' averages after it, and the last weights, by timm's names."""

    losses: list[float]
    averages: list[dict[str, Tensor]]
    weights: dict[str, Tensor]


def nfnet() -> NormFreeNet:
    """timm's network with DeepMind's settings, of widths 16 and 32 and depths 1 and 2.

    Three settings of the released code are beyond timm's configuration. It standardises weights by
    rsqrt(max(var * fan_in, 1e-4)), which timm's rule becomes with a vanishing eps as long as no variance is that small;
    its GELU is the tanh form; and the stem is two convolutions here, as ours is for small images.
    """
    config = NfCfg(
        depths=(1, 2),  # pyright: ignore[reportArgumentType]  # timm takes as many stages as there are
        channels=(16, 32),  # pyright: ignore[reportArgumentType]
        stem_type="deep_quad",
        stem_chs=8,
        group_size=4,
        bottle_ratio=0.5,
        extra_conv=True,
        gamma_in_act=True,
        same_padding=True,
        std_conv_eps=1e-30,
        skipinit=True,
        num_features=64,
        act_layer="gelu",
        attn_layer="se",
        attn_kwargs={"rd_ratio": 0.5, "rd_divisor": 1},
        ch_div=1,
    )
    network = NormFreeNet(config, num_classes=100, in_chans=1)
    network.stem = nn.Sequential(
        OrderedDict(
            conv1=ScaledStdConv2dSame(1, 4, 3, stride=2, eps=1e-30),
            act2=GammaAct("gelu", gamma=1.7015043497085571),
            conv2=ScaledStdConv2dSame(4, 8, 3, stride=2, eps=1e-30),
        )
    )
    for module in network.modules():
        if isinstance(module, GammaAct):
            module.act_fn = gelu_tanh
    return network


def vit() -> VisionTransformer:
    """timm's network with big_vision's settings: mean over tokens, tanh GELU, LayerNorm before the mean."""
    return VisionTransformer(
        img_size=16,
        patch_size=4,
        in_chans=1,
        num_classes=100,
        embed_dim=16,
        depth=2,
        num_heads=2,
        global_pool="avg",
        fc_norm=False,
        class_token=False,
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
        act_layer=partial(nn.GELU, approximate="tanh"),
    )


def train_as_2102_06171(
    network: nn.Module,
    batches: Sequence[tuple[Tensor, Tensor]],
    *,
    peak_lr: float,
    warmup_steps: int,
    momentum: float,
    clip_lambda: float,
    clip_skip_gain: bool,
    weight_decay: float,
    ema_horizon: float,
) -> Run:
    """Nesterov momentum with adaptive gradient clipping (sections 4 and 6, the released optim.py)."""
    parameters = dict(network.named_parameters())
    optimizer = torch.optim.SGD(parameters.values(), lr=0.0, momentum=momentum, nesterov=True)
    average = {name: parameter.detach().clone() for name, parameter in parameters.items()}
    losses, averages = [], []
    for step, (images, labels) in enumerate(batches):
        # Forward and backward: grey pixels in 0..1, brought to zero mean and unit variance.
        loss = F.cross_entropy(network((images / 255 - 0.46) / 0.17), labels)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()

        for name, parameter in parameters.items():
            weight, gradient = parameter.detach(), present(parameter.grad)
            is_kernel = name.endswith(".weight") and weight.ndim > 1

            # Clipping: all but the classifier's kernel, and on request the skip gain. A unit is what makes one output
            # of a kernel, or one position; a gain, bias or scale is one unit whole, whatever timm's shape of it is.
            is_clipped = name not in ("head.weight", "head.fc.weight")
            if name.endswith("skipinit_gain"):
                is_clipped = clip_skip_gain
            if is_clipped:
                axes = tuple(range(1, weight.ndim)) if is_kernel else tuple(range(weight.ndim))
                axes = (2,) if name == "pos_embed" else axes
                weight_norm = weight.pow(2).sum(axes, keepdim=True).sqrt()
                gradient_norm = gradient.pow(2).sum(axes, keepdim=True).sqrt()
                largest = clip_lambda * weight_norm.clamp(min=1e-3)
                clipped = gradient * (largest / gradient_norm.clamp(min=1e-6))
                gradient = torch.where(gradient_norm > largest, clipped, gradient)

            # Weight decay: coupled, after clipping, on kernels alone.
            if is_kernel:
                gradient = gradient + weight_decay * weight
            parameter.grad = gradient

        # Schedule and update: a linear rise that ends at the peak, then half a cosine. The released code's rise begins
        # at a rate of zero, a step earlier.
        if step < warmup_steps:
            lr = peak_lr * (step + 1) / warmup_steps
        else:
            lr = peak_lr * 0.5 * (1 + math.cos(math.pi * (step - warmup_steps) / (len(batches) - warmup_steps)))
        optimizer.param_groups[0]["lr"] = lr
        optimizer.step()

        # Average: min(d, (1 + t) / (10 + t)) after t updates, with d from a horizon in steps.
        t = step + 1
        decay = min(1 - 1 / ema_horizon, (1 + t) / (10 + t))
        average = {name: decay * average[name] + (1 - decay) * p.detach() for name, p in parameters.items()}
        averages.append(average)
    return Run(losses=losses, averages=averages, weights=dict(network.state_dict()))


def train_as_big_vision(
    network: nn.Module,
    batches: Sequence[tuple[Tensor, Tensor]],
    *,
    peak_lr: float,
    warmup_steps: int,
    beta1: float,
    beta2: float,
    max_norm: float,
    weight_decay: float,
    ema_horizon: float,
) -> Run:
    """Adam with global clipping, and a weight decay in which the learning rate has no part (optax.py, vit_i21k.py)."""
    parameters = dict(network.named_parameters())
    optimizer = torch.optim.Adam(parameters.values(), lr=0.0, betas=(beta1, beta2), eps=1e-8)
    average = {name: parameter.detach().clone() for name, parameter in parameters.items()}
    losses, averages = [], []
    for step, (images, labels) in enumerate(batches):
        # Forward and backward: grey pixels in 0..1, brought to zero mean and unit variance.
        loss = F.cross_entropy(network((images / 255 - 0.46) / 0.17), labels)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()

        # Clipping: all gradients together.
        norm = math.sqrt(sum(present(parameter.grad).pow(2).sum().item() for parameter in parameters.values()))
        if norm > max_norm:
            for parameter in parameters.values():
                parameter.grad = present(parameter.grad) * (max_norm / norm)

        # Schedule: a linear rise that ends at one, then half a cosine.
        if step < warmup_steps:
            schedule = (step + 1) / warmup_steps
        else:
            schedule = 0.5 * (1 + math.cos(math.pi * (step - warmup_steps) / (len(batches) - warmup_steps)))

        # Weight decay: kernels alone, by the schedule and not by the learning rate; then Adam's own update.
        with torch.no_grad():
            for name, parameter in parameters.items():
                if name.endswith(".weight") and parameter.ndim > 1:
                    parameter -= schedule * weight_decay * parameter
        optimizer.param_groups[0]["lr"] = schedule * peak_lr
        optimizer.step()

        # Average: min(d, (1 + t) / (10 + t)) after t updates, with d from a horizon in steps.
        t = step + 1
        decay = min(1 - 1 / ema_horizon, (1 + t) / (10 + t))
        average = {name: decay * average[name] + (1 - decay) * p.detach() for name, p in parameters.items()}
        averages.append(average)
    return Run(losses=losses, averages=averages, weights=dict(network.state_dict()))
