"""Time on a device: blocks of calls between synchronisations, variants in turn, medians."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

Call = Callable[[], object]
MOST_TO_LAUNCH_S = 50e-6
CALLS_A_GRAPH = 20


def synchronise(device: torch.device) -> None:
    """Wait for the device's queue."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds_of(call: Call, device: torch.device, times: int) -> float:
    """Wall seconds a call, over ``times`` of them and the end of what they queued."""
    synchronise(device)
    begun = time.perf_counter()
    for _ in range(times):
        call()
    synchronise(device)
    return (time.perf_counter() - begun) / times


def median_seconds(call: Call, device: torch.device, *, block_s: float, blocks: int = 5, warm: int = 3) -> float:
    """The median over blocks of about ``block_s``, after ``warm`` calls and one that sets the length of a block."""
    seconds_of(call, device, warm)
    times = _times(seconds_of(call, device, 1), block_s)
    return statistics.median(seconds_of(call, device, times) for _ in range(blocks))


def kernel_seconds(call: Call, device: torch.device, *, block_s: float) -> float:
    """:func:`median_seconds` of what the device does: where launching may take longer, launches are one graph."""
    seconds = median_seconds(call, device, block_s=block_s)
    if device.type != "cuda" or seconds > MOST_TO_LAUNCH_S:
        return seconds
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(CALLS_A_GRAPH):
            call()
    return median_seconds(graph.replay, device, block_s=block_s) / CALLS_A_GRAPH


def interleaved(
    variants: Mapping[str, Call], device: torch.device, *, block_s: float, rounds: int
) -> dict[str, list[float]]:
    """Seconds a call of each variant, a number a round; the order turns around with every round."""
    times = {name: _times(seconds_of(call, device, 2), block_s) for name, call in variants.items()}
    found: dict[str, list[float]] = {name: [] for name in variants}
    for number in range(rounds):
        for name in list(variants) if number % 2 else reversed(list(variants)):
            found[name].append(seconds_of(variants[name], device, times[name]))
    return found


def quotient(slower: list[float], faster: list[float]) -> str:
    """How many times as fast the second is, round by round: median and quartiles."""
    ratios = sorted(one / two for one, two in zip(slower, faster, strict=True))
    low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive") if len(ratios) > 1 else 3 * ratios
    return f"{middle:.2f} [{low:.2f}-{high:.2f}]"


def host_share(call: Call, device: torch.device, wall_s: float, *, times: int = 3) -> float | None:
    """The share of ``wall_s`` in which no kernel runs: the host holds the device up; None where no kernel is seen."""
    if device.type != "cuda":
        return None
    with profile(activities=[ProfilerActivity.CUDA]) as seen:
        seconds_of(call, device, times)
    spans = sorted(
        (event.time_range.start, event.time_range.end)
        for event in seen.events() or ()
        if event.device_type == DeviceType.CUDA and not event.is_user_annotation
    )
    busy, reached = 0.0, float("-inf")
    for start, end in spans:
        busy += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return max(0.0, 1 - busy / 1e6 / times / wall_s) if spans else None


def _times(seconds: float, block_s: float) -> int:
    return max(1, min(1000, round(block_s / max(seconds, 1e-7))))
