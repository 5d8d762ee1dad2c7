"""Attention by the form that is fastest where it runs; all forms are the same function, to rounding.

torch's fused attention is the fastest everywhere but in one place: with a gradient, in bfloat16, on a CPU, it takes 1.1
to 4 times as long as the products written out (577 to 16 tokens, heads of 64 and 16). Without a gradient, and in
float32, it does not. Source: benchmarks/results/attention_cpu_202611.md.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """softmax(query key^T / sqrt(head width)) value: (batch, heads, queries, width) and two of (batch, heads, tokens,
    width) to the first's shape."""
    if _in_products(query):
        return _products(query, key, value)
    return F.scaled_dot_product_attention(query, key, value)


def _in_products(query: Tensor) -> bool:
    """Whether a gradient is wanted, on a CPU, in bfloat16. What is exported or compiled keeps the fused operator."""
    if query.device.type != "cpu" or torch.compiler.is_compiling() or torch.jit.is_tracing():
        return False
    return query.dtype == torch.bfloat16 and torch.is_grad_enabled() and query.requires_grad


def _products(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    batch, heads, queries, width = query.shape
    rows, columns, held = (each.reshape(batch * heads, -1, width) for each in (query, key, value))
    unused = rows.new_empty(1).expand(batch * heads, queries, key.shape[2])
    scores = torch.baddbmm(unused, rows, columns.transpose(1, 2), beta=0, alpha=width**-0.5)
    shares = (
        scores.softmax(-1, dtype=torch.float32).to(held.dtype) if held.dtype == torch.bfloat16 else scores.softmax(-1)
    )
    return torch.bmm(shares, held).view(batch, heads, queries, width)
