"""Jobs on Slurm, by submitit: one for each work item."""

from __future__ import annotations

import contextlib
import getpass
import io
import logging
import math
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from levelfield.records.errors import InputError, SpecError
from levelfield.study.launch.cluster import Job, JobState
from levelfield.study.launch.environment import worker_variables
from levelfield.study.launch.slurm_job import GRACE_S, SlurmJobCall

_ASK_EVERY_S, _FIRST_PATIENCE_S, _COMMAND_S = 5.0, 60.0, 60.0
_MINUTES = 60
"""Asked for where nothing tells how long a trial takes and nobody says so."""
_FULL = ("maxsubmit", "maxjobs", "submit limit", "job limit", "temporarily unable", "try again", "resource temporarily")
"""What sbatch says where a limit on jobs is reached, which passes; in small letters."""
_OVER = {
    "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "REVOKED",
    "TIMEOUT",
}  # fmt: skip
_WAITS = {"PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT", "CONFIGURING"}
_MANY = 1_000_000
_LAST_BYTES = 4096

logger = logging.getLogger(__name__)


class SlurmCluster:
    """What Slurm knows of the study in ``directory``, whose jobs have names with ``prefix``.

    ``asks`` are options of sbatch for every job (``partition``, ``account``, ``gres``, …); ``time``, in minutes or as
    Slurm writes it, is the most that is asked for, and ``setup`` a line of shell that comes first.

    Raises:
        InputError: there is no Slurm here, or no submitit.
    """

    def __init__(self, directory: Path, prefix: str, *, asks: Mapping[str, str]) -> None:
        missing = [name for name in ("sbatch", "squeue", "scancel") if shutil.which(name) is None]
        if missing:
            raise InputError(f"there is no {missing[0]} here: run this where jobs of Slurm are submitted from")
        try:
            import submitit
        except ModuleNotFoundError:
            raise InputError("submitit is not installed here; pip install 'levelfield[slurm]'") from None
        self._submitit, self._prefix = submitit, prefix
        self._folder = directory / "jobs" / "slurm"
        self._asks = dict(asks)
        self._most_minutes = _minutes(self._asks.pop("time", None))
        self._setup = self._asks.pop("setup", None)
        self._states: dict[str, JobState] = {}
        self._asked_at: float | None = None
        self._is_silent = False

    def submit(self, job: Job) -> str | None:
        asked = self._parameters(job)
        try:
            number = self._submitted(job, asked)
        except InputError:
            if "mem" not in asked:
                raise
            # What is foretold is more than any node has, or than a job may ask for: then as much as the site gives.
            number = self._submitted(job, {name: value for name, value in asked.items() if name != "mem"})
        if number is not None:
            self._states[job.name] = JobState(kind="waits", id=number)
        return number

    def _submitted(self, job: Job, asked: Mapping[str, Any]) -> str | None:
        executor = self._submitit.SlurmExecutor(
            folder=self._folder, max_num_timeout=_MANY, python=f"exec {shlex.quote(sys.executable)}"
        )
        executor.update_parameters(**asked)
        command = (sys.executable, "-m", "levelfield", "trial", "run", str(job.item), "--order", str(job.order_path))
        call = SlurmJobCall(command=command, variables=worker_variables(job.order.execution.threads))
        try:
            with contextlib.redirect_stderr(io.StringIO()):  # submitit prints what it raises
                return executor.submit(call).job_id
        except self._submitit.core.utils.FailedJobError as error:
            said = " ".join(str(error).split())
            if any(words in said.lower() for words in _FULL):
                return None
            raise InputError(f"Slurm takes no such job: {said}") from None

    def _parameters(self, job: Job) -> dict[str, Any]:
        needs = job.needs
        foretold = None if needs.seconds is None else math.ceil(needs.seconds / 60)
        minutes = min(each for each in (foretold, self._most_minutes, _MANY) if each is not None)
        given: dict[str, Any] = {
            "job_name": job.name,
            "time": _MINUTES if minutes == _MANY else minutes,
            "cpus_per_task": needs.num_cpus,
            "wckey": None,
            "use_srun": False,
            # srun would pass SIGTERM on as SIGKILL at once: the job is the batch script itself, and is told alone.
            "additional_parameters": {"signal": f"B:USR2@{GRACE_S}", "requeue": True} | self._asks,
        }
        if needs.num_gpus:
            given["gpus_per_node"] = needs.num_gpus
        if needs.memory_bytes is not None and not {"mem", "mem-per-cpu", "mem-per-gpu"} & self._asks.keys():
            given["mem"] = f"{math.ceil(needs.memory_bytes / 2**20)}M"
        if self._setup is not None:
            given["setup"] = [self._setup]
        return given

    def poll(self, timeout_s: float) -> Mapping[str, JobState]:
        first = self._asked_at is None
        if first or time.monotonic() - (self._asked_at or 0.0) >= _ASK_EVERY_S:
            self._ask(patience_s=_FIRST_PATIENCE_S if first else 0.0)
        if timeout_s:
            time.sleep(timeout_s)
        return self._states

    def _ask(self, *, patience_s: float) -> None:
        """Read the queue anew; where the controller is away, everything stands as it stood."""
        end = time.monotonic() + patience_s
        while (said := _run("squeue", "-h", "-t", "all", "-u", getpass.getuser(), "-o", "%i|%T|%r|%j")) is None:
            if not self._is_silent:
                logger.warning("Slurm's controller does not answer: waiting for it")
            self._is_silent = True
            if time.monotonic() >= end:
                if patience_s:
                    raise InputError(f"Slurm's controller has not answered for {patience_s:.0f} s (squeue fails)")
                self._asked_at = time.monotonic()
                return
            time.sleep(1.0)
        self._is_silent, self._asked_at = False, time.monotonic()
        found: dict[str, JobState] = {}
        for line in said.splitlines():
            number, state, reason, name = line.split("|", 3)
            if name.startswith(self._prefix):
                seen = self._state(number, state, reason)
                if name not in found or _rank(seen) > _rank(found[name]):
                    found[name] = seen
        self._states = found

    def _state(self, number: str, state: str, reason: str) -> JobState:
        if state in _OVER:
            words = self._last_words(number)
            told = f"its job {number} of Slurm has ended: {state.lower()}" + (f" ({words})" if words else "")
            return JobState(kind="ended", id=number, reason=told)
        return JobState(kind="waits" if state in _WAITS else "runs", id=number, reason=reason)

    def _last_words(self, number: str) -> str:
        try:
            with (self._folder / f"{number}_0_log.err").open("rb") as log:
                log.seek(max(0, os.fstat(log.fileno()).st_size - _LAST_BYTES))
                lines = log.read().decode(errors="replace").split("\n")
        except OSError:
            return ""
        said = [line.strip() for line in lines if line.strip()]
        return said[-1] if said else ""

    def cancel(self, ids: Collection[str]) -> None:
        if ids:
            _run("scancel", *ids)
            self._asked_at = (
                self._asked_at and self._asked_at - _ASK_EVERY_S
            )  # what comes next is asked, not remembered

    def forget(self, state: JobState) -> None:
        if state.id:
            for path in self._folder.glob(f"{state.id}_*"):
                path.unlink(missing_ok=True)

    def close(self) -> None:
        for pattern in (".submission_file_*.sh", f"{'[0-9a-f]' * 32}.pkl"):  # of jobs that were not taken
            for path in self._folder.glob(pattern):
                path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # the words of what failed stay
            self._folder.rmdir()


def _run(*command: str) -> str | None:
    """What a command of Slurm says; None where it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_COMMAND_S, check=False)
    except subprocess.TimeoutExpired:
        return None
    return done.stdout if done.returncode == 0 else None


def _rank(state: JobState) -> tuple[bool, int]:
    """Of two jobs of one name the one that is not over counts, else the later one."""
    return state.kind != "ended", int(state.id.partition("_")[0])


def _minutes(text: str | None) -> int | None:
    """``90``, ``1:30:00`` or ``2-12`` as minutes; None for None.

    Raises:
        SpecError: it is no time.
    """
    if text is None:
        return None
    days, dash, rest = text.rpartition("-")
    try:
        parts = [int(part) for part in rest.split(":")]
        if dash:
            hours, minutes, *seconds = (*parts, 0, 0)[: max(2, len(parts))]
        elif len(parts) == 3:
            hours, minutes, *seconds = parts
        else:
            hours, (minutes, *seconds) = 0, parts
        found = int(days or 0) * 1440 + hours * 60 + minutes + (1 if any(seconds) else 0)
    except ValueError:
        found = 0
    if found < 1:
        raise SpecError(f"--ask time= takes minutes, or hours as 4:00:00 or days as 2-12, saw {text!r}")
    return found
