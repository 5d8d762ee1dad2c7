"""Running a study with something to watch: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from levelfield.cli.console import say

if TYPE_CHECKING:
    from levelfield.records.study import StudySpec
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
) -> None:
    """Run ``spec`` in ``directory``, write its report, and say what came of it."""
    from levelfield.cli.analysis import say_findings, say_transfers
    from levelfield.publish import publish
    from levelfield.study.run import run_study

    say(f"{spec.name}: {spec.question}", "strong")
    say(f"study: {directory} (the same command resumes)")
    begun = time.perf_counter()
    trained = 0

    with _display() as show:

        def on_progress(progress: RunProgress) -> None:
            nonlocal trained
            trained += progress.event.kind == "finished"
            show(progress)

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
        )
    page, analysis = publish(directory, fresh=trained > 0)
    say(f"{trained} trials trained in {time.perf_counter() - begun:.0f} s")
    say_findings(analysis)
    if spec.transfer:
        say_transfers(directory)
    say(f"report: {page}")


@contextlib.contextmanager
def _display() -> Iterator[Callable[[RunProgress], None]]:
    if not sys.stdout.isatty():
        yield _say_line
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns) as bars:
        whole = bars.add_task("trials wanted so far", total=None)
        running: dict[str, TaskID] = {}

        def show(progress: RunProgress) -> None:
            event = progress.event
            name = event.trial.spec.name
            bars.update(whole, completed=progress.done, total=progress.wanted)
            if event.kind in ("started", "progress"):
                if name not in running:
                    running[name] = bars.add_task(name, total=event.trial.spec.steps)
                bars.update(running[name], completed=event.step)
            elif name in running:
                bars.remove_task(running.pop(name))
            if event.kind in ("failed", "restarted"):
                bars.console.print(f"{event.kind}: {name}: {event.reason}")

        yield show


def _say_line(progress: RunProgress) -> None:
    event = progress.event
    if event.kind == "finished":
        print(f"[{progress.done}/{progress.wanted}] {event.trial.role}: {event.trial.spec.name}", flush=True)
    elif event.kind in ("failed", "restarted"):
        print(f"{event.kind}: {event.trial.spec.name}: {event.reason}", flush=True)
