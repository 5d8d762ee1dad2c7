"""Attention in either form is one function, and each form is taken where it is the faster."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from levelfield.families.vit import attention as room
from levelfield.families.vit.attention import attention

SHAPES = [(2, 3, 17, 17, 16), (3, 2, 1, 50, 8), (1, 1, 4, 4, 64)]


def _inputs(shape: tuple[int, ...], dtype: torch.dtype) -> list[Tensor]:
    torch.manual_seed(0)
    batch, heads, queries, tokens, width = shape
    drawn = [torch.randn(batch, heads, length, width, dtype=torch.float64) for length in (queries, tokens, tokens)]
    return [each.to(dtype).requires_grad_() for each in drawn]


def _forward_and_gradients(form, shape: tuple[int, ...], dtype: torch.dtype) -> list[Any]:
    inputs = _inputs(shape, dtype)
    answer = form(*inputs)
    answer.backward(torch.cos(torch.arange(answer.numel())).view(answer.shape).to(dtype))
    return [answer.detach(), *(each.grad for each in inputs)]


@pytest.mark.parametrize("shape", SHAPES)
def test_products_are_attention_to_the_rounding_of_float64(shape):
    seen = _forward_and_gradients(room._products, shape, torch.float64)
    wanted = _forward_and_gradients(F.scaled_dot_product_attention, shape, torch.float64)
    for one, two in zip(seen, wanted, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_in_bfloat16_products_err_no_more_than_timms_under_autocast(shape):
    exact = _forward_and_gradients(F.scaled_dot_product_attention, shape, torch.float64)
    theirs = _forward_and_gradients(_as_timm_writes_it, shape, torch.bfloat16)
    seen = _forward_and_gradients(attention, shape, torch.bfloat16)
    for one, other, right in zip(seen, theirs, exact, strict=True):
        off, theirs_off = ((each.double() - right).norm() for each in (one, other))
        assert off <= 1.05 * theirs_off + 5e-4 * right.norm()


def _as_timm_writes_it(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """timm/layers/attention.py, Attention.forward without its fused form, under autocast."""
    with torch.autocast("cpu", torch.bfloat16):
        return (query * query.shape[-1] ** -0.5 @ key.transpose(-2, -1)).softmax(dim=-1) @ value


@pytest.mark.parametrize(
    ("dtype", "graded", "written_out"),
    [(torch.bfloat16, True, True), (torch.bfloat16, False, False), (torch.float32, True, False)],
)
def test_products_are_written_out_where_a_gradient_is_wanted_in_bfloat16_alone(monkeypatch, dtype, graded, written_out):
    taken = []
    products = room._products
    monkeypatch.setattr(room, "_products", lambda *each: taken.append(True) or products(*each))
    with torch.set_grad_enabled(graded):
        attention(*_inputs(SHAPES[0], dtype))
    assert bool(taken) == written_out
