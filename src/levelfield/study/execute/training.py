"""The training of a trial, as far as it has come and to its end: checkpoints, trace, and signals that wait."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from levelfield.data.loader import Batch
from levelfield.records.attempts import Attempt
from levelfield.records.code_version import code_version
from levelfield.records.codec import to_plain
from levelfield.records.errors import UnfinishedError
from levelfield.records.execution import Execution
from levelfield.records.store import TrialFiles
from levelfield.records.trial_state import TrialState
from levelfield.study.execute.executed import threads_ahead
from levelfield.study.execute.lockstep import Wish, spent_by_all, wish_of_all
from levelfield.study.execute.parts import TrialParts
from levelfield.study.execute.stopping import SaveDue, held_signals
from levelfield.train.checkpoint import CheckpointFolder
from levelfield.train.clipped import ClippedLog
from levelfield.train.lagging import LaggingStep, lagging_steps
from levelfield.train.loop import training_steps
from levelfield.train.metrics import MetricsLog
from levelfield.train.queued_time import QueuedTime
from levelfield.train.step import StepReport
from levelfield.train.timing import Stopwatch

OnStep: TypeAlias = Callable[[StepReport], None]
LOGGED_STEPS = 100
HUNGRY = 0.1
"""Share of its time that a trial may wait for data before that is told."""
_GOES_ON = "the same command goes on from there"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, eq=False)
class Training:
    """A trial in training by an ``attempt``: its ``parts``, what it has cost by now, and the ``code`` and
    ``executions`` that ran it."""

    parts: TrialParts
    attempt: Attempt
    checkpoints: CheckpointFolder
    metrics: MetricsLog
    clipped: ClippedLog
    stopwatch: Stopwatch
    code: tuple[str, ...]
    executions: tuple[Execution, ...]
    begun: TrialState

    @property
    def readers(self) -> int:
        """Threads that render batches ahead."""
        return threads_ahead(self.executions[-1], self.parts.device)

    @property
    def waited(self) -> float | None:
        """The share of the time of its steps that passed waiting for data, on the wall; None before the first."""
        wall = self.stopwatch.wall_seconds
        whole = wall["data"] + wall["step"]
        return wall["data"] / whole if whole else None

    def to_the_end(self, *, checkpoint_seconds: float, until: float | None, on_step: OnStep) -> str:
        """Train what is left; why it diverged, if it did. It stops, saved, when the clock of leases shows ``until``.

        Raises:
            UnfinishedError: it does.
            LeaseLostError: the attempt has been replaced, or may have been.
            StoreError: nothing can be written.
        """
        state = self.parts.state
        loader = self.parts.loader(prefetch=self.readers)
        self.stopwatch.beside(loader.cpu_seconds_ahead)
        diverged = ""
        with held_signals(alone=self.parts.ranks.alone) as held:
            due = SaveDue(every_seconds=checkpoint_seconds, until=until, held=held)
            for report in self._checkpointed(self._reports(iter(loader), due), due):
                if not report.finite:
                    diverged = f"loss {report.loss}, gradient norm {report.gradient_norm} after {report.step} steps"
                elif self._is_logged(report.step):
                    self.clipped.append(report.step, self.parts.step.side.scales(state))
                    self.metrics.append(report, seen=state.seen, masked_examples=state.masked_examples)
                on_step(report)
        self.stopwatch.seconds.update(spent_by_all(self.parts.ranks, self.stopwatch))
        self.attempt.lease.step = 0  # what follows takes no steps, and does not hang for that
        self._tell_of_hunger()
        return diverged

    def _is_logged(self, step: int) -> bool:
        """Whether the trace has a line of it."""
        steps = self.parts.spec.steps
        return step % max(1, steps // LOGGED_STEPS) == 0 or step == steps

    def _reports(self, batches: Iterator[Batch], due: SaveDue) -> Iterator[StepReport]:
        """Train; reports may lag behind, but not those that are logged, nor where the state is to be saved."""
        step, state, num_steps = self.parts.step, self.parts.state, self.parts.spec.steps
        if not isinstance(step, LaggingStep):
            return training_steps(state, step, batches, num_steps=num_steps, stopwatch=self.stopwatch)
        return lagging_steps(
            state,
            step,
            batches,
            num_steps=num_steps,
            time=QueuedTime(self.stopwatch),
            due=lambda step: self._is_logged(step) or due.now,
        )

    def _tell_of_hunger(self) -> None:
        """Say so where the device stood idle for want of data."""
        wall, examples = self.stopwatch.wall_seconds, self.parts.state.step * self.parts.spec.global_batch_size
        reads_beside = self.readers > 0 or self.parts.device.type != "cpu"
        if self.waited is not None and self.waited > HUNGRY and reads_beside:
            logger.warning(
                "trial %s waited for data %.0f %% of its time: it saw %.0f images/s and could train on %.0f; "
                "%d threads render ahead (see --prefetch)",
                self.parts.spec.name,
                100 * self.waited,
                examples / (wall["data"] + wall["step"]),
                examples / max(wall["step"], 1e-9),
                self.readers,
            )

    def _checkpointed(self, reports: Iterator[StepReport], due: SaveDue) -> Iterator[StepReport]:
        """Pass ``reports`` on, saving where it is ``due`` the state, its trace, what it cost so far, and what ran it.

        A signal that was ``held`` back, by any rank, ends the trial after the step, with its state saved, and so does
        the time.
        """
        made_by = {"code": list(self.code), "executions": to_plain(self.executions)}
        superseded = False
        for report in reports:
            self.attempt.lease.step = report.step
            self.attempt.lease.refuse_if_lost()
            yield report
            state, ranks = self.parts.state, self.parts.ranks
            if report.step != state.step:
                continue  # others have been taken since: what is in memory is not the state of this one
            held = bool(due.held)
            wish = wish_of_all(ranks, Wish(stop=held, over=due.over, save=due.now))
            if report.finite and wish.saves:
                seconds = spent_by_all(ranks, self.stopwatch)
                spent = {"seconds": seconds, "wall_seconds": dict(self.stopwatch.wall_seconds)}
                costs = {**spent, "metrics": list(self.metrics.lines), "clipped": list(self.clipped.lines)}
                self.checkpoints.save(state.step, {"state": state.to_plain(), **costs, **made_by})
                due.saved()
                if not superseded:
                    self.attempt.supersede()
                    superseded = True
            if held:
                due.held.let_go()
            if wish.stop and not ranks.alone:
                raise UnfinishedError(f"a rank was stopped after step {report.step}: {_GOES_ON}")
            if wish.over and report.step < self.parts.spec.steps:
                raise UnfinishedError(f"the time is over after step {report.step}: {_GOES_ON}")


def taken_up(
    parts: TrialParts,
    attempt: Attempt,
    checkpoints: CheckpointFolder,
    saved: Mapping[str, Any] | None,
    executions: tuple[Execution, ...],
) -> Training:
    """The training of ``parts`` where the last checkpoint ``saved`` it, or from the beginning, by ``attempt``.

    Raises:
        StoreError: nothing can be written.
    """
    spec, stopwatch = parts.spec, Stopwatch(parts.device)
    if saved is not None:
        parts.state.restore(saved["state"])
        stopwatch.seconds.update(saved["seconds"])
        stopwatch.wall_seconds.update(saved["wall_seconds"])
    traces = [TrialFiles(path).metrics_path for path in (attempt.path, *attempt.earlier[:1])]
    metrics = MetricsLog(
        traces[0],
        lines=saved["metrics"] if saved else (),
        resumed_step=parts.state.step,
        num_steps=spec.steps,
        earlier=traces[1] if traces[1:] else None,
    )
    return Training(
        parts=parts,
        attempt=attempt,
        checkpoints=checkpoints,
        metrics=metrics,
        clipped=ClippedLog(TrialFiles(attempt.path).clipped_path, lines=saved.get("clipped", ()) if saved else ()),
        stopwatch=stopwatch,
        code=tuple(dict.fromkeys((*(saved["code"] if saved else ()), code_version()))),
        executions=executions,
        begun=attempt.enter(lost_steps=metrics.lost_steps),
    )
