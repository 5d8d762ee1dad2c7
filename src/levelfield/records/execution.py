"""How a trial is executed, apart from what it is: never identity, always recorded beside the result."""

from __future__ import annotations

import dataclasses
from typing import Literal, TypeAlias

from levelfield.records.errors import expect
from levelfield.records.stated import stated

Engine: TypeAlias = Literal["auto", "plain", "lean"]

MOST_THREADS = 1024
MOST_PREFETCH = 1024


@stated
class ExecutionSpec:
    """What may be asked of an execution: the ``[execution]`` table of a study. It asks only for what there is.

    ``threads`` are those that a trial computes with on a CPU: another number rounds otherwise. ``engine`` takes the
    steps and rounds otherwise, too: "plain" runs everywhere, "lean" by kernels of our own on a CPU with a C compiler,
    "auto" is the fastest that runs. ``prefetch`` runs of batches are rendered ahead of the GPU that trains, with equal
    results. Every step takes the whole global batch where ``microbatch_size`` is None.
    """

    launcher: Literal["local"] = "local"
    num_devices: int = 1
    engine: Engine = "auto"
    threads: int = 1
    microbatch_size: int | None = None
    prefetch: int = 0

    def __post_init__(self) -> None:
        expect(self.num_devices == 1, "num_devices", "1: a trial runs on one device", self.num_devices)
        expect(1 <= self.threads <= MOST_THREADS, "threads", f"from 1 to {MOST_THREADS}", self.threads)
        whole = self.microbatch_size is None
        expect(whole, "microbatch_size", "left out: every step takes the whole global batch", self.microbatch_size)
        expect(0 <= self.prefetch <= MOST_PREFETCH, "prefetch", f"from 0 to {MOST_PREFETCH}", self.prefetch)


@stated
class Execution(ExecutionSpec):
    """An execution as it was: on which kind of ``device``, by the hardware's own name, and by which torch.

    ``engine`` is the one that ran, and ``engine_version`` identifies its code where it is none of torch's.
    """

    device: str
    torch_version: str
    engine_version: str | None = None

    def repeats(self, other: Execution) -> bool:
        """Whether the same bits are to be expected of both: they differ in nothing but what is rendered ahead."""
        here = (other.device, other.torch_version, other.engine_version)
        return self.asked == other.asked and (self.device, self.torch_version, self.engine_version) == here

    @property
    def asked(self) -> ExecutionSpec:
        """What to ask for to have the same bits again; rendering ahead changes none, and not every device can."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(ExecutionSpec)}
        return ExecutionSpec(**{**fields, "prefetch": 0})

    @property
    def words(self) -> str:
        """The same as part of a sentence ("2 threads on CPU AMD EPYC, torch 2.15.0")."""
        threads = f"{self.threads} thread{'s' * (self.threads > 1)}"
        ahead = f", {self.prefetch} runs of batches ahead" if self.prefetch else ""
        return f"{threads} on {self.device}{ahead}, torch {self.torch_version}, engine {self.engine}"


DEFAULT_EXECUTION = ExecutionSpec()
