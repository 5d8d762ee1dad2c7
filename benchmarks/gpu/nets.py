"""The networks that are timed, ours and timm's of the same shape, and a training step of each.

timm is loaded where its networks are built: processes that time ours alone start in half the time.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from levelfield.compute.analytic import count
from levelfield.data.loader import Batch
from levelfield.data.transforms import NORMALISATION
from levelfield.records.data import DigitStringsSpec
from levelfield.records.head import LinearHead
from levelfield.records.trial import Dtype, TrialSpec
from levelfield.study.execute.parts import build_state
from levelfield.study.plan.recipes import preset
from levelfield.tasks.registry import task_named
from levelfield.train.engine.graph.step import GraphUpdate
from levelfield.train.lagging import LaggingStep
from levelfield.train.state import TrainState
from levelfield.train.step import TrainingStep


@dataclass(frozen=True, kw_only=True)
class Net:
    """A network of ours, and ``theirs``: timm's own of the same shape. ``recipe`` is one of our presets."""

    title: str
    architecture: str
    theirs: Callable[..., nn.Module]
    recipe: str
    resolution: int
    batch: int
    num_outputs: int = 1000
    in_channels: int = 3

    @property
    def train_flops(self) -> int:
        """Of one example, forward and backward."""
        counted = count(
            self.architecture,
            resolution=self.resolution,
            num_outputs=self.num_outputs,
            in_channels=self.in_channels,
        )
        return counted.train_flops_per_example


def plain_nfnet(depths: tuple[int, ...], channels: tuple[int, ...], *, group_size: int, num_classes: int) -> nn.Module:
    """timm's network of our small ladder's shape: one 3x3 convolution without a stride as the stem."""
    from timm.models.nfnet import NfCfg, NormFreeNet

    configured: Any = NfCfg  # annotated for its four stages, made for any number
    config = configured(
        depths=depths,
        channels=channels,
        stem_type="3x3",
        stem_chs=channels[0] // 2,
        group_size=group_size,
        bottle_ratio=0.5,
        extra_conv=True,
        gamma_in_act=True,
        same_padding=True,
        skipinit=True,
        num_features=2 * channels[-1],
        act_layer="gelu",
        attn_layer="se",
        attn_kwargs={"rd_ratio": 0.5, "rd_divisor": 1},
        ch_div=1,
    )
    network = NormFreeNet(config, num_classes=num_classes)
    stem: Any = network.stem
    stem.conv.stride = (1, 1)
    stages: Any = network.stages
    first: Any = stages[0][0]  # timm halves there once more
    first.conv2.stride, first.downsample.pool = (1, 1), nn.Identity()
    return network


def of_timm(name: str, num_classes: int, **options: Any) -> nn.Module:
    import timm

    return timm.create_model(name, num_classes=num_classes, **options)


TINY = Net(
    title="NFNet of 1 M, 32 px, batch 128",
    architecture="nfnet:w48-d1x2x6x3-g8-s1",
    theirs=functools.partial(plain_nfnet, (1, 2, 6, 3), (48, 96, 192, 192), group_size=8, num_classes=100),
    recipe="nfnet-short",
    resolution=32,
    batch=128,
    num_outputs=100,
)
F0 = Net(
    title="NFNet-F0, 192 px, batch 256",
    architecture="nfnet:F0",
    theirs=functools.partial(of_timm, "dm_nfnet_f0", 1000),
    recipe="nfnet-faithful",
    resolution=192,
    batch=256,
)
B16 = Net(
    title="ViT-B/16, 224 px, batch 256",
    architecture="vit:B/16",
    theirs=functools.partial(of_timm, "vit_base_patch16_224", 1000),
    recipe="vit-big-vision",
    resolution=224,
    batch=256,
)
TOY_NFNET = Net(
    title="toy NFNet, 16 px, batch 8",
    architecture="nfnet:w16-d1x1-g8-s1",
    theirs=functools.partial(plain_nfnet, (1, 1), (16, 32), group_size=8, num_classes=10),
    recipe="nfnet-short",
    resolution=16,
    batch=8,
    num_outputs=10,
)
TOY_VIT = Net(
    title="toy ViT, 16 px, batch 8",
    architecture="vit:w32-d2-p8",
    theirs=functools.partial(
        of_timm, "vit_tiny_patch16_224", 10, img_size=16, patch_size=8, embed_dim=32, depth=2, num_heads=1
    ),
    recipe="vit-short",
    resolution=16,
    batch=8,
    num_outputs=10,
)


def nets(*, toy: bool) -> tuple[Net, ...]:
    """Those that are timed, most telling first."""
    return (TOY_NFNET, TOY_VIT) if toy else (TINY, F0, B16)


