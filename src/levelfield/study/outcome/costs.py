"""What a trial's seconds are worth: examples and FLOPs a second, and the share of the device's peak reached."""

from __future__ import annotations

from levelfield.compute.devices import Precision, device_called
from levelfield.records.errors import InputError
from levelfield.records.trial import TrialResult, TrialSpec, TrialTiming

_PRECISION: dict[str, Precision] = {"bfloat16": "bfloat16", "float32": "float32"}


def costs_of(spec: TrialSpec, result: TrialResult, timing: TrialTiming) -> dict[str, float]:
    """Of a finished trial, by name; what is not known is absent.

    ``device_seconds``, ``examples_per_second`` and ``flops_per_second`` are of training steps alone (on a CPU, of CPU
    seconds); ``mfu`` is the last over the device's dense peak in the trial's precision, where a source states one;
    ``waited`` the share of the time that passed waiting for data; ``memory_bytes`` the most that the process (on a GPU,
    its tensors) held meanwhile.

    Raises:
        InputError: more than the peak was reached: seconds, FLOPs or the peak are wrong.
    """
    told = {"device_seconds": timing.device_seconds}
    if timing.device_seconds > 0:
        speed = result.train_flops / timing.device_seconds
        told |= {"examples_per_second": result.examples_seen / timing.device_seconds, "flops_per_second": speed}
        row, precision = device_called(timing.device), _PRECISION[spec.dtype]
        if row is not None and precision in dict(row.peaks):
            told["mfu"] = _share(speed, row.peak(precision), where=f"trial {spec.name} on {timing.device}")
    known = {"waited": timing.waited, "memory_bytes": timing.memory_bytes}
    return told | {name: float(value) for name, value in known.items() if value is not None}


def _share(speed: float, peak: float, *, where: str) -> float:
    if speed > peak:
        raise InputError(
            f"{where}: {speed:.3g} FLOP/s would be {speed / peak:.0%} of the {peak:.3g} that it can do at best; its "
            "timing or its FLOPs are wrong"
        )
    return speed / peak
