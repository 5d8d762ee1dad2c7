"""The environment of whoever runs trials: a fixed number of threads that wait without spinning."""

from __future__ import annotations

import os

from levelfield.data.machine import PROCESSES

# glibc hands large blocks back to the system at once and fetches them again the next step, page by page: kept, a small
# network's step is about a tenth faster. Other allocators ignore these.
_KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(1 << 32)}


def fixed_variables(threads: int, *, processes: int = 1) -> dict[str, str]:
    """What must be set for bits to repeat, and for trials to share a machine as one of so many ``processes``."""
    count = str(threads)
    fixed = {"OMP_NUM_THREADS": count, "MKL_NUM_THREADS": count, "OMP_WAIT_POLICY": "passive"}
    return fixed | {PROCESSES: str(processes), "CUBLAS_WORKSPACE_CONFIG": ":4096:8"}


def worker_variables(threads: int, *, processes: int = 1) -> dict[str, str]:
    """The same, with what is merely faster wherever this process does not set it otherwise."""
    wished = {name: os.environ.get(name, value) for name, value in _KEEP_MEMORY.items()}
    return wished | fixed_variables(threads, processes=processes)


def worker_environment(threads: int, *, processes: int = 1) -> dict[str, str]:
    """The whole environment of a worker that is started here."""
    return {**os.environ, **worker_variables(threads, processes=processes)}
