"""``levelfield trial run``: one work item to its end wherever it is started, and what its directory says of that."""

from __future__ import annotations

import dataclasses
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from levelfield.records.attempts import last_checkpoint, last_end
from levelfield.records.data import ImagesSpec
from levelfield.records.errors import InputError, TrialError
from levelfield.records.store import StudyDirectory
from levelfield.study.execute.item import item_at
from levelfield.study.launch.base import LaunchEvent, Planned
from levelfield.study.run import MOST_FAILURES_IN_A_ROW, run_study
from levelfield.study.spec_file import load_study
from tests.conftest import lasting_files, levelfield, one_complaint, run
from tests.narrowed import present
from tests.study.test_kill import lines_in


@pytest.fixture
def unfinished(undisturbed, tmp_path) -> Path:
    """A trial of which nothing but its spec is there, in a study that is finished otherwise."""
    shutil.copytree(undisturbed, tmp_path / "study")
    trial = sorted((tmp_path / "study" / "trials").glob("nfnet-*"))[0]
    for path in trial.iterdir():
        if path.name != "spec.json":
            path.unlink()
    return trial


def alone(trial: Path, *options: object) -> list[str]:
    return levelfield("trial", "run", trial, *options)


def begun(command: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for_steps(trial: Path, *, attempt: int = 1, checkpoint: bool = False) -> None:
    """Until that attempt at ``trial`` has trained a while."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if last_checkpoint(trial) if checkpoint else lines_in(trial / f"attempts/{attempt:04d}/metrics.jsonl"):
            return
        time.sleep(0.01)
    raise AssertionError("it never began")


def assert_undisturbed(trial: Path, undisturbed: Path) -> None:
    assert lasting_files(trial.parents[1]) == lasting_files(undisturbed)
    assert not (trial / "attempts").exists()


@pytest.mark.slow
def test_a_trial_that_is_run_alone_ends_with_the_bytes_of_its_study_in_pieces_and_under_signals(
    unfinished, undisturbed
):
    spec = present(StudyDirectory(unfinished.parents[1]).trials()[item_at(unfinished).spec.fingerprint].spec)
    assert spec.name == unfinished.name
    for attempt, (signum, code) in enumerate(((signal.SIGTERM, 143), (signal.SIGINT, 130)), start=1):
        process = begun(alone(unfinished, "--checkpoint-every", 3600))
        wait_for_steps(unfinished, attempt=attempt)
        process.send_signal(signum)
        _, said = process.communicate(timeout=60)
        assert (process.returncode, "the same command goes on" in said) == (code, True), said
        assert present(last_end(unfinished)).kind == "stopped"
        assert last_checkpoint(unfinished) > 0, "it was saved where it was"
    piece = run("trial", "run", unfinished, "--for", "0.01s")
    assert (piece.returncode, "the time is over after step" in piece.stderr) == (75, True), piece.stderr
    assert present(last_end(unfinished)).kind == "time"
    done = run("trial", "run", unfinished)
    assert (done.returncode, "done, see" in done.stdout) == (0, True), done.stderr
    timing = present(StudyDirectory(unfinished.parents[1]).trial(spec).timing())
    assert (timing.attempts, timing.lost_steps) == (4, 0)
    assert_undisturbed(unfinished, undisturbed)
    again = run("trial", "run", unfinished)
    assert again.returncode == 0, again.stderr
    assert_undisturbed(unfinished, undisturbed)


@pytest.mark.slow
def test_a_duplicate_meets_the_lease_and_is_no_failure(unfinished, undisturbed):
    first = begun(alone(unfinished, "--lease", 40))
    wait_for_steps(unfinished)
    first.send_signal(signal.SIGSTOP)  # its lease is renewed no more: until its term is over nobody can tell
    second = begun(alone(unfinished, "--lease", 40))
    time.sleep(2)
    first.send_signal(signal.SIGCONT)
    _, said = second.communicate(timeout=120)
    out, _ = first.communicate(timeout=120)
    assert (first.returncode, second.returncode) == (0, 0), said
    assert "done, see" in out
    assert_undisturbed(unfinished, undisturbed)


@pytest.mark.slow
def test_an_attempt_that_was_held_for_long_is_replaced_and_publishes_nothing_when_it_wakes(unfinished, undisturbed):
    held = begun(alone(unfinished, "--lease", 3, "--checkpoint-every", 0.05))
    wait_for_steps(unfinished, checkpoint=True)
    held.send_signal(signal.SIGSTOP)
    done = run("trial", "run", unfinished, "--lease", 30)
    assert done.returncode == 0, done.stderr
    assert_undisturbed(unfinished, undisturbed)
    before = {path: path.stat().st_mtime_ns for path in unfinished.rglob("*")}
    held.send_signal(signal.SIGCONT)
    _, said = held.communicate(timeout=60)
    assert (held.returncode, "Traceback" in said) == (0, False), said
    assert {path: path.stat().st_mtime_ns for path in unfinished.rglob("*")} == before
    timing = present(StudyDirectory(unfinished.parents[1]).trials()[item_at(unfinished).spec.fingerprint].timing)
    assert timing.attempts == 2


@pytest.mark.slow
@pytest.mark.parametrize("moment", [0, *(pytest.param(each, marks=pytest.mark.acceptance) for each in range(1, 10))])
def test_attempts_that_are_killed_held_and_doubled_at_random_moments_end_with_the_same_bytes(
    moment, unfinished, undisturbed
):
    draw, held = random.Random(moment), []
    for _ in range(4):
        process = begun(alone(unfinished, "--lease", 3, "--checkpoint-every", 0.1))
        time.sleep(draw.uniform(2, 9))
        process.send_signal(how := draw.choice((signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM)))
        if how == signal.SIGSTOP:
            held.append(process)
        else:
            process.communicate(timeout=60)
    draw.shuffle(held)
    last = begun(alone(unfinished, "--lease", 30))
    for process in held:
        time.sleep(draw.uniform(0, 3))
        process.send_signal(signal.SIGCONT)
    for process in (*held, last):
        process.communicate(timeout=120)
    done = run("trial", "run", unfinished)
    assert done.returncode == 0, done.stderr
    assert_undisturbed(unfinished, undisturbed)


@pytest.mark.slow
def test_bad_input_and_a_full_store_are_told_apart_in_the_directory(unfinished, tmp_path):
    item = item_at(unfinished)
    lost = ImagesSpec(path=str(tmp_path / "lost"), resolution=16)
    spec = dataclasses.replace(item.spec, data=lost, data_content="0" * 16)
    other = item.directory.path.with_name(spec.name)
    StudyDirectory(unfinished.parents[1]).trial(spec).open(spec)  # pyright: ignore[reportArgumentType]
    message = one_complaint(run("trial", "run", other), 2)
    assert str(tmp_path / "lost") in message
    assert present(last_end(other)).kind == "input"
    shutil.rmtree(other)
    unreadable = unfinished / "attempts"
    unreadable.write_text("in the way")
    assert "attempts" in one_complaint(run("trial", "run", unfinished), 1)


def test_where_no_work_item_is_none_is_run(tmp_path, invoke):
    code, _, said = invoke("trial", "run", tmp_path / "nothing")
    assert (code, "holds no trial and no probe" in said) == (2, True)
    with pytest.raises(InputError, match=r"expected a directory with a spec\.json"):
        item_at(tmp_path)
    assert not (tmp_path / "nothing").exists()


class Failing:
    """Says of every trial that it has failed."""

    def __init__(self, directory: Path, **_: object) -> None:
        self.waiting: list[Planned] = []

    def submit(self, trial: Planned) -> None:
        self.waiting.append(trial)

    def next_event(self, timeout_s: float | None = None) -> LaunchEvent | None:
        return LaunchEvent(kind="failed", trial=self.waiting.pop(0), reason="a driver that is too old")

    def close(self) -> None:
        self.waiting.clear()


def test_a_study_whose_trials_fail_one_after_the_other_stops_and_says_why(tiny_study, tmp_path):
    tiny_study.write_text(tiny_study.read_text().replace("budgets = [1.36e8]", "budgets = [1.36e8, 2e8, 3e8, 4e8]"))
    with pytest.raises(TrialError, match="5 trials failed one after the other, the last with: a driver that is too"):
        run_study(load_study(tiny_study), tmp_path / "study", launch=Failing)
    failed = [held for held in StudyDirectory(tmp_path / "study").trials().values() if held.failure]
    assert len(failed) == MOST_FAILURES_IN_A_ROW
