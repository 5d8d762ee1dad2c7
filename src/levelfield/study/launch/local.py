"""Trials on this machine: a few long-lived worker processes, one trial each at a time."""

from __future__ import annotations

import contextlib
import json
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

from levelfield.records.attempts import last_checkpoint
from levelfield.records.codec import to_json, to_plain
from levelfield.records.execution import ExecutionSpec
from levelfield.records.probe_store import directory_of
from levelfield.records.store import StudyDirectory
from levelfield.study.launch.base import LaunchEvent, Planned
from levelfield.study.launch.deaths import MAX_DEATHS, Deaths
from levelfield.study.launch.environment import worker_environment

_MOST_LAST_WORDS = 20
_LAST_WORDS_SECONDS = 2.0
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
        execution: ExecutionSpec,
        checkpoint_seconds: float,
        keeps_weights: bool = False,
    ) -> None:
        self._command = [
            sys.executable,
            *("-m", "levelfield.study.launch.worker", str(directory), device, str(checkpoint_seconds)),
            to_json(execution, indent=None),
            *["--keep-weights"] * keeps_weights,
        ]
        self._environment = worker_environment(execution.threads, processes=num_workers)
        self._waiting: deque[Planned] = deque()
        self._events: queue.Queue[tuple[_Process, dict]] = queue.Queue()
        self._study = StudyDirectory(directory)
        self._deaths = Deaths()
        self._ready: deque[LaunchEvent] = deque()
        self._num_workers = num_workers
        self._processes: list[_Process] = []

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
        """Give what waits to idle workers, starting them as they are needed: one that dies idle is not replaced."""
        while self._waiting:
            process = next((process for process in self._processes if process.trial is None), None)
            if process is None:
                if len(self._processes) == self._num_workers:
                    return
                process = self._start()
                self._processes.append(process)
            trial = self._waiting.popleft()
            process.run(trial)
            self._ready.append(LaunchEvent(kind="started", trial=trial))

    def _take(self, process: _Process, event: dict) -> None:
        trial = process.trial
        if event["event"] == "died":
            self._processes.remove(process)
            process.stop(0.0)
            if trial is not None:
                self._resume(trial, event["reason"], started=process.has_started)
        elif event["event"] == "ready":
            process.has_started = True
        elif trial is None:
            return
        elif event["event"] == "progress":
            self._ready.append(
                LaunchEvent(kind="progress", trial=trial, step=event["step"], num_steps=trial.spec.steps)
            )
        elif event["event"] == "lost":
            process.trial = None
            self._resume(trial, event["reason"], started=True)
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

    def _resume(self, trial: Planned, reason: str, *, started: bool) -> None:
        """Give it to another worker, or give it up: the trial is to blame where one of its workers had ``started``."""
        reached = last_checkpoint(directory_of(self._study, trial.spec).path)
        if blame := self._deaths.give_up(trial.spec.fingerprint, reached=reached, started=started):
            told = f"{reason}, {MAX_DEATHS} times"
            self._ready.append(LaunchEvent(kind="failed", trial=trial, reason=told, blame=blame))
            return
        self._ready.append(LaunchEvent(kind="restarted", trial=trial, reason=reason))
        self._waiting.appendleft(trial)


class _Process:
    """One worker process and the trial it has in hand."""

    def __init__(
        self, command: list[str], environment: dict[str, str], events: queue.Queue[tuple[_Process, dict]]
    ) -> None:
        self.trial: Planned | None = None
        self.has_started = False
        self._last_words: deque[str] = deque(maxlen=_MOST_LAST_WORDS)
        with _interrupts_blocked():
            self._child = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
            )
        self._listener = threading.Thread(target=self._pass_on, daemon=True)
        self._listener.start()
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
        self._listener.join(_LAST_WORDS_SECONDS)
        for pipe in (self._child.stdin, self._child.stdout, self._child.stderr):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):  # what it never read died with it
                    pipe.close()

    def _forward(self, events: queue.Queue[tuple[_Process, dict]]) -> None:
        assert self._child.stdout is not None
        try:
            for line in self._child.stdout:
                events.put((self, json.loads(line)))
        except ValueError:
            return  # closed by stop()
        code = self._child.wait()
        self._listener.join(_LAST_WORDS_SECONDS)
        events.put((self, {"event": "died", "reason": f"its worker died ({_cause(code, tuple(self._last_words))})"}))

    def _pass_on(self) -> None:
        """What the worker says on standard error is shown as it comes, and its end kept: it may say why it died."""
        assert self._child.stderr is not None
        for line in self._child.stderr:
            self._last_words.append(line.rstrip())
            print(line, end="", file=sys.stderr, flush=True)


@contextlib.contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Ctrl-C reaches every process of a terminal: what is started here leaves it to us, who stop it in order."""
    earlier = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, earlier)


def _cause(code: int, last_words: Sequence[str]) -> str:
    if code == -signal.SIGKILL:
        return "signal 9: killed, as the system does to whoever takes its last memory; try fewer workers"
    if code < 0:
        return f"signal {-code}"
    said = [line.strip() for line in last_words if line.strip()]
    return f"{said[-1]}, exit code {code}" if said else f"exit code {code}, without a word"
