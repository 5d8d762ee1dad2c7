"""One currency for all published points: training exaFLOPs, with what the conversion leaves open.

Counted by our own rule where architecture and images are known (:mod:`levelfield.compute.analytic`, 224 px, a
classifier of 1,000 classes as in the published tables); else as the source states it; else device time at the device's
peak and the utilisation of runs that are known both ways. 1 multiply-accumulate = 2 FLOPs.
"""

from __future__ import annotations

import functools
import math
from typing import Literal, TypeAlias

import numpy as np

from levelfield.compute.analytic import count
from levelfield.compute.devices import device
from levelfield.records.codec import record
from levelfield.reference.points import PublishedPoint, published_points

Basis: TypeAlias = Literal["counted", "stated", "converted"]

EXA = 1e18
PRETRAIN_PX = 224
"""Every counted run was pre-trained at this resolution (2106.04560; 2310.16764; 2102.06171, App. A.5)."""
COUNTED_CLASSES = 1000
LEVEL = 0.9
_STATED = "exaFLOPs (train=3x fwd"
_FORWARD = "GFLOPs (forward-only convention of that paper)"
_TRAINING_OVER_FORWARD = 3.0
_DEVICES = {
    "TPU-v4 core-hours": ("tpu-v4-core", 1.0),
    "TPU-v3 core-hours": ("tpu-v3-core", 1.0),
    "TPU-v3 core-days": ("tpu-v3-core", 24.0),
}


@record
class Compute:
    """Pre-training compute in exaFLOPs; ``low`` and ``high`` are what its basis leaves open, ``log_sd`` the sd of ln.

    ``counted``: FLOPs an image times images, these known up to the source's own rounding. ``stated``: the source's.
    ``converted``: from device time (90 % of runs) or from a forward-only count; ``how`` says with what.
    """

    exaflops: float
    low: float
    high: float
    log_sd: float
    basis: Basis
    how: str


@record
class Utilisation:
    """The share of a device's peak that published runs reach: their geometric mean, and where a new run would lie.

    ``low`` and ``high`` hold 90 % of new runs, by the t distribution of ln utilisation; ``seen`` is by run.
    """

    device: str
    peak: float
    middle: float
    low: float
    high: float
    log_sd: float
    seen: dict[str, float]


def compute_of(point: PublishedPoint) -> Compute | None:
    """The compute of ``point`` in the common currency, or None where nothing that is stated leads there."""
    if point.architecture and point.examples is not None:
        return _counted(point.architecture, point.examples, point.examples_error)
    value, unit = point.compute_value, point.compute_unit
    if value is None:
        return None
    if unit.startswith(_STATED):
        return _exact(value, "stated", "exaFLOPs as the source has them")
    if unit == _FORWARD:
        return _exact(_TRAINING_OVER_FORWARD * value * 1e9 / EXA, "converted", "three forward passes")
    return compute_by_hours(point)


def compute_by_hours(point: PublishedPoint) -> Compute | None:
    """The compute that the device time of ``point`` allows, whatever else is known of it; None without device time.

    The utilisation is that of other runs: a run does not vouch for its own conversion.
    """
    if point.compute_value is None or point.compute_unit not in _DEVICES:
        return None
    name, hours = _DEVICES[point.compute_unit]
    seen = utilisation(name, without=point.run)
    peak = point.compute_value * hours * 3600 * seen.peak / EXA
    how = (
        f"{point.compute_unit} at a peak of {seen.peak / 1e12:g} TFLOP/s, of which {len(seen.seen)} other runs reach "
        f"{min(seen.seen.values()):.0%} to {max(seen.seen.values()):.0%}, a new one {seen.low:.0%} to {seen.high:.0%}"
    )
    return Compute(
        exaflops=peak * seen.middle,
        low=peak * seen.low,
        high=peak * seen.high,
        log_sd=seen.log_sd,
        basis="converted",
        how=how,
    )


@functools.cache
def utilisation(name: str, *, without: str = "") -> Utilisation:
    """The utilisation of device ``name`` in the published runs whose FLOPs can be counted, ``without`` one run."""
    from scipy.special import stdtrit

    peak = device(name).peak("bfloat16")
    seen: dict[str, float] = {}
    for point in published_points():
        known, hours = _DEVICES.get(point.compute_unit, ("", 0.0))
        if known != name or point.compute_value is None or not point.architecture or point.examples is None:
            continue
        if point.trust != "figure" and point.run != without:
            exaflops = _counted(point.architecture, point.examples, 0.0).exaflops
            seen[point.run] = exaflops * EXA / (point.compute_value * hours * 3600 * peak)
    logs = np.log(list(seen.values()))
    middle, log_sd = float(logs.mean()), float(logs.std(ddof=1)) * math.sqrt(1 + 1 / len(logs))
    half = float(stdtrit(len(logs) - 1, (1 + LEVEL) / 2)) * log_sd
    return Utilisation(
        device=name,
        peak=peak,
        middle=math.exp(middle),
        low=math.exp(middle - half),
        high=min(math.exp(middle + half), 1.0),
        log_sd=log_sd,
        seen=seen,
    )


def _counted(architecture: str, examples: float, error: float) -> Compute:
    exaflops = _train_flops_per_example(architecture) * examples / EXA
    about = f"{examples:.3g} images" + (f" (within {error:.3g} of that)" if error else "")
    return Compute(
        exaflops=exaflops,
        low=exaflops * (1 - error),
        high=exaflops * (1 + error),
        log_sd=error / math.sqrt(3),  # any number of images within the rounding is as likely
        basis="counted",
        how=f"{architecture} at {PRETRAIN_PX} px, {about}",
    )


def _exact(exaflops: float, basis: Basis, how: str) -> Compute:
    return Compute(exaflops=exaflops, low=exaflops, high=exaflops, log_sd=0.0, basis=basis, how=how)


@functools.cache
def _train_flops_per_example(architecture: str) -> float:
    return float(count(architecture, resolution=PRETRAIN_PX, num_outputs=COUNTED_CLASSES).train_flops_per_example)
