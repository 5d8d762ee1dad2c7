"""The kernels against torch in double precision, and how they come to be built."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from levelfield.families.gelu import gelu, gelu_by
from levelfield.native import build
from levelfield.native.build import NoCompilerError, built_library
from levelfield.native.library import kernels

EDGES = [0.0, -0.0, 1e-30, -1e-30, 1e-3, 5.0, -5.0, 13.0, -13.0, 1e4, -1e4, 1e8, -1e8]
NOTHING = [float("nan"), float("inf"), float("-inf")]


@pytest.fixture(autouse=True)
def _needs_kernels() -> None:
    if kernels() is None:
        pytest.skip("no C compiler is installed")


def _inputs(dtype: torch.dtype) -> Tensor:
    torch.manual_seed(0)
    return torch.cat([torch.tensor(EDGES), 4 * torch.randn(1021), torch.linspace(-8, 8, 500)]).to(dtype)


@pytest.mark.parametrize(("dtype", "rounding"), [(torch.float32, 3e-7), (torch.bfloat16, 2**-8)])
def test_gelu_is_torchs_by_tanh_to_rounding_in_value_and_slope(dtype: torch.dtype, rounding: float) -> None:
    x = _inputs(dtype)
    exact, seen = x.double().requires_grad_(), x.clone().requires_grad_()
    wanted = F.gelu(exact, approximate="tanh")
    with gelu_by(kernels()):
        found = gelu(seen, approximate="tanh")
    slope = torch.linspace(-2, 2, len(x)).to(dtype)
    wanted.backward(slope.double())
    found.backward(slope)
    assert found.grad_fn is not None
    assert "Gelu" in type(found.grad_fn).__name__
    assert "GeluBackward0" not in type(found.grad_fn).__name__
    torch.testing.assert_close(found.double(), wanted, rtol=rounding, atol=3 * rounding)
    assert seen.grad is not None
    torch.testing.assert_close(seen.grad.double(), exact.grad, rtol=3 * rounding, atol=24 * rounding)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_is_no_number_stays_none(dtype: torch.dtype) -> None:
    x = torch.tensor([NOTHING[0]] * 40, dtype=dtype, requires_grad=True)
    with gelu_by(kernels()):
        y = gelu(x, approximate="tanh")
    y.sum().backward()
    assert y.isnan().all()
    assert x.grad is not None
    assert x.grad.isnan().all()


def test_torchs_own_operator_is_taken_where_the_kernels_do_not_know_the_tensor() -> None:
    x = torch.randn(6, 8, dtype=torch.float64)
    with gelu_by(kernels()):
        for other in (x, x.float().t(), x.float()[:, ::2]):
            assert torch.equal(gelu(other, approximate="tanh"), F.gelu(other, approximate="tanh"))
        assert torch.equal(gelu(x.float(), approximate="none"), F.gelu(x.float()))


@pytest.mark.slow
def test_a_library_that_was_cut_short_is_built_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LEVELFIELD_CACHE", str(tmp_path))
    path, identity = built_library()
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    again, same = built_library()
    assert (again, same) == (path, identity)
    assert len(again.read_bytes()) == len(whole)


def test_a_library_that_is_whole_is_not_built_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LEVELFIELD_CACHE", str(tmp_path))
    path, _ = built_library()
    seen = os.stat(path)
    monkeypatch.setattr(build, "_build", lambda *_: pytest.fail("it was built again"))
    built_library()
    assert os.stat(path).st_ino == seen.st_ino


@pytest.mark.slow
def test_without_a_compiler_there_are_no_kernels_and_that_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build.shutil, "which", lambda _: None)
    with pytest.raises(NoCompilerError, match="no C compiler"):
        built_library()
    told = "from levelfield.native.library import kernels; print(kernels())"
    environment = {**os.environ, "PATH": "/nowhere", "CC": ""}
    ended = subprocess.run([sys.executable, "-c", told], env=environment, capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "None"


def test_a_compiler_that_refuses_is_quoted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "kernels.c"
    broken.write_text("this is no C\n")
    monkeypatch.setattr(build, "SOURCE", broken)
    monkeypatch.setenv("LEVELFIELD_CACHE", str(tmp_path / "cache"))
    with pytest.raises(NoCompilerError, match="refuses"):
        built_library()
