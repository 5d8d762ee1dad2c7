"""AGC and global clipping against slow float64 references written from their sources."""

import math

import pytest
import torch

from levelfield.train.clipping import clip_adaptively, clip_globally, global_norm


def agc_by_hand(weight, gradient, clip_lambda, eps):
    """2102.06171 section 4, one output unit at a time, in float64."""
    weight, gradient = weight.double(), gradient.double().clone()
    rows = range(weight.shape[0]) if weight.ndim > 1 else [...]
    for unit, unit_gradient in [(weight[row], gradient[row]) for row in rows]:
        weight_norm = max(float(unit.pow(2).sum().sqrt()), eps)
        gradient_norm = float(unit_gradient.pow(2).sum().sqrt())
        if gradient_norm / weight_norm > clip_lambda:
            unit_gradient.mul_(clip_lambda * weight_norm / max(gradient_norm, 1e-6))
    return gradient


@pytest.mark.parametrize("shape", [(8, 4, 3, 3), (6, 5), (7,), ()])
@pytest.mark.parametrize("scale", [0.0, 1e-5, 1.0, 100.0])
def test_agc_equals_the_paper(shape, scale):
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(shape, generator=generator).mul(scale).requires_grad_()
    gradient = torch.randn(shape, generator=generator)
    weight.grad = gradient.clone()
    clip_adaptively([weight], clip_lambda=0.01, eps=1e-3)
    torch.testing.assert_close(
        weight.grad.double(), agc_by_hand(weight.detach(), gradient, 0.01, 1e-3), rtol=2e-6, atol=1e-12
    )


def test_a_zero_initialised_tensor_still_moves():
    gain = torch.zeros(()).requires_grad_()
    gain.grad = torch.tensor(5.0)
    clip_adaptively([gain], clip_lambda=0.01, eps=1e-3)
    assert gain.grad.item() == pytest.approx(0.01 * 1e-3)


def test_a_zero_gradient_stays_zero():
    weight = torch.ones(3, 2).requires_grad_()
    weight.grad = torch.zeros(3, 2)
    clip_adaptively([weight], clip_lambda=0.01)
    assert weight.grad.abs().max() == 0


def test_a_missing_gradient_is_an_error():
    with pytest.raises(ValueError, match="needs a gradient"):
        clip_adaptively([torch.ones(2).requires_grad_()], clip_lambda=0.01)


def test_global_clipping_scales_all_gradients_together():
    parameters = [torch.zeros(2).requires_grad_(), torch.zeros(3).requires_grad_()]
    for parameter, value in zip(parameters, (3.0, 4.0), strict=True):
        parameter.grad = torch.full_like(parameter, value)
    norm = global_norm(parameters)
    assert float(norm) == pytest.approx(math.sqrt(2 * 9 + 3 * 16))
    clip_globally(parameters, norm=norm, max_norm=1.0)
    assert float(global_norm(parameters)) == pytest.approx(1.0)
    clip_globally(parameters, norm=global_norm(parameters), max_norm=5.0)
    assert float(global_norm(parameters)) == pytest.approx(1.0)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_gradient_that_is_not_finite_shows_in_the_norm(bad):
    parameter = torch.zeros(4).requires_grad_()
    parameter.grad = torch.tensor([1.0, bad, 0.0, 0.0])
    assert not math.isfinite(float(global_norm([parameter])))
