"""Leases: who works on something says so again and again, and is believed to be gone after a long silence.

A lease is a file with a counter. Its holder counts on; whoever looks judges by whether the counter has *changed*, on
the clock of the looker, so no two machines' clocks are ever compared. A holder that could not count on for a third of
the term stops by its own clock, long before anybody may take its place. On one machine a holder that has died is known
to be dead at once.

No file system can keep a paused process from waking up: that it then harms nothing is the business of
:mod:`levelfield.records.attempts`, which publishes by one exclusive act. A lease only keeps work from being done twice.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeAlias

from levelfield.records.codec import later, record
from levelfield.records.errors import LeaseLostError
from levelfield.records.files import read_regular
from levelfield.records.writing import told_of

TERM_S = 200.0
"""After so long a silence others may take over: more than three times what NFS may serve attributes from memory for
(``acregmax``, 60 s)."""
_RENEWALS = 40
"""How often a lease is renewed in its term."""
_OWN_SHARE = 1 / 3
"""After this share of the term without a renewal its holder stops."""
_LONGER = 100
"""A step may take so many times the longest that was seen before it is called hung."""
_MOST_BYTES = 4096
_LINE = "{count:020d} {step:020d}\n"

Seen: TypeAlias = Literal["gone", "silent", "alive", "unsure"]


def clock() -> float:
    """Seconds that only grow, those a machine sleeps among them where the system tells."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


@record
class Holder:
    """A process: its ``host``, the ``boot`` and the ``namespace`` that its ``pid`` counts in, and when it ``began``, in
    ticks since that boot. What a system does not tell is None."""

    host: str
    pid: int
    boot: str | None = later(default=None)
    namespace: str | None = later(default=None)
    began: int | None = later(default=None)

    @property
    def words(self) -> str:
        return f"process {self.pid} on {self.host}"

    @property
    def has_died(self) -> bool:
        """Whether that is certain: it ran on this machine and runs no more. Of other machines nothing is known."""
        here = holder_here()
        if (self.host, self.boot, self.namespace) != (here.host, here.boot, here.namespace):
            return False
        if self.boot is not None:
            stat = _stat_of(self.pid)
            return stat is None or stat[0] in ("Z", "X") or stat[1] != self.began
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except OSError:
            return False
        return False


def holder_here() -> Holder:
    """This process."""
    boot, namespace, stat = None, None, _stat_of(os.getpid())
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        namespace = os.readlink("/proc/self/ns/pid")
    if stat is None or boot is None or namespace is None:
        return Holder(host=socket.gethostname(), pid=os.getpid())
    return Holder(host=socket.gethostname(), pid=os.getpid(), boot=boot, namespace=namespace, began=stat[1])


def _stat_of(pid: int) -> tuple[str, int] | None:
    """The state of a process and when it began, by ``/proc``; None where there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        return fields[0], int(fields[19])
    except (OSError, ValueError, IndexError):
        return None


class Lease:
    """A hold of the file at ``path`` for ``term_s`` seconds, renewed by a thread until it is let go.

    ``step`` is how far the work is; it is told with every renewal. ``hung_after_s`` is how long it may stand still,
    once it has moved, and no less than a hundred times the longest that was seen: then ``on_hang`` is called, by that
    thread, with the seconds.
    """

    def __init__(self, path: Path, *, term_s: float = TERM_S) -> None:
        self.path, self.term_s = path, term_s
        self.step = 0
        self.hung_after_s: float | None = None
        self.on_hang: Callable[[float], None] = lambda seconds: None
        self._count, self._renewed, self._taken, self._late = 0, clock(), False, False
        self._let_go = threading.Event()
        self._renewer = threading.Thread(target=self._keep_on, daemon=True)

    @staticmethod
    def lay(path: Path) -> None:
        """Make the file that :meth:`hold` goes on from, in a place that nobody looks at yet.

        Raises:
            StoreError: it cannot be written.
        """
        with told_of(path):
            path.write_text(_LINE.format(count=0, step=0))

    def hold(self) -> None:
        """Renew it from now on."""
        self._renewed = clock()
        self._renewer.start()

    def refuse_if_lost(self) -> None:
        """Nothing is done by a holder whom others may believe to be gone.

        Raises:
            LeaseLostError: the lease was taken away, or could not be renewed in time.
        """
        if self._taken:
            raise LeaseLostError(f"{self.path.parent}: another attempt has taken this work over")
        if self._is_late(clock()):
            raise LeaseLostError(
                f"{self.path}: could not be renewed for a third of {self.term_s:g} s (the process was stopped, or its "
                "disk was away), so that others may soon believe this attempt to be dead"
            )

    @property
    def was_taken(self) -> bool:
        """Whether the file has gone: whoever takes over removes it."""
        return self._taken or not self.path.exists()

    def _is_late(self, now: float) -> bool:
        self._late = self._late or now - self._renewed > self.term_s * _OWN_SHARE
        return self._late

    def let_go(self) -> None:
        """Others may go on at once."""
        self._let_go.set()
        if self._renewer.is_alive():
            self._renewer.join()
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)

    def _keep_on(self) -> None:
        moved_at, step, longest = clock(), self.step, 0.0
        while not self._let_go.wait(self.term_s / _RENEWALS):
            if self._is_late(clock()):
                return  # whoever wakes up late renews no more
            self._renew()
            if self._taken:
                return
            now = clock()
            if self.step != step:
                longest, moved_at, step = max(longest, now - moved_at), now, self.step
            allowed = self.hung_after_s
            if allowed is not None and step and now - moved_at > max(allowed, _LONGER * longest):
                self.on_hang(now - moved_at)

    def _renew(self) -> None:
        asked, self._count = clock(), self._count + 1
        try:
            descriptor = os.open(self.path, os.O_WRONLY)  # never made anew: gone is taken
            try:
                os.pwrite(descriptor, _LINE.format(count=self._count, step=self.step).encode(), 0)
            finally:
                os.close(descriptor)
        except FileNotFoundError:
            self._taken = True
        except OSError:
            return  # the next turn may succeed; for how long that may go on is what the own clock says
        else:
            self._renewed = asked


class LeaseWatch:
    """What somebody has seen of the lease at ``path`` since the first look; ``holder`` is None where nobody knows."""

    def __init__(self, path: Path, *, holder: Holder | None, term_s: float = TERM_S) -> None:
        self.path, self.holder, self.term_s = path, holder, term_s
        self.step = 0
        self._content: bytes | None = None
        self._changed_at = clock()
        self._has_changed = False

    def look(self) -> Seen:
        """How the holder stands: "gone" is certain, "silent" is believed after a whole term without a change."""
        try:
            content = read_regular(self.path, at_most=_MOST_BYTES)
        except FileNotFoundError:
            return "gone"
        except OSError:
            content = b""  # damaged: nobody renews it
        if self.holder is not None and self.holder.has_died:
            return "gone"
        now = clock()
        if self._content is not None and content != self._content:
            self._has_changed, self._changed_at = True, now
        self._content, self.step = content, _step_in(content)
        if now - self._changed_at > self.term_s:
            return "silent"
        return "alive" if self._has_changed else "unsure"


def _step_in(content: bytes) -> int:
    try:
        return int(content.split()[1])
    except (ValueError, IndexError):
        return 0
