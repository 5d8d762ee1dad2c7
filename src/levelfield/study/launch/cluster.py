"""What Levelfield asks of a cluster: to place jobs, to say how they stand, and to cancel them. One file each.

What a job does and how it went is in the directory of its work item (:mod:`levelfield.records.attempts`), so that a
cluster is asked for placement alone, and believed in nothing but that a job has ended.
:class:`levelfield.study.launch.clustered.ClusterLauncher` does the rest, for all clusters alike.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

from levelfield.records.codec import record
from levelfield.records.execution import ExecutionSpec


@record
class JobOrder:
    """How a job is to run its item, said once: on which ``device``, how executed, how often saved, whether it keeps
    its weights, and by which ``code``: another one refuses."""

    device: str
    execution: ExecutionSpec
    checkpoint_seconds: float
    keeps_weights: bool
    code: str


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What an item takes: GPUs, cores, and, where something tells, the seconds it may last and its bytes of memory."""

    num_gpus: int
    num_cpus: int
    seconds: float | None = None
    memory_bytes: int | None = None


@dataclass(frozen=True, kw_only=True)
class Job:
    """One work item to be placed under a ``name`` that no other job of the study bears; its ``order`` lies in a file,
    too."""

    name: str
    item: Path
    needs: Needs
    order: JobOrder
    order_path: Path


Blame: TypeAlias = Literal["trial", "input", "store", "worker"]


@dataclass(frozen=True, kw_only=True)
class JobState:
    """How a job stands: it ``waits`` or ``runs``, or has ``ended``, with the ``reason`` that the cluster gives.

    ``blame`` says of one that could not begin whose fault that was; None where a job has ended that may be tried again.
    """

    kind: Literal["waits", "runs", "ended"]
    id: str
    reason: str = ""
    blame: Blame | None = None


class JobPlacer(Protocol):
    """Places jobs somewhere."""

    def submit(self, job: Job) -> str | None:
        """Place ``job`` and give what the cluster calls it; None where it takes no more for now.

        Raises:
            InputError: it takes no such job at all; the sentence is the cluster's own.
        """
        ...

    def poll(self, timeout_s: float) -> Mapping[str, JobState]:
        """How all jobs of this study stand, by name, those that an earlier process has placed among them.

        It waits for ``timeout_s`` at the most, and less where something happens. A job is missing only where the
        cluster has forgotten it; where it does not answer, all stand as they stood.

        Raises:
            InputError: it does not answer the first question.
        """
        ...

    def cancel(self, ids: Collection[str]) -> None:
        """Have jobs stop, saved where they are; those that have ended are none's business."""
        ...

    def forget(self, state: JobState) -> None:
        """A job has done its work: what the cluster keeps of it may go."""
        ...

    def close(self) -> None:
        """Nothing more is asked."""
        ...
