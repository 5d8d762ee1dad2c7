"""Attention on a CPU: torch's fused operator against the products written out, CPU seconds, in turn.

python -m benchmarks.attention
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.gpu.clock import quotient
from levelfield.families.vit.attention import _products as products

SHAPES = ((128, 4, 16, 16), (64, 3, 64, 64), (64, 12, 64, 16), (16, 6, 196, 64), (4, 6, 577, 64))
"""Batch, heads, tokens, width of a head."""

ROUNDS = 7
Form = Callable[[Tensor, Tensor, Tensor], Tensor]


def main() -> None:
    torch.set_num_threads(1)
    print("fused seconds over products' seconds, median [quartiles]; above 1 the products are faster\n")
    print("| batch x heads x tokens x width | dtype | forward and backward | forward alone |")
    print("|---|---|---|---|")
    for shape in SHAPES:
        for dtype in (torch.float32, torch.bfloat16):
            told = [_compared(shape, dtype, graded=graded) for graded in (True, False)]
            size = " x ".join(map(str, shape))
            print(f"| {size} | {str(dtype).removeprefix('torch.')} | {' | '.join(told)} |", flush=True)


def _compared(shape: tuple[int, int, int, int], dtype: torch.dtype, *, graded: bool) -> str:
    torch.manual_seed(0)
    inputs = [torch.randn(shape, dtype=dtype, requires_grad=graded) for _ in range(3)]
    seconds: dict[str, list[float]] = {"fused": [], "products": []}
    forms: dict[str, Form] = {"fused": F.scaled_dot_product_attention, "products": products}
    for number in range(-1, ROUNDS):
        for name in list(forms) if number % 2 else reversed(list(forms)):
            spent = _seconds(forms[name], inputs, graded=graded)
            if number >= 0:
                seconds[name].append(spent)
    assert statistics.median(seconds["fused"]) > 0
    return quotient(seconds["fused"], seconds["products"])


def _seconds(form: Form, inputs: list[Tensor], *, graded: bool) -> float:
    begun = time.process_time()
    for _ in range(3):
        with torch.set_grad_enabled(graded):
            answer = form(inputs[0], inputs[1], inputs[2])
        if graded:
            answer.sum().backward()
    return time.process_time() - begun


if __name__ == "__main__":
    main()
