"""The kernels as Python calls them: their table of tensors, and gelu on tensors of torch."""

from __future__ import annotations

import ctypes
import functools
import logging
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from levelfield.native.build import NoCompilerError, built_library

logger = logging.getLogger(__name__)

FACTS = 8
"""Numbers of scratch that a row takes."""
SCALE = 4
"""Which of them is what adaptive clipping has multiplied the row's gradient by."""


class TensorRow(ctypes.Structure):
    """``Tensor`` of kernels.c, field by field."""

    _fields_ = (
        ("weight", ctypes.c_uint64),
        ("momentum", ctypes.c_uint64),
        ("square", ctypes.c_uint64),
        ("average", ctypes.c_uint64),
        ("gradient", ctypes.c_uint64),
        ("gain", ctypes.c_uint64),
        ("gain_gradient", ctypes.c_uint64),
        ("standardised", ctypes.c_uint64),
        ("facts", ctypes.c_uint64),
        ("rows", ctypes.c_int64),
        ("size", ctypes.c_int64),
        ("input_scale", ctypes.c_float),
        ("floor", ctypes.c_float),
        ("added", ctypes.c_float),
        ("clip_lambda", ctypes.c_float),
        ("clip_eps", ctypes.c_float),
        ("decay", ctypes.c_float),
        ("rate", ctypes.c_float),
        ("gradient_bfloat16", ctypes.c_int32),
        ("standardised_bfloat16", ctypes.c_int32),
    )


TENSOR_ROW = np.dtype(TensorRow)


@dataclass(frozen=True, kw_only=True, eq=False)
class Kernels:
    """The library, and the ``identity`` of its code."""

    identity: str
    _library: Any

    def standardise(self, table: np.ndarray[Any, Any]) -> None:
        """Write the standardised weights of a table of :data:`TENSOR_ROW` [count]."""
        self._library.standardise(_address(table), len(table))

    def measure(self, table: np.ndarray[Any, Any]) -> tuple[float, int]:
        """The sum of the squares of all gradients, and how many units are clipped."""
        clipped = ctypes.c_int64()
        return self._library.measure(_address(table), len(table), ctypes.byref(clipped)), clipped.value

    def update(
        self, table: np.ndarray[Any, Any], *, scale: float, momentum: float, nesterov: bool, taken: float
    ) -> None:
        """A step of SGD by the gradients that were measured, all of them times ``scale``."""
        self._library.update(_address(table), len(table), scale, momentum, int(nesterov), taken)

    def update_adam(
        self,
        table: np.ndarray[Any, Any],
        *,
        scale: float,
        betas: tuple[float, float],
        step: int,
        eps: float,
        taken: float,
    ) -> None:
        """Step number ``step`` (1-based) of AdamW by the gradients that were measured, all of them times ``scale``."""
        shares = 1 - betas[0], betas[1], 1 - betas[1]
        unbiased = 1 / (1 - betas[0] ** step), 1 / math.sqrt(1 - betas[1] ** step)
        self._library.update_adam(_address(table), len(table), scale, *shares, *unbiased, eps, taken)

    def gelu(self, x: Tensor) -> Tensor:
        """gelu by its tanh, of float32 or bfloat16 on the CPU, dense in memory."""
        y = torch.empty_like(x)
        call = self._library.gelu_bfloat16 if x.dtype == torch.bfloat16 else self._library.gelu_float
        call(x.data_ptr(), y.data_ptr(), x.numel())
        return y

    def gelu_backward(self, x: Tensor, gradient: Tensor) -> Tensor:
        """The gradient of :meth:`gelu` at ``x``, whose layout ``gradient`` has."""
        y = torch.empty_like(x)
        half = x.dtype == torch.bfloat16
        call = self._library.gelu_backward_bfloat16 if half else self._library.gelu_backward_float
        call(x.data_ptr(), gradient.data_ptr(), y.data_ptr(), x.numel())
        return y


@functools.cache
def kernels() -> Kernels | None:
    """The kernels of this machine; None where they cannot be built, which is said in the log."""
    try:
        path, identity = built_library()
        library = ctypes.CDLL(str(path))
    except (NoCompilerError, OSError) as error:
        logger.info("no kernels of our own: %s", error)
        return None
    pointer, count, real, whole = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float, ctypes.c_int32
    library.standardise.argtypes = (pointer, count)
    library.measure.argtypes, library.measure.restype = (pointer, count, pointer), ctypes.c_double
    library.update.argtypes = (pointer, count, real, real, whole, real)
    library.update_adam.argtypes = (pointer, count, *(real,) * 8)
    for name in ("gelu_float", "gelu_bfloat16"):
        getattr(library, name).argtypes = (pointer, pointer, count)
    for name in ("gelu_backward_float", "gelu_backward_bfloat16"):
        getattr(library, name).argtypes = (pointer, pointer, pointer, count)
    return Kernels(identity=identity, _library=library)


def _address(table: np.ndarray[Any, Any]) -> int:
    assert table.dtype == TENSOR_ROW
    assert table.flags.c_contiguous
    return table.ctypes.data
