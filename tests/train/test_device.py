"""A trial computes what its record says, and the same when it is repeated, whatever torch's defaults are."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F

from levelfield.data.sources import open_source
from levelfield.records.data import DigitPairsSpec
from levelfield.records.head import LinearHead
from levelfield.records.store import TrialDirectory
from levelfield.records.trial import TrialSpec
from levelfield.study.execute.trial import run_trial
from levelfield.study.plan.recipes import preset
from levelfield.train.device import resolve_device


@pytest.fixture
def anything_goes():
    """As torch begins with convolutions, and as some set it for speed."""
    before = setting()
    set_to(True, True, False, True)
    yield
    set_to(*before)


def setting() -> tuple[bool, ...]:
    """TF32 in convolutions and in products, one order of sums, kernels chosen by the clock."""
    cudnn = torch.backends.cudnn
    return cudnn.allow_tf32, bool(torch.backends.cuda.matmul.allow_tf32), cudnn.deterministic, cudnn.benchmark


def set_to(convolutions: bool, products: bool, deterministic: bool, benchmark: bool) -> None:
    torch.backends.cudnn.allow_tf32 = convolutions
    torch.backends.cuda.matmul.allow_tf32 = products
    torch.backends.cudnn.deterministic = deterministic
    torch.backends.cudnn.benchmark = benchmark


AS_RECORDED = (False, False, True, False)


def test_a_device_is_set_up_to_compute_float32_in_float32_and_in_one_order(anything_goes):
    assert setting() == (True, True, False, True)
    resolve_device("cpu")
    assert setting() == AS_RECORDED


def test_a_trial_computes_as_recorded_whoever_runs_it(anything_goes, tmp_path):
    data = DigitPairsSpec(resolution=16, select_examples=8, report_examples=8)
    spec = TrialSpec(
        architecture="nfnet:w4-d1-s4",
        data=data,
        recipe=preset("nfnet-short", peak_lr=0.1),
        head=LinearHead(num_outputs=100),
        budget_flops=1e6,
        global_batch_size=4,
        steps=1,
    )
    run_trial(spec, TrialDirectory(tmp_path), open_source(data), device=torch.device("cpu"))
    assert setting() == AS_RECORDED


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_convolutions_and_products_on_a_gpu_are_off_by_rounding_alone(anything_goes):
    device = resolve_device("cuda")
    torch.manual_seed(0)
    images, kernel, matrix = torch.randn(8, 64, 16, 16), torch.randn(64, 64, 3, 3), torch.randn(512, 512)
    calls: list[tuple[Callable[..., torch.Tensor], tuple[torch.Tensor, ...]]]
    calls = [(F.conv2d, (images, kernel)), (torch.matmul, (matrix, matrix))]
    for call, tensors in calls:
        wanted = call(*(tensor.double() for tensor in tensors))
        seen = call(*(tensor.to(device) for tensor in tensors)).cpu()
        assert (seen - wanted).norm() / wanted.norm() < 1e-5  # TF32 is off by 3e-4
