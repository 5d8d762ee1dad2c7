"""Trials on a cluster, whichever: what is to be submitted, what has become of it, and what is tried again."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

from levelfield.records.attempts import last_checkpoint
from levelfield.records.code_version import code_version
from levelfield.records.ends import End
from levelfield.records.execution import ExecutionSpec
from levelfield.records.probe import ProbeSpec
from levelfield.records.probe_store import directory_of, probe_directory
from levelfield.records.store import StudyDirectory
from levelfield.study.launch.base import LaunchEvent, Planned
from levelfield.study.launch.cluster import Blame, Job, JobOrder, JobPlacer, JobState
from levelfield.study.launch.deaths import MAX_DEATHS, Deaths
from levelfield.study.launch.foretelling import Foretelling
from levelfield.study.launch.intents import Intent, Intents
from levelfield.study.launch.watched import ItemSeen, WatchedItem, newest_attempt

_LOOK_EVERY_S = 1.0
"""How often directories are looked into; a cluster is asked as often as it likes."""
_FULL_S, _FULL_AT_MOST_S = 5.0, 120.0
"""How long to wait where a cluster takes no more, at first and at the most."""
_SAVING_S = 60.0
"""How long jobs may take to end, saved, when the study is stopped."""

OpenCluster: TypeAlias = Callable[[Path, str], JobPlacer]
"""Opens a cluster for the study in a directory, whose jobs have names that begin so."""

logger = logging.getLogger(__name__)


@dataclasses.dataclass(kw_only=True)
class _InHand:
    """A job that was submitted: for which trial, and what has been told of it."""

    trial: Planned
    intent: Intent
    item: WatchedItem
    told_step: int = -1
    has_begun: bool = False


class ClusterLauncher:
    """Has up to ``num_workers`` jobs placed on a cluster at a time; one that ends without a result is placed again.

    What an earlier process has submitted is found by its name and taken over; what is not asked for again until the
    first event is cancelled. Everything else is as in :class:`levelfield.study.launch.local.LocalLauncher`.
    """

    def __init__(
        self,
        directory: Path,
        *,
        name: str,
        open_cluster: OpenCluster,
        num_workers: int,
        device: str,
        execution: ExecutionSpec,
        checkpoint_seconds: float,
        keeps_weights: bool = False,
    ) -> None:
        self._study, self._most = StudyDirectory(directory.absolute()), num_workers
        self._order = JobOrder(
            device=device, execution=execution, checkpoint_seconds=checkpoint_seconds, keeps_weights=keeps_weights,
            code=code_version(),
        )  # fmt: skip
        self._foretold = Foretelling(self._study, device=device, execution=execution)
        self._intents, self._deaths = Intents(self._study.path, name), Deaths()
        self._waiting: deque[Planned] = deque()
        self._ready: deque[LaunchEvent] = deque()
        self._in_hand: dict[str, _InHand] = {}
        self._full_s, self._not_before, self._looked_at = _FULL_S, 0.0, 0.0
        self._cluster = open_cluster(self._study.path, self._intents.prefix)
        self._left = self._taken_over()

    def submit(self, trial: Planned) -> None:
        if isinstance(trial.spec, ProbeSpec):
            probe_directory(self._study, trial.spec).open(trial.spec)
        else:
            self._study.trial(trial.spec).open(trial.spec)
        self._waiting.append(trial)
        self._feed()

    def next_event(self, timeout_s: float | None = None) -> LaunchEvent | None:
        self._cancel_orphans()
        end = None if timeout_s is None else time.monotonic() + timeout_s
        while not self._ready:
            left = _LOOK_EVERY_S if end is None else end - time.monotonic()
            self._look(self._cluster.poll(min(max(0.0, left), _LOOK_EVERY_S)), everywhere=left <= 0)
            self._feed()
            if left <= 0:
                break
        return self._ready.popleft() if self._ready else None

    def close(self) -> None:
        self._left.update({job.intent.fingerprint: job.intent for job in self._in_hand.values()})
        try:
            self._cancel_orphans()
        finally:
            self._cluster.close()
            with contextlib.suppress(OSError):  # there may be logs of what failed
                self._intents.folder.rmdir()

    def _taken_over(self) -> dict[str, Intent]:
        """What an earlier process has left, by fingerprint, as far as the cluster knows of it."""
        left = self._intents.left()
        known = self._cluster.poll(0.0) if left else {}
        kept = {}
        for intent in left:
            state = known.get(intent.name)
            if state is None or state.kind == "ended":
                self._intents.end(intent)
            else:
                kept[intent.fingerprint] = dataclasses.replace(intent, id=state.id)
        return kept

    def _cancel_orphans(self) -> None:
        """Stop what nobody asks for any more, and wait until it is written down where it stands."""
        if not self._left:
            return
        names = {intent.name for intent in self._left.values()}
        self._cluster.cancel([intent.id for intent in self._left.values() if intent.id is not None])
        end = time.monotonic() + _SAVING_S
        while time.monotonic() < end:
            states = self._cluster.poll(_LOOK_EVERY_S)
            if all(name not in states or states[name].kind == "ended" for name in names):
                for intent in self._left.values():
                    self._intents.end(intent)
                    if (state := states.get(intent.name)) is not None:
                        self._cluster.forget(state)
                break
        else:
            logger.warning("%d jobs have been cancelled and have not ended after %.0f s", len(names), _SAVING_S)
        self._left.clear()

    def _feed(self) -> None:
        """Submit what waits, as many as may be at a time and as the cluster takes."""
        while self._waiting and len(self._in_hand) < self._most and time.monotonic() >= self._not_before:
            trial = self._waiting[0]
            directory = directory_of(self._study, trial.spec).path
            intent = self._adopted(trial) or self._submitted(trial, directory)
            if intent is None:
                return
            self._waiting.popleft()
            self._in_hand[intent.name] = _InHand(trial=trial, intent=intent, item=WatchedItem(directory))

    def _adopted(self, trial: Planned) -> Intent | None:
        """The job that an earlier process has submitted for ``trial``, if it runs the same code in the same way."""
        intent = self._left.get(trial.spec.fingerprint)
        if intent is None or intent.order != self._order:
            return None
        del self._left[trial.spec.fingerprint]
        self._intents.write(intent)
        return intent

    def _submitted(self, trial: Planned, directory: Path) -> Intent | None:
        intent = self._intents.begin(
            trial.spec.fingerprint, directory, after=newest_attempt(directory), order=self._order
        )
        job = Job(
            name=intent.name,
            item=directory,
            needs=self._foretold.needs(trial),
            order=self._order,
            order_path=self._intents.path_of(intent),
        )
        try:
            placed = self._cluster.submit(job)
        except BaseException:
            self._intents.end(intent)
            raise
        if placed is None:
            self._intents.end(intent)
            if self._full_s == _FULL_S:
                logger.warning("the cluster takes no more jobs for now: %d wait here", len(self._waiting))
            self._not_before, self._full_s = time.monotonic() + self._full_s, min(2 * self._full_s, _FULL_AT_MOST_S)
            return None
        self._full_s = _FULL_S
        intent = dataclasses.replace(intent, id=placed)
        self._intents.write(intent)
        return intent

    def _look(self, states: Mapping[str, JobState], *, everywhere: bool) -> None:
        """Tell what has happened: of what has ended at once, of the rest once a second."""
        everywhere = everywhere or time.monotonic() - self._looked_at >= _LOOK_EVERY_S
        if everywhere:
            self._looked_at = time.monotonic()
        for job in tuple(self._in_hand.values()):
            gone = JobState(kind="ended", id=job.intent.id or "", reason="the cluster knows of it no more")
            state = states.get(job.intent.name, gone)
            if everywhere or state.kind == "ended":
                self._judge(job, state)

    def _judge(self, job: _InHand, state: JobState) -> None:
        seen = job.item.look()
        job.has_begun = job.has_begun or seen.number > job.intent.after
        if seen.is_done:
            self._tell_started(job)
            self._drop(job, state)
            self._foretold.learn(job.trial)
            self._ready.append(LaunchEvent(kind="finished", trial=job.trial))
        elif seen.is_held:  # by this job, or by another process; a lease that nobody renews runs out
            self._tell_started(job)
            if seen.step > max(0, job.told_step):
                job.told_step, num_steps = seen.step, job.trial.spec.steps
                self._ready.append(LaunchEvent(kind="progress", trial=job.trial, step=seen.step, num_steps=num_steps))
        elif state.kind == "ended":
            self._tell_started(job)
            self._ended(job, seen, state)

    def _tell_started(self, job: _InHand) -> None:
        if job.told_step < 0:
            job.told_step = 0
            self._ready.append(LaunchEvent(kind="started", trial=job.trial))

    def _ended(self, job: _InHand, seen: ItemSeen, state: JobState) -> None:
        """A job is over and its item is not done: it failed for good, or is tried again."""
        end = seen.end if seen.number > job.intent.after else None
        reason, blame = _told(end, state)
        if blame is None:
            reached = last_checkpoint(job.item.path)
            blame = self._deaths.give_up(job.intent.fingerprint, reached=reached, started=job.has_begun)
            reason = f"{reason}, {MAX_DEATHS} times" if blame is not None else reason
        if blame is None:
            self._drop(job, state)
            self._waiting.appendleft(job.trial)
            self._ready.append(LaunchEvent(kind="restarted", trial=job.trial, reason=reason))
        else:
            self._intents.end(job.intent)
            del self._in_hand[job.intent.name]
            self._ready.append(LaunchEvent(kind="failed", trial=job.trial, reason=reason, blame=blame))

    def _drop(self, job: _InHand, state: JobState) -> None:
        del self._in_hand[job.intent.name]
        self._intents.end(job.intent)
        self._cluster.forget(state)


def _told(end: End | None, state: JobState) -> tuple[str, Blame | None]:
    """Why an item has no result, and whose fault that is; None where it may be tried again."""
    if end is None:
        return state.reason or "its job has ended without a word", state.blame
    if end.kind == "memory":
        return f"{end.reason}; use a smaller size or a smaller batch, or ask for more memory", "trial"
    blamed: dict[str, Blame] = {"input": "input", "store": "store", "error": "trial"}
    return end.reason, blamed.get(end.kind)
