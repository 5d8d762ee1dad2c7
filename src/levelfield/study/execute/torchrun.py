"""A trial over several devices of this machine: torchrun starts its ranks, and what became of them is read from disk.

A rank that dies takes all of them along; they are begun again from the last checkpoint, a bounded number of times.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from levelfield.records.attempts import attempts_at, last_checkpoint, last_end, watch_of
from levelfield.records.ends import End, end_of
from levelfield.records.errors import (
    BusyError,
    InputError,
    LeaseLostError,
    LevelfieldError,
    StoreError,
    TrialError,
    UnfinishedError,
)
from levelfield.records.execution import ExecutionSpec
from levelfield.records.lease import clock
from levelfield.study.execute.stopping import held_signals
from levelfield.train.ranks import Ranks

MOST_DEATHS = 3
"""Ranks that die so often without a checkpoint in between are not begun again: it would only happen again."""
_TIED = "LEVELFIELD_ENDS_WITH_STDIN"
"""The variable by which ranks know that whoever began them holds the other end of their standard input."""
_LOOK_S = 0.2
_GOES_ON = "the same command goes on from there"
_RAISED: dict[str, type[LevelfieldError]] = {
    "input": InputError,
    "store": StoreError,
    "lease": LeaseLostError,
    "time": UnfinishedError,
    "memory": TrialError,
    "error": TrialError,
}
"""What an end says that a retry would not mend. One that was "stopped" though nobody here was told to stop was ended by
torchrun, which had seen another rank die first."""


def run_over_ranks(
    item: Path,
    *,
    device: str,
    execution: ExecutionSpec,
    checkpoint_seconds: float,
    term_s: float,
    until: float | None,
    is_done: Callable[[], bool],
    on_step: Callable[[int], None],
) -> None:
    """Run the trial in the directory ``item`` on ``execution.num_devices`` devices of this machine, to its end.

    Raises:
        LevelfieldError: as if it ran in this process.
        TrialError: its ranks have died too often.
    """
    deaths, reached = 0, last_checkpoint(item)
    while True:
        before = len(attempts_at(item))
        options = ["--device", device, "--threads", execution.threads, "--checkpoint-every", checkpoint_seconds]
        options += ["--lease", term_s]
        if execution.prefetch is not None:
            options += ["--prefetch", execution.prefetch]
        code = _torchrun(item, execution.num_devices, options, until=until, on_step=on_step)
        if is_done():
            return
        if until is not None and clock() >= until:
            raise UnfinishedError(f"the time is over after step {last_checkpoint(item)}: {_GOES_ON}")
        if code == 0:
            raise BusyError(f"{item.name} is being run by another process")
        end = last_end(item) if len(attempts_at(item)) > before else None
        if end is not None and end.kind in _RAISED:
            _raise(end)
        if (now := last_checkpoint(item)) > reached:
            deaths, reached = 0, now
        deaths += 1
        if deaths == MOST_DEATHS:
            why = "it was killed" if end is None else end.reason
            raise TrialError(f"{item.name}: its ranks died {MOST_DEATHS} times with no checkpoint in between ({why})")


def end_with_stdin() -> None:
    """Let this rank end as soon as whoever began it is gone, if it was begun so."""
    if _TIED in os.environ:
        threading.Thread(target=_wait_for_the_end, daemon=True).start()


@contextlib.contextmanager
def told_once(item: Path, ranks: Ranks) -> Iterator[None]:
    """Leave it to whoever began these ranks to say how the attempt at ``item`` has ended, if they were begun so: this
    one then ends without a word, unless it knows more than what is written down there."""
    try:
        yield
    except (LevelfieldError, KeyboardInterrupt) as error:
        if not ranks.alone:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # by which torchrun ends those that are ending
        if _TIED not in os.environ:
            raise
        known = last_end(item) == end_of(error) if ranks.is_first else not isinstance(error, InputError)
        if not known:
            raise
        sys.exit(1)


def _wait_for_the_end() -> NoReturn:
    while os.read(0, 1):  # sys.stdin has a lock, which must be free when Python ends
        pass
    os._exit(os.EX_TEMPFAIL)


def _raise(end: End) -> NoReturn:
    raise _RAISED[end.kind](end.reason)


def _torchrun(
    item: Path, num_ranks: int, options: list[object], *, until: float | None, on_step: Callable[[int], None]
) -> int:
    """Its exit code. A signal is passed on, and the end of the time is one: the ranks save their state and end."""
    starts = ["-m", __name__, "--standalone", "--nproc-per-node", num_ranks, "-m", "levelfield"]
    command = [sys.executable, *starts, "trial", "run", item, *options]
    before, told = set(attempts_at(item)), 0
    with held_signals() as held:
        child = subprocess.Popen(
            list(map(str, command)),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            env={**os.environ, _TIED: "1"},
            start_new_session=True,
        )
        try:
            watch = None
            while child.poll() is None:
                if held or (until is not None and clock() >= until):
                    child.terminate()
                    child.wait()
                    break
                if watch is None:
                    new = [path for path in attempts_at(item) if path not in before]
                    watch = watch_of(new[0]) if new else None
                elif watch.look() != "gone":
                    for step in range(told + 1, watch.step + 1):
                        on_step(step)
                    told = max(told, watch.step)
                time.sleep(_LOOK_S)
        finally:
            assert child.stdin is not None
            child.stdin.close()
            child.wait()
    return child.returncode


def main(arguments: Sequence[str]) -> int:
    """What ``torchrun`` does, without its tale of a rank that ended: that is told by whoever started this."""
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import parse_args, run

    logging.disable(logging.ERROR)
    try:
        run(parse_args(arguments))
    except ChildFailedError:
        return 1
    except SignalException as stop:
        return 128 + stop.sigval
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
