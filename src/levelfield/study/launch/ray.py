"""Jobs on Ray, by Ray's tasks alone: one for each work item, in worker processes that Ray keeps.

Ray's tasks die with their driver, which is here the process of ``levelfield run``: nothing of an earlier one is ever
left. What it had in hand goes on from its last checkpoint, once its leases have run out (docs/decisions/0040).
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from levelfield.records.codec import from_plain, to_plain
from levelfield.records.errors import InputError, LevelfieldError, SpecError, StoreError, did_you_mean
from levelfield.study.launch.cluster import Job, JobOrder, JobState
from levelfield.study.launch.environment import worker_variables

_ASKED = ("address", "num_cpus", "num_gpus")
_TRAVELS = ("PYTHONPATH", "LEVELFIELD_CACHE", "LEVELFIELD_COMMIT")
"""Variables that a worker needs as they are here, where nothing else says how it finds the same code."""

_ENDING_S = 5.0
"""How long tasks may take to end whose results are there."""


class RayCluster:
    """A Ray of this process's own, or the one whose ``address`` is asked for: none is joined because it is there.

    ``asks`` may hold that address, and ``num_cpus`` and ``num_gpus`` of a job where they are to be others than it
    takes (0.5 GPUs: two trials side by side on one).

    Raises:
        InputError: there is no Ray here, or none at that address.
        SpecError: Ray is asked for something else.
    """

    def __init__(self, directory: Path, prefix: str, *, asks: Mapping[str, str]) -> None:
        for name in asks:
            if name not in _ASKED:
                raise SpecError(f"Ray is not asked for {name!r}{did_you_mean(name, _ASKED)}")
        self._num_cpus, self._num_gpus = (_number(asks, name) for name in _ASKED[1:])
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        # Under `uv run` Ray would give workers a copy of the working directory, whose code nobody can tell from ours.
        os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
        try:
            import ray
        except ModuleNotFoundError:
            raise InputError("Ray is not installed here; pip install 'levelfield[ray]'") from None
        self._ray: Any = ray
        self._tasks: dict[Any, str] = {}
        self._states: dict[str, JobState] = {}
        self._ending: list[Any] = []
        address = asks.get("address", "local")
        earlier = signal.getsignal(signal.SIGTERM)
        try:
            ray.init(
                address=address, include_dashboard=None if address != "local" else False, log_to_driver=False,
                logging_level=logging.ERROR,
            )  # fmt: skip
        except (ConnectionError, RuntimeError, ValueError) as error:
            said = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise InputError(f"Ray cannot be used at {address!r}: {said}") from None
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, earlier)  # Ray takes it for itself, and ends without another word
        self._remote = ray.remote(max_retries=0)(run_plain_job)

    def submit(self, job: Job) -> str | None:
        needs, threads = job.needs, job.order.execution.threads
        variables = {name: os.environ[name] for name in _TRAVELS if name in os.environ} | worker_variables(threads)
        options: dict[str, Any] = {
            "name": job.name,
            "num_cpus": needs.num_cpus if self._num_cpus is None else self._num_cpus,
            "num_gpus": needs.num_gpus if self._num_gpus is None else self._num_gpus,
            "runtime_env": {"env_vars": variables},
        }
        self._refuse_too_much(options)
        task = self._remote.options(**options).remote(str(job.item), to_plain(job.order))
        self._tasks[task] = job.name
        self._states[job.name] = JobState(kind="waits", id=task.task_id().hex())
        return self._states[job.name].id

    def _refuse_too_much(self, options: Mapping[str, Any]) -> None:
        """What no node can ever give would wait for ever without a word."""
        for name, kind in (("num_cpus", "CPU"), ("num_gpus", "GPU")):
            most = max((node["Resources"].get(kind, 0.0) for node in self._ray.nodes() if node["Alive"]), default=0.0)
            if options[name] > most:
                raise InputError(
                    f"a trial asks Ray for {options[name]:g} {kind}s, and no node of it has more than {most:g}; "
                    f"--ask {name}=… asks for fewer"
                )

    def poll(self, timeout_s: float) -> Mapping[str, JobState]:
        if self._ending:
            _, self._ending = self._ray.wait(self._ending, num_returns=len(self._ending), timeout=0.0)
        if not self._tasks:
            time.sleep(timeout_s)
            return self._states
        ended, _ = self._ray.wait([*self._tasks], num_returns=1, timeout=timeout_s)
        more, _ = self._ray.wait([*self._tasks], num_returns=len(self._tasks), timeout=0.0)
        for task in {*ended, *more}:
            name = self._tasks.pop(task)
            self._states[name] = self._end(task, self._states[name].id)
        return self._states

    def _end(self, task: Any, number: str) -> JobState:
        errors = self._ray.exceptions
        try:
            told = self._ray.get(task)
        except (errors.RayError, KeyboardInterrupt) as error:
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            reason = f"its worker of Ray died ({type(error).__name__}: {lines[0] if lines else 'without a word'})"
            return JobState(kind="ended", id=number, reason=reason)
        return JobState(kind="ended", id=number, **told)

    def cancel(self, ids: Collection[str]) -> None:
        for task, name in self._tasks.items():
            if self._states[name].id in ids:
                self._ray.cancel(task, force=False, recursive=False)

    def forget(self, state: JobState) -> None:
        """Its result may be there before its task has ended: nobody waits for that but who closes."""
        for task, name in tuple(self._tasks.items()):
            if self._states[name].id == state.id:
                del self._tasks[task]
                self._ending.append(task)
        self._states = {name: each for name, each in self._states.items() if each.id != state.id}

    def close(self) -> None:
        if self._ending:
            self._ray.wait(self._ending, num_returns=len(self._ending), timeout=_ENDING_S)
        self._ray.shutdown()


def run_plain_job(item: str, order: dict[str, Any]) -> dict[str, str]:
    """What a worker of Ray runs; what its directory cannot say, since it never began, is given back."""
    from levelfield.data.said import said_elsewhere
    from levelfield.study.launch.job import run_job

    try:
        with said_elsewhere():
            run_job(Path(item), from_plain(JobOrder, order))
    except InputError as error:
        return {"reason": str(error), "blame": "input"}
    except StoreError as error:
        return {"reason": str(error), "blame": "store"}
    except LevelfieldError as error:
        return {"reason": str(error)}
    return {}


def _number(asks: Mapping[str, str], name: str) -> float | None:
    text = asks.get(name)
    if text is None:
        return None
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not 0 <= found < float("inf"):
        raise SpecError(f"--ask {name}= takes a number, saw {text!r}")
    return found
