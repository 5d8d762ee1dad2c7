"""What every launcher must do: :func:`check_launcher` asserts it, on trials that take a few seconds."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

from levelfield.data.sources import open_source
from levelfield.records.attempts import CHECKPOINTS, attempted
from levelfield.records.data import DigitPairsSpec, ImagesSpec
from levelfield.records.head import LinearHead
from levelfield.records.store import StudyDirectory
from levelfield.records.trial import RecipeSpec, TrialResult, TrialSpec
from levelfield.study.execute.trial import run_trial
from levelfield.study.launch.base import Launcher, LaunchEvent
from levelfield.study.planned import PlannedTrial
from levelfield.train.device import resolve_device

_DATA = DigitPairsSpec(resolution=16, select_examples=64, report_examples=64)
_LONG = 100_000
"""Steps that no launcher can have done by the time it is asked to stop."""


def check_launcher(launch: Callable[[Path], Launcher], directory: Path, *, patience_s: float = 120.0) -> None:
    """Assert that the launchers that ``launch`` makes for a study's directory run trials as every study relies on.

    ``directory`` must not exist. ``patience_s`` is how long a launcher may be silent while it works.

    Raises:
        AssertionError: it does not; the sentence says what was expected.
    """
    study = StudyDirectory(directory / "study")
    _check_ends(launch, study, patience_s)
    _check_results(study, directory / "here")
    _check_stop(launch, study, patience_s)


def _check_ends(launch: Callable[[Path], Launcher], study: StudyDirectory, patience_s: float) -> None:
    """Each trial starts and ends once; one that cannot be says why, and the next one still runs."""
    lost = ImagesSpec(path=str(study.path / "lost"), resolution=16)
    trials = [
        example_trial(0),
        dataclasses.replace(example_trial(2), data=lost, data_content="0" * 16),
        example_trial(1),
    ]
    launcher = launch(study.path)
    try:
        for trial in trials:
            launcher.submit(planned_example(trial))
        seen = list(_until_ended(launcher, len(trials), patience_s))
        assert launcher.next_event(timeout_s=0.0) is None, "nothing happens once everything has ended"
    finally:
        launcher.close()
    for trial, ending in zip(trials, ("finished", "failed", "finished"), strict=True):
        own = [event for event in seen if event.trial.spec == trial]
        kinds = [event.kind for event in own]
        told = f"trial {trial.name} of seed {trial.seed}: saw {', '.join(kinds) or 'nothing'}"
        assert kinds[:1] == ["started"], f"'started' comes first; {told}"
        assert kinds[-1:] == [ending], f"{ending!r} comes last; {told}"
        assert {*kinds} <= {"started", "restarted", "progress", ending}, f"a trial ends once; {told}"
        steps = [event.step for event in own if event.kind == "progress"]
        assert all(0 < step <= trial.steps for step in steps), f"progress is told in steps of the trial, saw {steps}"
    failed = next(event for event in seen if event.kind == "failed")
    assert failed.blame == "input", f"data that is not there is the input's fault, saw {failed.blame!r}"
    assert str(study.path / "lost") in failed.reason, f"a reason names what is wrong, saw {failed.reason!r}"


def _check_results(study: StudyDirectory, here: Path) -> None:
    """What a trial learns does not hang on who launched it."""
    for seed in (0, 1):
        launched = study.trial(example_trial(seed)).result()
        assert launched is not None, "a finished trial has its result in the study's directory"
        _assert_agree(launched, _made_here(example_trial(seed), here))


def _check_stop(launch: Callable[[Path], Launcher], study: StudyDirectory, patience_s: float) -> None:
    """A closed launcher writes no more, and what it stopped goes on elsewhere."""
    long = dataclasses.replace(example_trial(3), steps=_LONG)
    launcher = launch(study.path)
    try:
        launcher.submit(planned_example(long))
        while (event := launcher.next_event(timeout_s=patience_s)) is not None and event.kind == "started":
            pass
        assert event, f"a trial that works tells of it, and nothing was told for {patience_s:g} s"
        assert event.kind == "progress", f"a trial that works tells of it, saw {event}"
    finally:
        launcher.close()
    where = study.trial(long).path
    with attempted(where, long.fingerprint, patience_s=0.0):
        assert study.trial(long).result() is None, "a trial that was stopped has no result"
        assert list(where.glob(f"attempts/*/{CHECKPOINTS}/*")), "it was saved where it was"


def _until_ended(launcher: Launcher, num_trials: int, patience_s: float) -> Iterator[LaunchEvent]:
    while num_trials:
        event = launcher.next_event(timeout_s=patience_s)
        assert event is not None, f"{num_trials} trials have not ended, and nothing was told for {patience_s:g} s"
        yield event
        num_trials -= event.kind in ("finished", "failed")


def _made_here(spec: TrialSpec, directory: Path) -> TrialResult:
    trial = StudyDirectory(directory).trial(spec)
    return run_trial(spec, trial, open_source(spec.data), device=resolve_device("cpu"))


def _assert_agree(launched: TrialResult, here: TrialResult) -> None:
    """Equal but for the rounding of another execution."""
    assert launched.seen_digest == here.seen_digest, "the same examples are seen, in the same augmentation"
    for measure, value in here.held_out["select"].values.items():
        other = launched.held_out["select"].values[measure]
        assert abs(other - value) <= 1e-3 * abs(value), f"{measure} is that of any execution: {other!r}, here {value!r}"


def planned_example(spec: TrialSpec) -> PlannedTrial:
    """``spec`` as a plan wants it."""
    return PlannedTrial(spec=spec, role="search", family="nfnet", budget_flops=spec.budget_flops, base_lr=0.1)


def example_trial(seed: int) -> TrialSpec:
    """A trial of a tenth of a second."""
    recipe = RecipeSpec(preset="check", optimizer="sgd", peak_lr=0.1)
    return TrialSpec(
        architecture="nfnet:w4-d1",
        data=_DATA,
        recipe=recipe,
        head=LinearHead(num_outputs=100),
        budget_flops=1e8,
        global_batch_size=8,
        steps=30,
        seed=seed,
        weights="raw",
    )
