"""Trials placed by a launcher, and what must come of them: the bytes that this process trains itself."""

from __future__ import annotations

import dataclasses
import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from levelfield.data.sources import open_source
from levelfield.records.execution import ExecutionSpec
from levelfield.records.store import StudyDirectory
from levelfield.records.trial import TrialSpec
from levelfield.study.execute.trial import run_trial
from levelfield.study.launch.base import Launcher, LaunchEvent
from levelfield.study.launch.registry import start_launcher
from levelfield.testing.launchers import example_trial, planned_example
from tests.conftest import lasting_files
from tests.study.test_kill import lines_in

PATIENCE_S = 180.0
PLACED = re.compile(rb'"launcher": "\w+",\s*|"seal": "\w+",?\s*')
"""What alone may differ in a record: who placed the trial."""


def lengthy(seed: int = 0, *, steps: int = 4000) -> TrialSpec:
    """A trial of some seconds that is judged example by example."""
    return dataclasses.replace(example_trial(seed), steps=steps, held_out="report")


@contextmanager
def launched(study: Path, kind: str, **asks: str) -> Iterator[Launcher]:
    """The launcher of that ``kind``, stopped in the end."""
    launcher = start_launcher(
        study,
        asks=asks,
        num_workers=2,
        device="cpu",
        execution=ExecutionSpec(launcher=kind),  # pyright: ignore[reportArgumentType]
        checkpoint_seconds=0.3,
    )
    try:
        yield launcher
    finally:
        launcher.close()


def until(
    launcher: Launcher, holds: Callable[[], bool], meanwhile: Callable[[], None] = lambda: None
) -> list[LaunchEvent]:
    """All that happens until something ``holds``; ``meanwhile`` something is done again and again."""
    end, seen = time.monotonic() + PATIENCE_S, []
    while not holds():
        meanwhile()
        assert time.monotonic() < end, [event.kind for event in seen]
        if (event := launcher.next_event(timeout_s=0.2)) is not None:
            seen.append(event)
            assert event.kind != "failed", event.reason
    return seen


def until_trained_a_while(
    launcher: Launcher, study: Path, spec: TrialSpec, *, attempt: int = 1, meanwhile: Callable[[], None] = lambda: None
) -> None:
    """Until that attempt at it has saved it."""
    where = StudyDirectory(study).trial(spec).path / "attempts" / f"{attempt:04d}"
    until(launcher, lambda: any(where.glob("checkpoints/step_*.ckpt")), meanwhile)


def until_done(
    launcher: Launcher, study: Path, spec: TrialSpec, *, meanwhile: Callable[[], None] = lambda: None
) -> list[LaunchEvent]:
    trial = StudyDirectory(study).trial(spec)
    return until(launcher, lambda: (trial.path / "result.json").exists(), meanwhile)


def submit(launcher: Launcher, spec: TrialSpec) -> None:
    launcher.submit(planned_example(spec))


def assert_as_here(study: Path, spec: TrialSpec, here: Path) -> None:
    """The trial in ``study`` left the bytes of one that this process trains."""
    threads = torch.get_num_threads()
    try:
        mine = StudyDirectory(here).trial(spec)
        run_trial(spec, mine, open_source(spec.data), device=torch.device("cpu"))
    finally:
        torch.set_num_threads(threads)
    assert as_placed(StudyDirectory(study).trial(spec).path) == as_placed(mine.path)
    assert list(mine.path.glob("report_*.npy"))
    assert lines_in(mine.metrics_path)


def as_placed(directory: Path) -> dict[str, bytes]:
    """What lasts in ``directory``, but who placed what."""
    return {
        name: PLACED.sub(b"", content) if name.endswith("result.json") else content
        for name, content in lasting_files(directory).items()
        if not name.endswith(("study.json", "sealed.json")) and not name.startswith("jobs/")
    }


def timing_of(study: Path, spec: TrialSpec) -> dict:
    return json.loads((StudyDirectory(study).trial(spec).path / "timing.json").read_text())
