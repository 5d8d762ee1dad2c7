"""What a job of Slurm calls: a command that runs one work item, and is told when its time is over.

Slurm sends SIGUSR2 to the job alone some time before its limit, and at a preemption where a site has it do so: submitit
then asks for :meth:`SlurmJobCall.checkpoint` and puts the job back into the queue. SIGTERM (a cancelled job; the end of
the grace of a preemption) goes to every process of it: the item saves itself, and whoever waits for it just waits.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from typing import Any, NoReturn

GRACE_S = 90
"""How long before its limit a job is told."""
_SAVING_S = 75.0


@dataclasses.dataclass
class SlurmJobCall:
    """Runs ``command`` with more ``variables`` in its environment; submitit's own commands are not put back into the
    queue, an object with ``checkpoint`` is."""

    command: tuple[str, ...]
    variables: dict[str, str]
    child: Any = None

    def __call__(self) -> NoReturn:
        # Blocked rather than ignored meanwhile: a signal that comes now waits, and the child never sees SIGUSR2.
        earlier = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
        try:
            self.child = subprocess.Popen(self.command, env={**os.environ, **self.variables})
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, earlier)
        code = self.child.wait()
        # Some sites put what ends with a certain code back; and what exits leaves no pickle of a result behind.
        sys.exit(code if code >= 0 else 128 - code)

    def checkpoint(self) -> object:
        """Have the item save itself and end; what is to be run when the job comes again is the same."""
        from submitit.helpers import DelayedSubmission

        if self.child is not None:
            self.child.terminate()
            if not _ends(self.child.pid, _SAVING_S):
                self.child.kill()
        return DelayedSubmission(dataclasses.replace(self, child=None))


def _ends(pid: int, seconds: float) -> bool:
    """Whether a child ends meanwhile. It is left for whoever was interrupted while waiting for it: that holds the lock
    of ``Popen.wait``."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                return True
        except ChildProcessError:
            return True
        time.sleep(0.1)
    return False