def resident(net: Net, device: torch.device) -> tuple[Tensor, Tensor]:
    """uint8 images and labels of one batch, random, on the device."""
    torch.manual_seed(0)
    shape = (net.batch, net.in_channels, net.resolution, net.resolution)
    images = torch.randint(0, 256, shape, dtype=torch.uint8)
    return images.to(device), torch.randint(0, net.num_outputs, (net.batch,)).to(device)


def our_trial(net: Net, dtype: Dtype) -> TrialSpec:
    """A trial of ``net`` that never ends; where its data comes from is not asked."""
    return TrialSpec(
        architecture=net.architecture,
        data=DigitStringsSpec(),
        recipe=preset(net.recipe, peak_lr=0.1 if net.recipe.startswith("nfnet") else 1e-3),
        head=LinearHead(num_outputs=net.num_outputs),
        budget_flops=1e18,
        global_batch_size=net.batch,
        steps=1_000_000,
        dtype=dtype,
    )


def our_state(net: Net, spec: TrialSpec, device: torch.device) -> TrainState:
    shape: Any = SimpleNamespace(resolution=net.resolution, in_channels=net.in_channels)
    return build_state(spec, shape, device=device)


class OurStep:
    """A step as a trial takes it: images lie on the device, labels and what else a batch holds on the CPU.

    With ``graph`` it is the graph engine's, queued as in a trial. ``deterministic`` is what cuDNN is told before each
    step; nothing where it is left out.
    """

    def __init__(
        self,
        net: Net,
        device: torch.device,
        *,
        dtype: Dtype = "bfloat16",
        compiled: str | None = None,
        deterministic: bool | None = None,
        graph: bool = False,
    ) -> None:
        self.deterministic = deterministic
        spec = our_trial(net, dtype)
        self.state = our_state(net, spec, device)
        task = task_named(spec.task)
        self.update = GraphUpdate(spec, task, device=device) if graph else None
        self.step = LaggingStep(self.update) if self.update else TrainingStep(spec, task, device=device)
        if compiled is not None:
            self.state.model = torch.compile(self.state.model, backend=compiled)  # pyright: ignore[reportAttributeAccessIssue]
        images, labels = resident(net, device)
        numbers = np.arange(net.batch)
        self.batch = Batch(
            positions=numbers,
            epochs=np.zeros_like(numbers),
            ids=numbers,
            augment_keys=numbers.astype(np.uint64),
            fields={"image": images, "label": labels.cpu()},
            valid=torch.ones(net.batch, dtype=torch.bool),
        )

    def __call__(self) -> None:
        if self.deterministic is not None:
            torch.backends.cudnn.deterministic = self.deterministic
        if isinstance(self.step, LaggingStep):
            self.step.queue(self.state, self.batch)
            if self.step.is_full:
                assert all(report.finite for report in self.step.told(self.state, self.step.drained()))
        else:
            self.step(self.state, self.batch)

    @property
    def params(self) -> int:
        return sum(parameter.numel() for parameter in self.state.parameters.values())


class TimmStep:
    """timm's step as its training script takes it: bf16 autocast (or float32), its clipping, optimiser and average.

    Convolutional networks are channels-last; everything, labels too, lies on the device.
    """

    def __init__(self, net: Net, device: torch.device, *, compiled: str | None = None, half: bool = True) -> None:
        from timm.optim import create_optimizer_v2
        from timm.utils import ModelEmaV3

        torch.manual_seed(0)
        self.model = net.theirs().to(device).train()
        self.convolutional = net.architecture.startswith("nfnet")
        if self.convolutional:
            self.model = self.model.to(memory_format=torch.channels_last)
        options = {"opt": "sgd", "momentum": 0.9} if self.convolutional else {"opt": "adamw"}
        self.optimizer = create_optimizer_v2(self.model, lr=1e-3, weight_decay=2e-5, **options)  # pyright: ignore[reportArgumentType]
        self.average = ModelEmaV3(self.model, decay=0.9999)
        self.forward: Callable[[Tensor], Tensor] = self.model
        if compiled is not None:
            self.forward = torch.compile(self.model, backend=compiled)
        self.images, self.labels = resident(net, device)
        mean, std = NORMALISATION[net.in_channels]
        self.mean, self.std = (255 * torch.tensor(values, device=device).view(1, -1, 1, 1) for values in (mean, std))
        self.device, self.half = device, half

    def clip(self) -> None:
        from timm.models import model_parameters
        from timm.utils.agc import adaptive_clip_grad

        if self.convolutional:
            adaptive_clip_grad(model_parameters(self.model, exclude_head=True), 0.01)
        else:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)

    def __call__(self) -> None:
        images = self.images.float().sub_(self.mean).div_(self.std)
        if self.convolutional:
            images = images.contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            loss = F.cross_entropy(self.forward(images), self.labels)
        self.optimizer.zero_grad()
        loss.backward()
        self.clip()
        self.optimizer.step()
        self.average.update(self.model)

    @property
    def params(self) -> int:
        return sum(parameter.numel() for parameter in self.model.parameters())
