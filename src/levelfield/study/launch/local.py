"""Trials on this machine: a few long-lived worker processes, one trial each at a time."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path

from levelfield.records.codec import to_plain
from levelfield.study.launch.base import LaunchEvent, Planned

# A trial whose worker dies this often is given up: it takes the machine down, and a retry would only repeat that.
_MAX_DEATHS = 3
_SAVING_SECONDS = 10.0
"""How long workers may take to end their step and save it when they are stopped; what they publish is whole anyway."""


class LocalLauncher:
    """Runs up to ``num_workers`` trials at a time; a worker that dies is replaced and its trial resumed.

    With ``keeps_weights`` trials leave the weights they were judged by, for others to start from.
    """

    def __init__(
        self,
        directory: Path,
        *,
        num_workers: int,
        device: str,
        threads: int,
        checkpoint_seconds: float,
        keeps_weights: bool = False,
    ) -> None:
        self._command = [
            sys.executable,
            *("-m", "levelfield.study.launch.worker", str(directory), device, str(checkpoint_seconds)),
            *["--keep-weights"] * keeps_weights,
        ]
        self._environment = worker_environment(threads)
        self._waiting: deque[Planned] = deque()
        self._events: queue.Queue[tuple[_Process, dict]] = queue.Queue()
        self._deaths: Counter[str] = Counter()
        self._ready: deque[LaunchEvent] = deque()
        self._processes = [self._start() for _ in range(num_workers)]

    def submit(self, trial: Planned) -> None:
        self._waiting.append(trial)
        self._feed()

    def next_event(self, timeout_s: float | None = None) -> LaunchEvent | None:
        end = None if timeout_s is None else time.monotonic() + timeout_s
        while not self._ready:
            try:
                process, event = self._events.get(timeout=None if end is None else max(0.0, end - time.monotonic()))
            except queue.Empty:
                return None
            self._take(process, event)
            self._feed()
        return self._ready.popleft()

    def close(self) -> None:
        for process in self._processes:
            process.ask_to_stop()
        end = time.monotonic() + _SAVING_SECONDS
        for process in self._processes:
            process.stop(max(0.0, end - time.monotonic()))

    def _start(self) -> _Process:
        return _Process(self._command, self._environment, self._events)

    def _feed(self) -> None:
        for process in self._processes:
            if process.trial is None and self._waiting:
                process.run(self._waiting.popleft())
                assert process.trial is not None
                self._ready.append(LaunchEvent(kind="started", trial=process.trial))

    def _take(self, process: _Process, event: dict) -> None:
        trial = process.trial
        if event["event"] == "died":
            self._processes[self._processes.index(process)] = self._start()
            if trial is not None:
                self._resume(trial, event["reason"])
        elif trial is None:
            return
        elif event["event"] == "progress":
            self._ready.append(
                LaunchEvent(kind="progress", trial=trial, step=event["step"], num_steps=trial.spec.steps)
            )
        else:
            process.trial = None
            self._ready.append(
                LaunchEvent(
                    kind=event["event"],
                    trial=trial,
                    reason=event.get("reason", ""),
                    blame=event.get("blame", "trial"),
                )
            )

    def _resume(self, trial: Planned, reason: str) -> None:
        self._deaths[trial.spec.fingerprint] += 1
        if self._deaths[trial.spec.fingerprint] >= _MAX_DEATHS:
            self._ready.append(LaunchEvent(kind="failed", trial=trial, reason=f"{reason}, {_MAX_DEATHS} times"))
            return
        self._ready.append(LaunchEvent(kind="restarted", trial=trial, reason=reason))
        self._waiting.appendleft(trial)


class _Process:
    """One worker process and the trial it has in hand."""

    def __init__(
        self, command: list[str], environment: dict[str, str], events: queue.Queue[tuple[_Process, dict]]
    ) -> None:
        self.trial: Planned | None = None
        with _interrupts_blocked():
            self._child = subprocess.Popen(
                command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        threading.Thread(target=self._forward, args=(events,), daemon=True).start()

    def run(self, trial: Planned) -> None:
        self.trial = trial
        assert self._child.stdin is not None
        try:
            self._child.stdin.write(json.dumps(to_plain(trial.spec)) + "\n")
            self._child.stdin.flush()
        except BrokenPipeError:
            # It died a moment ago; its "died" event is on the way and takes the trial back.
            return

    def ask_to_stop(self) -> None:
        self._child.terminate()

    def stop(self, seconds: float) -> None:
        """Let it end by itself for ``seconds`` at the most."""
        try:
            self._child.wait(seconds)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
                pipe.close()

    def _forward(self, events: queue.Queue[tuple[_Process, dict]]) -> None:
        assert self._child.stdout is not None
        try:
            for line in self._child.stdout:
                events.put((self, json.loads(line)))
        except ValueError:
            return  # closed by stop()
        code = self._child.wait()
        events.put((self, {"event": "died", "reason": f"its worker died ({_cause(code)})"}))


@contextlib.contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Ctrl-C reaches every process of a terminal: what is started here leaves it to us, who stop it in order."""
    earlier = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, earlier)


# glibc hands large blocks back to the system at once and fetches them again the next step, page by page: kept, a small
# network's step is about a tenth faster. Other allocators ignore these.
_KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(1 << 32)}


def worker_environment(threads: int) -> dict[str, str]:
    """The environment of a worker: a fixed number of threads that wait without spinning, so trials share a machine."""
    count = str(threads)
    fixed = {"OMP_NUM_THREADS": count, "MKL_NUM_THREADS": count, "OMP_WAIT_POLICY": "passive"}
    return {**_KEEP_MEMORY, **os.environ, **fixed, "CUBLAS_WORKSPACE_CONFIG": ":4096:8"}


def _cause(code: int) -> str:
    if code == -signal.SIGKILL:
        return "signal 9: killed, as the system does to whoever takes its last memory; try fewer workers"
    return f"signal {-code}" if code < 0 else f"exit code {code}"
