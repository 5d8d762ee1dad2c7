"""What of this machine a process may take: its cores and its memory, divided by the processes that share them.

A container is told of through its control group, whose limits the system's own figures do not know.
"""

from __future__ import annotations

import os
from pathlib import Path

PROCESSES = "LEVELFIELD_PROCESSES"
"""The variable in the environment that says how many processes share the machine: a launcher sets it."""

_MEMORY_FILES = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory.stat"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
        "/sys/fs/cgroup/memory/memory.stat",
    ),
)
"""Of both versions of control groups: the limit, what is used of it, and how much of that can be dropped at once."""
_UNKNOWN_BYTES = 2 * 2**30
"""Taken to be free where the system does not say."""


def processes_here() -> int:
    """How many processes share this machine's cores and memory, this one among them."""
    said = os.environ.get(PROCESSES, "")
    return max(1, int(said)) if said.isdigit() else 1


def cores_each() -> int:
    """Whole cores for each process, 1 at least."""
    return max(1, _cores() // processes_here())


def memory_each() -> int:
    """Bytes of free memory for each process."""
    return min(_free_in_system(), *(_free_in_group(*files) for files in _MEMORY_FILES)) // processes_here()


def _cores() -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota, _, period = _text("/sys/fs/cgroup/cpu.max").partition(" ")
    if not quota:
        quota, period = (_text(f"/sys/fs/cgroup/cpu/cpu.cfs_{name}_us") for name in ("quota", "period"))
    if quota.isdigit() and period.strip().isdigit() and int(period) > 0:
        cores = min(cores, max(1, int(quota) // int(period)))
    return cores


def _free_in_system() -> int:
    for line in _text("/proc/meminfo").splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return int(value.split()[0]) * 1024
    return _UNKNOWN_BYTES


def _free_in_group(limit: str, used: str, parts: str) -> int:
    most, taken = _text(limit), _text(used)
    if not (most.isdigit() and taken.isdigit()):
        return 2**62
    pages = dict(line.split() for line in _text(parts).splitlines() if len(line.split()) == 2)
    dropped = int(pages.get("inactive_file", pages.get("total_inactive_file", 0)))
    return max(0, int(most) - int(taken) + dropped)


def _text(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
