"""How fast is the device, and how fast is training on it beside timm's, eager and compiled."""

from __future__ import annotations

import gc
import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch

from benchmarks.gpu import grouped, side_by_side
from benchmarks.gpu.apart import Apart, Turn
from benchmarks.gpu.clock import host_share, interleaved, median_seconds, quotient, seconds_of, synchronise
from benchmarks.gpu.nets import Net, OurStep, TimmStep, nets
from benchmarks.gpu.rows import Deadline, Figure, Row, Seen, Setting
from levelfield.train.device import compute_as_recorded
from levelfield.train.engine.graph.step import captured

Step = OurStep | TimmStep


def rows(setting: Setting, deadline: Deadline) -> Iterator[Row]:
    """Peaks, eager steps, grouped convolutions, trials side by side, then what has to be compiled first."""
    peaks: dict[str, float] = {}
    timed = nets(toy=setting.toy)
    yield Row(title="measured peaks", measure=lambda: measured_peaks(setting, peaks))
    for net in timed:
        yield Row(
            title=f"{net.title}: ours and timm eager, bf16, cudnn.benchmark on for both",
            measure=partial(eager, setting, net, peaks),
            needs_s=10.0,
        )
    for net in timed:
        yield Row(
            title=f"{net.title}: the graph engine, our plain step and timm eager, bf16",
            measure=partial(graphed, setting, net, peaks),
            needs_s=12.0,
        )
        title = f"{net.title}: the graph engine's parameter side"
        yield Row(title=title, measure=partial(parameter_side, setting, net), needs_s=8.0)
    yield Row(
        title=f"{timed[0].title}: processes side by side, float32 as in study 0002",
        measure=lambda: side_by_side.measure(setting, deadline, timed[0], "float32"),
        needs_s=20.0,
    )
    yield from grouped.rows(setting, peaks)
    apart = (
        timed[:1] if setting.toy else sorted(timed, key=lambda net: net.architecture == "nfnet:F0")
    )  # compiles longest
    shipped = [
        Row(
            title=f"{net.title}: ours as shipped (kernels of one order) and as torch begins, bf16",
            measure=partial(_apart, deadline, as_shipped, setting, net, peaks),
            needs_s=12.0,
        )
        for net in apart
    ]
    yield shipped[0]
    yield from _compiled_rows(setting, deadline, apart, peaks, ours=False)
    yield from shipped[1:]
    yield from _compiled_rows(setting, deadline, apart, peaks, ours=True)


def _compiled_rows(
    setting: Setting, deadline: Deadline, timed: Sequence[Net], peaks: dict[str, float], *, ours: bool
) -> Iterator[Row]:
    """All networks compile at once, in processes of their own, and are then timed one at a time."""
    there_is_time = deadline.left() >= 20
    begun = {net: Apart(compiled, setting, net, peaks, ours) for net in timed if there_is_time}
    whose = "ours" if ours else "timm"
    try:
        for net in timed:
            yield Row(
                title=f"{net.title}: {whose} compiled against {whose} eager, bf16",
                measure=lambda net=net: begun[net].seen(deadline),
                needs_s=0.0 if begun else float("inf"),
            )
    finally:
        for process in begun.values():
            process.end()


def _apart(deadline: Deadline, measure: Callable[..., Mapping[str, Figure]], *arguments: object) -> Seen:
    return Apart(measure, *arguments).seen(deadline)


def measured_peaks(setting: Setting, peaks: dict[str, float]) -> Seen:
    """A large bf16 matrix product and a large copy, on random data; they are left in ``peaks``."""
    side, length = (256, 1 << 20) if setting.toy else (8192, 1 << 30)
    one, two = (torch.randn(side, side, device=setting.device, dtype=torch.bfloat16) for _ in range(2))
    block_s = 0.01 if setting.toy else 0.2
    product = median_seconds(lambda: one @ two, setting.device, block_s=block_s)
    source = torch.randint(0, 256, (length,), dtype=torch.uint8, device=setting.device)
    target = torch.empty_like(source)
    copy = median_seconds(lambda: target.copy_(source), setting.device, block_s=block_s)
    peaks |= {"FLOP/s": 2 * side**3 / product, "B/s": 2 * length / copy}
    figures = {f"bf16 matmul of {side}, TFLOP/s": peaks["FLOP/s"] / 1e12}
    return Seen(figures=figures | {"copy, read and written, TB/s": peaks["B/s"] / 1e12})


@dataclass(frozen=True, kw_only=True)
class Warm:
    """A step that has run, the most memory that took (None on a CPU), and the seconds until it was warm."""

    step: Step
    memory_gb: float | None
    seconds: float


def warmed(setting: Setting, build: Callable[[], Step], *, times: int = 4) -> Warm:
    """Build and run a few steps: kernels are chosen and compiled, memory is reserved."""
    gpu = setting.on_gpu
    before = torch.cuda.memory_allocated() if gpu else 0
    if gpu:
        torch.cuda.reset_peak_memory_stats()
    begun = time.perf_counter()
    step = build()
    for _ in range(times):
        step()
    synchronise(setting.device)
    memory = (torch.cuda.max_memory_allocated() - before) / 1e9 if gpu else None
    return Warm(step=step, memory_gb=memory, seconds=time.perf_counter() - begun)


