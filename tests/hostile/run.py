"""Runs a kind of hostile inputs: attempts in a child process, by a clock and a limit of memory (Linux)."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

MOST_SECONDS = 10.0
MOST_BYTES = 2 * 10**9
FAULTS = ("wrong", "traceback", "slow", "large")
_BATCH = 500
"""Attempts a child makes before a fresh one takes over, so that what one leaves behind cannot grow without end."""
_STARTING_SECONDS = 600.0
_LOOK_EVERY_SECONDS = 0.05


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One case and what came of it: right, refused, or one of ``FAULTS``; ``peak`` in bytes, of the whole process."""

    index: int
    verdict: str
    what: str
    trace: str
    seconds: float
    peak: int


@dataclass(frozen=True, kw_only=True)
class Tally:
    """All attempts of a kind, by index."""

    kind: str
    seed: int
    attempts: tuple[Attempt, ...]

    @property
    def faults(self) -> tuple[Attempt, ...]:
        return tuple(attempt for attempt in self.attempts if attempt.verdict in FAULTS)

    def count(self, verdict: str) -> int:
        return Counter(attempt.verdict for attempt in self.attempts)[verdict]

    def told(self) -> str:
        """The faults as a test's message: each kind of fault once, with the command that repeats it."""
        by_what: dict[tuple[str, str], list[Attempt]] = {}
        for fault in self.faults:
            by_what.setdefault((fault.verdict, fault.what[:60]), []).append(fault)
        return "\n".join(
            f"{len(those)} x {verdict}: {those[0].what}\n"
            f"    python -m tests.hostile {self.kind} --seed {self.seed} --only {those[0].index}"
            for (verdict, _), those in by_what.items()
        )


def run_kind(
    kind: str,
    indices: range,
    *,
    seed: int,
    seconds: float = MOST_SECONDS,
    most_bytes: int = MOST_BYTES,
    workers: int = 1,
    each: Callable[[Attempt], None] = lambda attempt: None,
) -> Tally:
    """Attempt the cases ``indices`` of a kind; one that takes longer or more than it may is killed and counted."""

    def share(worker: int) -> list[Attempt]:
        child = _Child(kind, seed)
        try:
            found = []
            for made, index in enumerate(indices[worker::workers]):
                if made % _BATCH == _BATCH - 1:
                    child.end()
                found.append(child.attempt(index, seconds, most_bytes))
                each(found[-1])
            return found
        finally:
            child.end()

    with ThreadPoolExecutor(workers) as pool:
        attempts = [attempt for part in pool.map(share, range(workers)) for attempt in part]
    return Tally(kind=kind, seed=seed, attempts=tuple(sorted(attempts, key=lambda attempt: attempt.index)))


class _Child:
    """A process that makes attempts one by one, started when needed, ended by its id with whatever it started."""

    def __init__(self, kind: str, seed: int) -> None:
        self._command = [sys.executable, "-m", "tests.hostile.child", f"tests.hostile.{kind}", str(seed)]
        self._process: subprocess.Popen[bytes] | None = None
        self._unread = b""

    def attempt(self, index: int, seconds: float, most_bytes: int) -> Attempt:
        process = self._process if self._process and self._forget_peak(self._process) else self._start()
        assert process.stdin is not None
        process.stdin.write(b"%d\n" % index)
        process.stdin.flush()
        clock, peak = _Clock(process.pid), 0
        verdict, what, trace = "slow", f"more than {seconds:g} s", ""
        while (taken := clock.look()) < seconds:
            answer = self._answer(_LOOK_EVERY_SECONDS)
            peak = max(peak, _peak(process.pid))
            if answer is not None:
                verdict, what, trace = answer["verdict"], answer["what"], answer["trace"]
                break
            if process.poll() is not None:
                verdict, what = "traceback", f"the process died with code {process.returncode}"
                break
            if peak > most_bytes:
                break
        if peak > most_bytes:
            verdict, what = "large", f"{peak / 1e9:.1f} GB{': ' if what else ''}{what if trace else ''}"
        if verdict in ("slow", "large") or process.poll() is not None:
            self.end()
        return Attempt(index=index, verdict=verdict, what=what, trace=trace, seconds=taken, peak=peak)

    def end(self) -> None:
        process, self._process, self._unread = self._process, None, b""
        if process is not None:
            with contextlib.suppress(ProcessLookupError):  # it died, and had started nothing
                os.killpg(process.pid, signal.SIGKILL)  # its own group: also what an attempt has started
            process.wait()
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None
                pipe.close()

    def _start(self) -> subprocess.Popen[bytes]:
        self.end()
        process = self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            start_new_session=True, bufsize=0,
        )  # fmt: skip
        begun = time.monotonic()
        while self._answer(1.0) is None:
            if process.poll() is not None or time.monotonic() - begun > _STARTING_SECONDS:
                self.end()
                raise RuntimeError(f"{' '.join(self._command)} does not start; run it by hand to see why")
        return process

    def _answer(self, seconds: float) -> dict[str, str] | None:
        """The next line that the child writes; None where none is whole within ``seconds``."""
        assert self._process is not None
        assert self._process.stdout is not None
        if b"\n" not in self._unread and select.select([self._process.stdout], [], [], seconds)[0]:
            self._unread += self._process.stdout.read(1 << 20)
        line, end, rest = self._unread.partition(b"\n")
        if not end:
            return None
        self._unread = rest
        return json.loads(line)

    def _forget_peak(self, process: subprocess.Popen[bytes]) -> bool:
        """Set the peak back to what the process holds now; False where it is gone or that is not permitted."""
        if process.poll() is not None:
            return False
        try:
            Path(f"/proc/{process.pid}/clear_refs").write_text("5")
        except PermissionError:
            return False  # a fresh child has a fresh peak
        return True


class _Clock:
    """The seconds that a process computes or waits, less those in which it stands in the queue for a processor.

    So a hang counts in full, blocked or in a loop, and a busy machine makes nothing slow.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._taken = 0.0
        self._computed, _ = _computed(pid)
        self._at = time.monotonic()

    def look(self) -> float:
        now, (computed, runnable) = time.monotonic(), _computed(self._pid)
        more = max(0.0, computed - self._computed)
        self._taken += more if more or runnable else now - self._at
        self._at, self._computed = now, computed
        return self._taken


def _computed(pid: int) -> tuple[float, bool]:
    """Processor seconds of process ``pid``, and whether it would go on if it had a processor."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0, False
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), fields[0] == "R"


def _peak(pid: int) -> int:
    """The most memory that process ``pid`` has held since it was last forgotten, in bytes; 0 where it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)
