"""Attempts at a trial or a probe: each writes in a folder of its own, and one exclusive act says whose work it is.

::

    <item>/attempts/0001/attempt.json   whose attempt it is; laid down with its lease before it gets its number
    <item>/attempts/0001/lease          who works renews it (:mod:`levelfield.records.lease`); it goes when it ends
    <item>/attempts/0001/status.json    how many attempts there were, and the steps that were lost by then
    <item>/attempts/0001/end.json       why it ended, where nothing came of it; one that was killed leaves none
    <item>/attempts/0001/…              checkpoints, trace, records: all that will be published
    <item>/winner.json                  a copy of the attempt.json that was first to get this name

An attempt writes nowhere else. To publish is to give ``attempt.json`` a second name, ``winner.json``: a link, of which
a file system makes one. What the winner left is then moved up, its result last, by the winner or by whoever comes next:
moving it twice is moving it once. So an attempt that wakes up late publishes nothing, whatever it believes of its
lease, and two that worked at once have cost time and nothing else.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from levelfield.records.codec import record
from levelfield.records.ends import End, end_of
from levelfield.records.errors import BusyError, DamagedError, LeaseLostError, StoreError
from levelfield.records.lease import TERM_S, Holder, Lease, LeaseWatch, clock, holder_here
from levelfield.records.sealed import read_record_if_there, write_record
from levelfield.records.trial_state import TrialState
from levelfield.records.writing import fsync_directory, is_there, make_directory, publish_once, told_of

PATIENCE_S = 30.0
"""How long to wait for an attempt that is alive: that of a run which was just killed may end a moment later."""
CHECKPOINTS, CHECKPOINT = "checkpoints", "step_{}.ckpt"
WINNER, RESULT = "winner.json", "result.json"
_FOLDER, _FACTS, _LEASE, _STATUS, _END = "attempts", "attempt.json", "lease", "status.json", "end.json"
_OWN = {_FACTS, _LEASE, _STATUS, _END, CHECKPOINTS}
_LAST = ("timing.json", RESULT)
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.02, 1.0
_FREE = "move it away and run again"

logger = logging.getLogger(__name__)


@record
class AttemptFacts:
    """Attempt ``number`` at what has that ``fingerprint``, and who makes it; its lease is for ``term_s``."""

    fingerprint: str
    number: int
    holder: Holder
    term_s: float


class Attempt:
    """One attempt at the trial or probe in ``item``: its folder, its lease, and those before it, the newest first."""

    def __init__(self, item: Path, facts: AttemptFacts, *, earlier: tuple[Path, ...]) -> None:
        self.item, self.facts, self.earlier = item, facts, earlier
        self.path = item / _FOLDER / _name(facts.number)
        self.lease = Lease(self.path / _LEASE, term_s=facts.term_s)

    def enter(self, *, lost_steps: int) -> TrialState:
        """Write down that the attempts before had come so many steps further than this one begins.

        Raises:
            StoreError: it cannot be written.
        """
        known = (read_record_if_there(TrialState, path / _STATUS) for path in self.earlier)
        lost_before = next((each.lost_steps for each in known if each is not None), 0)
        state = TrialState(
            fingerprint=self.facts.fingerprint,
            state="running",
            attempts=self.facts.number,
            lost_steps=lost_before + lost_steps,
        )
        write_record(self.path / _STATUS, state)
        return state

    def supersede(self) -> None:
        """Collect the checkpoints of those before: this attempt has one of its own."""
        for path in self.earlier:
            shutil.rmtree(path / CHECKPOINTS, ignore_errors=True)

    def publish(self) -> None:
        """Make what lies in the folder, a result among it, what has come of the item.

        Raises:
            LeaseLostError: another attempt has done so, or has taken this one over; nothing is published.
            StoreError: the directory cannot be written.
        """
        self.lease.refuse_if_lost()
        try:
            won = publish_once(self.path / _FACTS, self.item / WINNER)
        except FileNotFoundError:
            won = False
        if not won:
            raise LeaseLostError(f"{self.item}: another attempt has published this work, so this one publishes nothing")
        self.lease.let_go()
        complete(self.item)

    def close(self, error: BaseException | None) -> None:
        """Leave what ``error`` says, where one ended it, and let others go on."""
        if error is None:
            if not is_there(self.item / WINNER):
                shutil.rmtree(self.path, ignore_errors=True)  # it had nothing to do
                with contextlib.suppress(OSError):
                    self.path.parent.rmdir()
        elif not self.lease.was_taken:
            self.note(end_of(error))
        self.lease.let_go()

    def note(self, end: End) -> None:
        """Write down why it ends; on a full disk nobody can."""
        with contextlib.suppress(StoreError):
            write_record(self.path / _END, end)


@contextlib.contextmanager
def attempted(
    item: Path, fingerprint: str, *, patience_s: float = PATIENCE_S, term_s: float = TERM_S
) -> Iterator[Attempt]:
    """An attempt at what lies in the directory ``item``, held for this process until the end of the block.

    Whoever holds it now and is alive is given ``patience_s`` to end; one that is silent, its own term.

    Raises:
        BusyError: another attempt is alive.
        LeaseLostError: this one has been replaced, or believes that it may have been.
        StoreError: the directory cannot be written.
    """
    attempt = _begun(item, fingerprint, patience_s=patience_s, term_s=term_s)
    try:
        yield attempt
    except BaseException as error:
        replaced = isinstance(error, Exception) and attempt.lease.was_taken
        attempt.close(error)
        if replaced and not isinstance(error, LeaseLostError):
            raise LeaseLostError(f"{attempt.path}: another attempt has taken this work over ({error})") from error
        raise
    attempt.close(None)


def complete(item: Path) -> None:
    """Move up what the winner of ``item`` has left, its result last, where that is still to be done; then collect all
    attempts. Whoever is late at one of them finds its lease gone.

    Raises:
        DamagedError: there is a winner, and nothing of what it left.
        StoreError: the directory cannot be written.
    """
    winner = None if is_there(item / RESULT) else read_record_if_there(AttemptFacts, item / WINNER)
    if winner is not None:
        _move_up(item, winner)
    if is_there(item / RESULT) and is_there(item / _FOLDER):
        shutil.rmtree(item / _FOLDER, ignore_errors=True)


def _move_up(item: Path, winner: AttemptFacts) -> None:
    folder = item / _FOLDER / _name(winner.number)
    left = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    if RESULT not in left and not is_there(item / RESULT):
        raise DamagedError(f"{item / WINNER} names attempt {winner.number}, of which no result is left", _FREE)
    first = sorted(name for name in left if name not in _OWN and name not in _LAST and not name.startswith("."))
    for name in (*first, *_LAST):
        # Another process may be moving the same: what is no longer here lies there.
        with contextlib.suppress(FileNotFoundError), told_of(item / name, but=FileNotFoundError):
            os.rename(folder / name, item / name)
    fsync_directory(item)


def attempts_at(item: Path) -> tuple[Path, ...]:
    """The folders of all attempts at ``item`` that are kept, the newest first."""
    folder = item / _FOLDER
    if not folder.is_dir():
        return ()
    found = (path for path in folder.iterdir() if path.name.isdecimal() and path.is_dir())
    return tuple(sorted(found, key=lambda path: int(path.name), reverse=True))


def last_checkpoint(item: Path) -> int:
    """The step of the newest checkpoint that lies there of any attempt at ``item``; 0 where none does."""
    found = item.glob(f"{_FOLDER}/*/{CHECKPOINTS}/{CHECKPOINT.format('[0-9]' * 10)}")
    return max((int(path.stem.removeprefix("step_")) for path in found), default=0)


def _name(number: int) -> str:
    return f"{number:04d}"


def _begun(item: Path, fingerprint: str, *, patience_s: float, term_s: float) -> Attempt:
    while True:
        earlier = _free(item, patience_s)
        number = 1 + max((int(path.name) for path in earlier), default=0)
        facts = AttemptFacts(fingerprint=fingerprint, number=number, holder=holder_here(), term_s=term_s)
        attempt = Attempt(item, facts, earlier=earlier)
        if _lay(attempt):
            break
    for path in earlier:
        (path / _LEASE).unlink(missing_ok=True)  # who wakes up there is told
    attempt.lease.hold()
    return attempt


def _lay(attempt: Attempt) -> bool:
    """Give ``attempt`` its folder, whole at once; False where another has taken the number."""
    make_directory(attempt.path.parent)
    laid = attempt.path.with_name(f".{uuid.uuid4().hex}")
    make_directory(laid)
    write_record(laid / _FACTS, attempt.facts)
    Lease.lay(laid / _LEASE)
    with told_of(attempt.path):
        try:
            os.rename(laid, attempt.path)
        except OSError as error:
            shutil.rmtree(laid, ignore_errors=True)
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT):
                return False
            raise
    return True


def _free(item: Path, patience_s: float) -> tuple[Path, ...]:
    """All attempts at ``item``, once none of them is at work any more."""
    end, pause, told = clock() + patience_s, _FIRST_PAUSE_S, False
    watches: dict[Path, LeaseWatch] = {}
    while True:
        found = attempts_at(item)
        for path in found:
            if path not in watches:
                watches[path] = watch_of(path)
        seen = {path: watches[path].look() for path in found}
        at_work = [path for path, how in seen.items() if how in ("alive", "unsure")]
        if not at_work:
            return found
        holder = watches[at_work[0]].holder
        who = "another process" if holder is None else f"{holder.words} (another process)"
        if any(how == "alive" for how in seen.values()) and clock() >= end:
            raise BusyError(f"{item.name} is being run by {who}")
        if not told and pause >= _LONGEST_PAUSE_S:
            logger.warning("%s is held by %s: waiting until it ends, or has been silent for long", item.name, who)
            told = True
        time.sleep(pause)
        pause = min(_LONGEST_PAUSE_S, 1.5 * pause)


def watch_of(path: Path) -> LeaseWatch:
    """The lease of the attempt in ``path``, watched from now on."""
    try:
        facts = read_record_if_there(AttemptFacts, path / _FACTS)
    except (DamagedError, StoreError):
        facts = None
    if facts is None:
        return LeaseWatch(path / _LEASE, holder=None)
    return LeaseWatch(path / _LEASE, holder=facts.holder, term_s=facts.term_s)


def last_end(item: Path) -> End | None:
    """Why the newest attempt at ``item`` ended; None where it works, or was killed without a word.

    Raises:
        DamagedError: the record is damaged.
    """
    newest = attempts_at(item)[:1]
    return read_record_if_there(End, newest[0] / _END) if newest else None