def eager(setting: Setting, net: Net, peaks: dict[str, float]) -> Seen:
    """Our plain step and timm's, in turn."""
    _prepare(fastest=True)
    builds = {"ours": partial(OurStep, net, setting.device), "timm": partial(TimmStep, net, setting.device)}
    warm = {name: warmed(setting, build) for name, build in builds.items()}
    return Seen(figures=_compared(setting, net, peaks, warm, base="timm"))


def as_shipped(turn: Turn, setting: Setting, net: Net, peaks: dict[str, float]) -> Mapping[str, Figure]:
    """Ours as a worker of a study runs it, and by kernels that add up in any order: what exact repetition costs."""
    _prepare(fastest=False)
    warm = {
        name: warmed(setting, partial(OurStep, net, setting.device, deterministic=name == "shipped"))
        for name in ("shipped", "any order")
    }
    turn()
    return _compared(setting, net, peaks, warm, base="any order")


def compiled(turn: Turn, setting: Setting, net: Net, peaks: dict[str, float], ours: bool) -> Mapping[str, Figure]:
    """The compiled step against the eager one of the same kind; the seconds of compiling are told."""
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "6")
    _prepare(fastest=True)
    kind, backend = (OurStep if ours else TimmStep), ("aot_eager" if setting.toy else "inductor")
    fast = warmed(setting, partial(kind, net, setting.device, compiled=backend), times=3)
    turn()
    plain = warmed(setting, partial(kind, net, setting.device))
    figures = _compared(setting, net, peaks, {"compiled": fast, "eager": plain}, base="eager")
    return {"s to compile": fast.seconds, **figures}


def _compared(
    setting: Setting, net: Net, peaks: dict[str, float], warm: Mapping[str, Warm], *, base: str | None
) -> dict[str, Figure]:
    """Images a second, ratio to ``base``, share of the measured peak, the host's share, and memory."""
    calls = {name: one.step for name, one in warm.items()}
    block_s, rounds = (0.02, 3) if setting.toy else (0.6, 5)
    found = interleaved(calls, setting.device, block_s=block_s, rounds=rounds)
    figures: dict[str, Figure] = {}
    for name, seconds in found.items():
        middle = statistics.median(seconds)
        figures[f"{name} images/s"] = net.batch / middle
        figures[f"{name} ms"] = 1e3 * middle
        if base is not None and name != base:
            figures[f"{name} over {base}"] = quotient(found[base], seconds)
        flops = net.train_flops * net.batch
        figures[f"{name} MFU %"] = 100 * flops / middle / peaks["FLOP/s"] if peaks else None
        shared = host_share(calls[name], setting.device, middle)
        figures[f"{name} host %"] = None if shared is None else 100 * shared
        figures[f"{name} GB"] = warm[name].memory_gb
        figures[f"{name} M parameters"] = warm[name].step.params / 1e6
    return figures


def graphed(setting: Setting, net: Net, peaks: dict[str, float]) -> Seen:
    """The graph engine's step, our plain one and timm's, in turn."""
    _prepare(fastest=True)
    builds: dict[str, Callable[[], Step]] = {
        "graph": partial(OurStep, net, setting.device, graph=True),
        "plain": partial(OurStep, net, setting.device),
        "timm": partial(TimmStep, net, setting.device),
    }
    warm = {name: warmed(setting, build) for name, build in builds.items()}
    return Seen(figures=_compared(setting, net, peaks, warm, base="timm"))


def parameter_side(setting: Setting, net: Net) -> Seen:
    """What becomes of gradients in the graph engine, as a graph of its own, and its share of a step."""
    _prepare(fastest=True)
    ours = OurStep(net, setting.device, graph=True)
    ours()
    assert ours.update is not None
    state, side = ours.state, ours.update.side
    leaves = side.leaves(state)
    gradients, dead = [leaf.grad for leaf in leaves], torch.zeros((), dtype=torch.bool, device=setting.device)

    def after_the_backward_pass() -> torch.Tensor:
        side.clear(state)  # the weights of the next step are standardised there
        for leaf, gradient in zip(leaves, gradients, strict=True):
            leaf.grad = gradient
        norm = side.gradient_norm(state)
        side.update_while(dead, norm)
        return norm

    alone = captured(after_the_backward_pass, setting.device) if setting.on_gpu else after_the_backward_pass
    seconds_of(ours, setting.device, 4)
    found = interleaved({"step": ours, "side": alone}, setting.device, block_s=0.02 if setting.toy else 0.4, rounds=5)
    step, side_alone = (statistics.median(found[name]) for name in ("step", "side"))
    return Seen(figures={"ms": 1e3 * side_alone, "step ms": 1e3 * step, "share %": 100 * side_alone / step})


def _prepare(*, fastest: bool) -> None:
    """As a trial sets it, or cuDNN free to try its algorithms out and to add up in any order, as timm's users have it.

    Nothing of an earlier row stays in memory.
    """
    gc.collect()
    torch.cuda.empty_cache()
    compute_as_recorded()
    torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = fastest, not fastest
