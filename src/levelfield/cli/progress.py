"""Running a study with something to watch: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import functools
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from levelfield.cli.console import is_quiet, say

if TYPE_CHECKING:
    from levelfield.records.study import StudySpec
    from levelfield.scaling.results.analysis import Analysis
    from levelfield.study.bill.pace import Pace
    from levelfield.study.run import RunProgress


def run_and_show(
    spec: StudySpec,
    directory: Path,
    *,
    num_workers: int,
    device: str,
    retry_failed: bool,
    checkpoint_seconds: float,
    seconds: float | None = None,
    cheapest_first: bool = False,
    track: Sequence[str] = (),
    watch: Callable[[RunProgress], None] = lambda progress: None,
    asks: Mapping[str, str] | None = None,
) -> Analysis:
    """Run ``spec`` in ``directory``, write its report, and say what came of it; ``watch`` sees all that happens, and a
    cluster is asked for ``asks`` for every job."""
    from levelfield.cli.analysis import say_findings, say_transfers
    from levelfield.publish import publish
    from levelfield.study.launch.registry import launch_by
    from levelfield.study.run import run_study
    from levelfield.study.track.sinks import sink
    from levelfield.study.track.tracker import Tracker

    trackers = [Tracker(directory, sink(called, study=spec.name, directory=directory)) for called in track]
    say(f"{spec.name}: {spec.question}", "strong")
    say(f"study: {directory} (the same command resumes)")
    begun = time.perf_counter()
    trained = 0

    with _display(spec, directory) as show:

        def on_progress(progress: RunProgress) -> None:
            nonlocal trained
            trained += progress.event.kind == "finished"
            show(progress)
            watch(progress)
            for tracker in trackers:
                tracker(progress)

        run_study(
            spec,
            directory,
            num_workers=num_workers,
            device=device,
            retry_failed=retry_failed,
            checkpoint_seconds=checkpoint_seconds,
            seconds=seconds,
            cheapest_first=cheapest_first,
            on_progress=on_progress,
            launch=launch_by(asks or {}),
        )
    page, analysis = publish(directory, fresh=trained > 0)
    say(f"{trained} trials trained in {time.perf_counter() - begun:.0f} s")
    say_findings(analysis)
    if spec.transfer:
        say_transfers(directory)
    say(f"report: {page}")
    return analysis


@contextlib.contextmanager
def _display(spec: StudySpec, directory: Path) -> Iterator[Callable[[RunProgress], None]]:
    if is_quiet():
        yield lambda progress: None
        return
    pace = _Paced(spec, directory)
    if not sys.stdout.isatty():
        yield pace.say_line
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns) as bars:
        whole = bars.add_task("trials wanted so far", total=None)
        running: dict[str, TaskID] = {}

        def show(progress: RunProgress) -> None:
            event = progress.event
            name = event.trial.spec.name
            left = pace.left(progress)
            described = "trials wanted so far" + (f", {left}" if left else "")
            bars.update(whole, completed=progress.done, total=progress.wanted, description=described)
            if event.kind in ("started", "progress"):
                if name not in running:
                    running[name] = bars.add_task(name, total=event.trial.spec.steps)
                bars.update(running[name], completed=event.step)
            elif name in running:
                bars.remove_task(running.pop(name))
            if event.kind in ("failed", "restarted"):
                bars.console.print(f"{event.kind}: {name}: {event.reason}")

        yield show


@contextlib.contextmanager
def steps_shown(num_steps: int, *, shown: bool = True) -> Iterator[Callable[[int], None]]:
    """Shows how far one run of ``num_steps`` has come: a bar in a terminal, else a line at every tenth."""
    if not shown or is_quiet():
        yield lambda step: None
        return
    if sys.stdout.isatty():
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("steps"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns) as bars:
            task = bars.add_task("steps", total=num_steps)
            yield lambda step: bars.update(task, completed=step)
        return
    tenth = max(1, num_steps // 10)

    def line(step: int) -> None:
        if step % tenth == 0 or step == num_steps:
            print(f"step {step:,} of {num_steps:,}", flush=True)

    yield line


class _Paced:
    """What an event says in words, with how long the rest takes at most."""

    def __init__(self, spec: StudySpec, directory: Path) -> None:
        self._spec, self._directory = spec, directory

    @functools.cached_property
    def _pace(self) -> Pace:
        from levelfield.study.bill.pace import pace_in

        return pace_in(self._spec, self._directory)

    def left(self, progress: RunProgress) -> str:
        """ "at most 4 min left"; empty where no pace is known."""
        from levelfield.report.words.numbers import seconds

        pace = self._pace
        if progress.event.kind == "finished":
            pace.finished(progress.event.trial)
        said = "at most" if pace.at_most else "about"
        return "" if pace.seconds_left is None else f"{said} {seconds(pace.seconds_left)} left"

    def say_line(self, progress: RunProgress) -> None:
        event, left = progress.event, self.left(progress)
        if event.kind == "finished":
            line = f"[{progress.done}/{progress.wanted}] {event.trial.role}: {event.trial.spec.name}"
            print(", ".join(filter(None, (line, self._outcome(progress), left))), flush=True)
        elif event.kind in ("failed", "restarted"):
            print(f"{event.kind}: {event.trial.spec.name}: {event.reason}", flush=True)

    def _outcome(self, progress: RunProgress) -> str:
        """ "loss 1.234", or that it diverged; a probe's is in its table."""
        from levelfield.report.words.numbers import plain

        result, measure = progress.result, self._pace.measure
        if result is None:
            return ""
        if result.status == "diverged":
            return "diverged"
        (judged,) = result.held_out.values()
        return f"{measure} {plain(judged.values[measure])}"
