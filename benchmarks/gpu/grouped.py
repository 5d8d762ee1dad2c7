"""Grouped 3x3 convolutions against dense ones: forward, and the gradients of the data and of the weight."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Literal, TypeAlias

import torch
import torch.nn.functional as F

from benchmarks.gpu.clock import kernel_seconds
from benchmarks.gpu.rows import Figure, Row, Seen, Setting

Pass: TypeAlias = Literal["forward", "data gradient", "weight gradient"]
PASSES: tuple[Pass, ...] = ("forward", "data gradient", "weight gradient")
LAYOUTS = {"NHWC": torch.channels_last, "NCHW": torch.contiguous_format}


def rows(setting: Setting, peaks: dict[str, float]) -> Iterator[Row]:
    """A row a shape, layout, choice of cuDNN's and pass; the layout that our networks use comes first."""
    shapes = ((16, 8, 2),) if setting.toy else ((256, 24, 256), (384, 8, 256))
    widths = (8, 16) if setting.toy else (8, 16, 32, 64, 128)
    for layout, tried in (("NHWC", True), ("NHWC", False), ("NCHW", True)):
        for channels, side, batch in shapes:
            for which in PASSES:
                title = f"grouped 3x3 {which}, {channels} x {side} x {side}, batch {batch}, bf16 {layout}, "
                title += f"cudnn.benchmark {'on' if tried else 'off'}"
                shape = (batch, channels, side)
                yield Row(title=title, measure=_measuring(setting, shape, widths, layout, which, tried, peaks))


def _measuring(
    setting: Setting,
    shape: tuple[int, int, int],
    widths: tuple[int, ...],
    layout: str,
    which: Pass,
    tried: bool,
    peaks: dict[str, float],
) -> Callable[[], Seen]:
    def measure() -> Seen:
        channels = shape[1]
        dense, _ = _seconds(setting, shape, channels, layout, which, tried)
        figures: dict[str, Figure] = {"dense ms": 1e3 * dense, "dense TFLOP/s": _flops(shape, channels) / dense / 1e12}
        for width in (width for width in widths if width < channels):
            seconds, moved = _seconds(setting, shape, width, layout, which, tried)
            figures[f"w{width} TFLOP/s"] = _flops(shape, width) / seconds / 1e12
            figures[f"w{width} ms"] = 1e3 * seconds
            figures[f"w{width} / dense"] = seconds / dense
            if peaks:
                floor = max(_flops(shape, width) / peaks["FLOP/s"], moved / peaks["B/s"])
                figures[f"w{width} / floor"] = seconds / floor
        return Seen(figures=figures)

    return lambda: _in_a_thread(measure)


def _flops(shape: tuple[int, int, int], width: int) -> float:
    batch, channels, side = shape
    return 2.0 * batch * side * side * channels * width * 9


def _seconds(
    setting: Setting, shape: tuple[int, int, int], width: int, layout: str, which: Pass, tried: bool
) -> tuple[float, float]:
    """Seconds a call, and the bytes that it must move: each operand and the result once."""
    batch, channels, side = shape
    options = {"device": setting.device, "dtype": torch.bfloat16}
    images = torch.randn(batch, channels, side, side, **options).to(memory_format=LAYOUTS[layout])
    weight = torch.randn(channels, width, 3, 3, **options).to(memory_format=LAYOUTS[layout])
    grad = torch.randn_like(images)
    groups = channels // width
    geometry = ([1, 1], [1, 1], [1, 1], False, [0, 0], groups)
    mask = [which == "data gradient", which == "weight gradient", False]

    def call() -> object:
        if which == "forward":
            return F.conv2d(images, weight, None, 1, 1, 1, groups)
        return torch.ops.aten.convolution_backward(grad, images, weight, None, *geometry, mask)

    torch.backends.cudnn.benchmark = tried
    seconds = kernel_seconds(call, setting.device, block_s=0.001 if setting.toy else 0.015)
    return seconds, 2.0 * (2 * images.numel() + weight.numel())


def _in_a_thread(measure: Callable[[], Seen]) -> Seen:
    """cuDNN's plans are kept a thread and a shape, whichever way they were found: a row must not inherit another's."""
    found: list[Seen | Exception] = []

    def run() -> None:
        try:
            found.append(measure())
        except Exception as error:  # carried over to the row
            found.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if isinstance(found[0], Exception):
        raise found[0]
    return found[0]
