"""How a trial is executed, apart from what it is: never identity, always recorded beside the result."""

from __future__ import annotations

import dataclasses
from typing import Literal, TypeAlias

from levelfield.records.codec import later
from levelfield.records.errors import expect
from levelfield.records.stated import stated

Engine: TypeAlias = Literal["auto", "plain", "lean", "graph"]
LauncherName: TypeAlias = Literal["local", "slurm", "ray"]

MOST_THREADS = 1024
MOST_PREFETCH = 1024
MOST_DEVICES = 4096
MOST_MICROBATCH = 2**24


@stated
class ExecutionSpec:
    """What may be asked of an execution: the ``[execution]`` table of a study. It asks only for what there is.

    ``threads`` are those that a trial computes with on a CPU: another number rounds otherwise. ``engine`` takes the
    steps and rounds otherwise, too: "plain" runs everywhere, "lean" by kernels of our own on a CPU with a C compiler,
    "graph" replays whole steps on a GPU (on a CPU it takes the same ones as they are written, to be tried), "auto" is
    the fastest of those that have been measured there. ``prefetch`` threads render batches ahead, with equal results:
    None asks for as many as there are cores that nobody trains on. ``num_devices`` share every global batch, a process
    each, and no more than ``microbatch_size`` examples of a share run forward and backward at a time, all where it is
    None: less memory, at the cost of a second forward pass where the loss of a batch is no sum over examples. Neither
    changes what a step learns of, and both round otherwise. ``launcher`` places trials: on this machine, on Slurm, or
    on Ray; nothing else depends on it.
    """

    launcher: LauncherName = "local"
    num_devices: int = 1
    engine: Engine = "auto"
    threads: int = 1
    microbatch_size: int | None = None
    prefetch: int | None = None

    def __post_init__(self) -> None:
        expect(1 <= self.num_devices <= MOST_DEVICES, "num_devices", f"from 1 to {MOST_DEVICES}", self.num_devices)
        expect(1 <= self.threads <= MOST_THREADS, "threads", f"from 1 to {MOST_THREADS}", self.threads)
        held = self.microbatch_size is None or 1 <= self.microbatch_size <= MOST_MICROBATCH
        expect(held, "microbatch_size", f"from 1 to {MOST_MICROBATCH} examples, or left out", self.microbatch_size)
        ahead = self.prefetch or 0
        expect(0 <= ahead <= MOST_PREFETCH, "prefetch", f"from 0 to {MOST_PREFETCH} threads", self.prefetch)


@stated
class Execution(ExecutionSpec):
    """An execution as it was: on which kind of ``device``, by the hardware's own name, and by which torch.

    ``engine`` is the one that ran, and ``engine_version`` identifies its code where it is none of torch's.
    ``pixels`` is the digest of the pixels that were made there of some files whose pixels are known (see
    :mod:`levelfield.data.pixels_here`), None where nobody looked.
    """

    device: str
    torch_version: str
    engine: Engine = "plain"
    pixels: str | None = later(default=None)
    engine_version: str | None = later(default=None)

    def repeats(self, other: Execution) -> bool:
        """Whether the same bits are to be expected of both: they differ in nothing but what is rendered ahead."""
        here, there = ((each.device, each.torch_version, each.engine_version) for each in (self, other))
        seen = {self.pixels, other.pixels} - {None}
        return self.asked == other.asked and here == there and len(seen) < 2

    @property
    def asked(self) -> ExecutionSpec:
        """What to ask for to have the same bits again; rendering ahead changes none, and not every device can, nor does
        whoever placed the trial."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(ExecutionSpec)}
        return ExecutionSpec(**{**fields, "prefetch": None, "launcher": "local"})

    @property
    def words(self) -> str:
        """The same as part of a sentence ("2 threads on CPU AMD EPYC, torch 2.15.0")."""
        threads = f"{self.threads} thread{'s' * (self.threads > 1)}"
        ahead = f", {self.prefetch} more that read ahead" if self.prefetch else ""
        micro = "" if self.microbatch_size is None else f", {self.microbatch_size} examples at a time"
        devices = "" if self.num_devices == 1 else f" on each of {self.num_devices} devices"
        engine = "" if self.engine == "plain" else f", engine {self.engine}"
        return f"{threads}{ahead}{devices} on {self.device}, torch {self.torch_version}{engine}{micro}"


DEFAULT_EXECUTION = ExecutionSpec()
