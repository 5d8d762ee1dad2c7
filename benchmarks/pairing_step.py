"""A training step on pairs, ours against open_clip's own: the same towers, batch, loss and optimiser, on a CPU.

    python -m benchmarks.pairing_step

open_clip builds its model (a timm image tower, its own text tower), computes its loss by its own module and steps by
torch's AdamW with a clipped norm and a capped factor, as its training loop does (open_clip_train/train.py, params of
``get_default_params``). Ours are the towers of ``timm:`` and :mod:`levelfield.families.texts`, with what a trial does
beside: weights averaged, the finite check. CPU seconds of one thread, in turn, in one process; the ratio by rounds.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from levelfield.data.loader import Batch
from levelfield.data.transforms import to_float
from levelfield.families.registry import build, parameter_role
from levelfield.records.data import DigitPairsSpec
from levelfield.records.execution import Execution
from levelfield.records.fields import FieldFacts
from levelfield.records.trial import TrialSpec
from levelfield.study.plan.recipes import preset
from levelfield.tasks.image_text import ImageText
from levelfield.train.device import compute_as_recorded
from levelfield.train.engine.registry import engine_here, parameter_side
from levelfield.train.policy import policy_table
from levelfield.train.state import TrainState
from levelfield.train.step import TrainingStep

CPU = torch.device("cpu")
ROUNDS = 9
SIDE, CONTEXT, VOCABULARY, BATCH = 64, 32, 4096, 64
WIDTH, DEPTH, HEADS, EMBEDDING = 192, 4, 3, 192
TOWERS = (
    ("ViT, width 192, 12 blocks, patches of 8", "vit_tiny_patch16_224", {"img_size": SIDE, "patch_size": 8}),
    ("ResNet-10t", "resnet10t", {}),
)


class OpenClips:
    """open_clip's model and its own step."""

    def __init__(self, name: str, arguments: dict[str, Any]) -> None:
        import open_clip
        import timm
        from open_clip.loss import SigLipLoss
        from open_clip.transformer import TextTransformer

        torch.manual_seed(0)
        image: Any = timm.create_model(name, num_classes=0, **arguments)
        text = TextTransformer(
            context_length=CONTEXT,
            vocab_size=VOCABULARY,
            width=WIDTH,
            heads=HEADS,
            layers=DEPTH,
            output_dim=EMBEDDING,
        )
        self.model: Any = open_clip.model.CustomTextCLIP.__new__(open_clip.model.CustomTextCLIP)
        nn.Module.__init__(self.model)
        self.model.output_dict = False
        self.model.visual = nn.Sequential(image, nn.Linear(image.num_features, EMBEDDING, bias=False))
        self.model.text = text
        self.model.logit_scale = nn.Parameter(torch.tensor(math.log(10.0)))
        self.model.logit_bias = nn.Parameter(torch.tensor(-10.0))
        self.model.train()
        self.loss = SigLipLoss()
        decayed = [each for each in self.model.parameters() if each.ndim > 1]
        others = [each for each in self.model.parameters() if each.ndim <= 1]
        groups = [{"params": decayed, "weight_decay": 0.2}, {"params": others, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.98), eps=1e-6)

    def __call__(self, images: Tensor, texts: Tensor) -> None:
        self.optimizer.zero_grad()
        image, text, scale, bias = self.model(to_float(images), texts)
        loss = self.loss(image, text, scale, bias)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        with torch.no_grad():
            self.model.logit_scale.clamp_(0, math.log(100))
        loss.item()


class Ours:
    """A trial's step on the same towers, by the engine that a trial takes here or by the plain one."""

    def __init__(self, name: str, arguments: dict[str, Any], *, engine: str) -> None:
        said = "".join(f",{key}={value}" for key, value in arguments.items() if key != "img_size")
        architecture = f"timm:{name}{said}"
        task = ImageText(width=WIDTH, depth=DEPTH, heads=HEADS, embedding=EMBEDDING)
        head = task.head(FieldFacts(vocabulary=VOCABULARY, context=CONTEXT))
        spec = TrialSpec(
            architecture=architecture,
            data=DigitPairsSpec(),
            recipe=preset("vit-short", peak_lr=1e-3),
            head=head,
            budget_flops=1e12,
            global_batch_size=BATCH,
            steps=10**6,
            task="image_text",
        )
        torch.manual_seed(0)
        model = build(architecture, resolution=SIDE, head=head).train()
        roles = {each: parameter_role(architecture, each) for each, _ in model.named_parameters()}
        self.state = TrainState(model, spec, policy_table(dict(model.named_parameters()), roles, spec.recipe))
        ran, version = engine_here("auto" if engine == "shipped" else "plain", CPU)
        execution = Execution(engine=ran, engine_version=version, device="cpu", torch_version=str(torch.__version__))
        self.step = TrainingStep(spec, task, device=CPU, side=parameter_side(spec, execution))
        places = np.arange(BATCH, dtype=np.int64)
        self.rows = {"positions": places, "epochs": 0 * places, "ids": places, "augment_keys": places.astype(np.uint64)}

    def __call__(self, images: Tensor, texts: Tensor) -> None:
        fields = {"image": images, "text": texts[:, None].to(torch.int32)}
        batch = Batch(**self.rows, fields=fields, valid=torch.ones(BATCH, dtype=torch.bool))
        assert self.step(self.state, batch).finite


def main() -> None:
    torch.set_num_threads(1)
    compute_as_recorded()
    drawn = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (BATCH, 3, SIDE, SIDE), dtype=torch.uint8, generator=drawn)
    texts = torch.randint(1, VOCABULARY - 1, (BATCH, CONTEXT), generator=drawn)
    texts[:, -1] = VOCABULARY - 1
    print("| towers | engine | open_clip over ours | quartiles |\n|---|---|---|---|", flush=True)
    for title, name, arguments in TOWERS:
        steps: dict[str, Callable[[Tensor, Tensor], None]] = {
            "open_clip": OpenClips(name, arguments),
            "plain": Ours(name, arguments, engine="plain"),
            "shipped": Ours(name, arguments, engine="shipped"),
        }
        seconds: dict[str, list[float]] = {each: [] for each in steps}
        for number in range(ROUNDS + 2):
            for each in list(steps) if number % 2 else reversed(list(steps)):
                begun = time.process_time()
                steps[each](images, texts)
                if number > 1:
                    seconds[each].append(time.process_time() - begun)
        for engine in ("plain", "shipped"):
            ratios = [theirs / ours for theirs, ours in zip(seconds["open_clip"], seconds[engine], strict=True)]
            low, middle, high = statistics.quantiles(ratios, n=4)
            print(f"| {title} | {engine} | {middle:.2f} | {low:.2f} to {high:.2f} |", flush=True)


if __name__ == "__main__":
    main()
