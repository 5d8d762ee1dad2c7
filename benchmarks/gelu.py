"""gelu on a CPU, forward and backward: torch's by tanh against its erf and SiLU, and the lean engine's kernel, in turn.

python -m benchmarks.gelu
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.gpu.clock import quotient
from levelfield.families.gelu import gelu, gelu_by
from levelfield.native.library import kernels

SHAPES = ((64, 16, 16, 192), (128, 8, 8, 96))
ROUNDS = 9


def _by_kernel(x: Tensor) -> Tensor:
    with gelu_by(kernels()):
        return gelu(x, approximate="tanh")


FORMS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": lambda x: F.gelu(x, approximate="tanh"),
    "erf": F.gelu,
    "SiLU": F.silu,
    "kernel": _by_kernel,
}


def main() -> None:
    torch.set_num_threads(1)
    assert kernels() is not None, "the kernels need a C compiler"
    print("seconds of torch's gelu by tanh over those of each, median [quartiles]; above 1 is faster\n")
    print("| numbers | dtype | erf | SiLU | the kernel |\n|---|---|---|---|---|")
    for shape in SHAPES:
        for dtype in (torch.float32, torch.bfloat16):
            seconds = _interleaved(torch.randn(shape).mul(2).to(dtype))
            told = " | ".join(quotient(seconds["tanh"], seconds[name]) for name in ("erf", "SiLU", "kernel"))
            print(f"| {' x '.join(map(str, shape))} | {str(dtype).removeprefix('torch.')} | {told} |", flush=True)


def _interleaved(x: Tensor) -> dict[str, list[float]]:
    gradient, x = torch.randn_like(x), x.requires_grad_()
    found: dict[str, list[float]] = {name: [] for name in FORMS}
    for number in range(-1, ROUNDS):
        for name in list(FORMS) if number % 2 else reversed(list(FORMS)):
            begun = time.process_time()
            for _ in range(4):
                FORMS[name](x).backward(gradient)
            if number >= 0:
                found[name].append(time.process_time() - begun)
    return found


if __name__ == "__main__":
    main()
