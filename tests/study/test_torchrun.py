"""A trial over devices as a user starts it: by ``--devices``, by torchrun, and in a study."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from levelfield.records.attempts import attempts_at, last_checkpoint, last_end
from levelfield.records.store import TrialDirectory
from levelfield.records.trial import TrialResult, TrialTiming
from tests.conftest import levelfield, one_complaint, run
from tests.narrowed import present
from tests.study.test_trial_run import alone, begun, wait_for_steps

pytestmark = pytest.mark.slow
ROUNDING = 1e-3
"""Of a held-out loss after 500 steps at a rate that was searched for: 6e-6 seen."""


@pytest.fixture
def unfinished(undisturbed, tmp_path) -> Path:
    """A trial of which nothing but its spec is there, in a study that is finished otherwise."""
    shutil.copytree(undisturbed, tmp_path / "study")
    trial = sorted((tmp_path / "study" / "trials").glob("vit-*"))[0]
    for path in trial.iterdir():
        if path.name != "spec.json":
            path.unlink()
    return trial


def outcome(trial: Path) -> tuple[TrialResult, TrialTiming]:
    directory = TrialDirectory(trial)
    return present(directory.result()), present(directory.timing())


def assert_same_trial(trial: Path, undisturbed: Path) -> None:
    result, alone = outcome(trial)[0], outcome(undisturbed / "trials" / trial.name)[0]
    assert (result.seen_digest, result.examples_seen) == (alone.seen_digest, alone.examples_seen)
    for split, means in alone.held_out.items():
        assert result.held_out[split].values == pytest.approx(means.values, rel=ROUNDING)
    assert not (trial / "attempts").exists()


def ranks_of(process: int) -> list[int]:
    """The processes that torchrun, begun by ``process``, has begun."""

    def children(parent: int) -> list[int]:
        try:
            return [int(each) for each in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]
        except FileNotFoundError:
            return []

    return [rank for agent in children(process) for rank in children(agent)]


def gone(processes: list[int]) -> bool:
    end = time.monotonic() + 20
    while time.monotonic() < end:
        if not any(Path(f"/proc/{each}").exists() for each in processes):
            return True
        time.sleep(0.1)
    return False


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks for processes as Linux shows them")
def test_devices_that_are_stopped_killed_and_others_end_with_the_same_trial(unfinished, undisturbed):
    """Told to stop: saved, 143. A rank killed: begun again by itself. All killed at once: nothing is left behind."""
    first = begun(alone(unfinished, "--devices", 2, "--checkpoint-every", 3600))
    wait_for_steps(unfinished)
    first.send_signal(signal.SIGTERM)
    _, said = first.communicate(timeout=60)
    assert first.returncode == 143, said
    assert present(last_end(unfinished)).kind == "stopped"
    reached = last_checkpoint(unfinished)
    assert reached > 0, "it was saved where it was"

    second = begun(alone(unfinished, "--devices", 2, "--checkpoint-every", 0.2))
    wait_for_steps(unfinished, attempt=2)
    ranks = ranks_of(second.pid)
    assert len(ranks) == 2
    os.kill(ranks[1], signal.SIGKILL)
    wait_for_steps(unfinished, attempt=3)
    assert gone(ranks), "the other rank has ended, too"
    ranks = ranks_of(second.pid)
    second.kill()
    second.communicate()
    assert gone(ranks), "ranks end with whoever began them"
    assert last_checkpoint(unfinished) >= reached

    done = run("trial", "run", unfinished, "--devices", 3)
    assert done.returncode == 0, done.stderr
    result, timing = outcome(unfinished)
    assert [execution.num_devices for execution in result.executions] == [2, 3]
    assert timing.attempts == 4
    assert_same_trial(unfinished, undisturbed)


def test_torchrun_begins_again_what_lost_a_rank(unfinished, undisturbed):
    ranks = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--max-restarts", "1"]
    command = [sys.executable, *ranks, *alone(unfinished, "--checkpoint-every", 0.1)[1:]]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for_steps(unfinished, checkpoint=True)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(children[0]), signal.SIGKILL)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert outcome(unfinished)[1].attempts == 2
    assert_same_trial(unfinished, undisturbed)


def test_what_cannot_be_run_on_devices_is_refused_as_on_one(unfinished):
    missing = run("trial", "run", unfinished.parent / "none", "--devices", 2)
    assert "holds no trial" in one_complaint(missing, 2)
    many = run("trial", "run", unfinished, "--devices", 9)  # of a batch of 8
    assert "num_devices must be 8 at the most, for a global batch of as many, saw 9" in many.stderr
    assert many.returncode == 2
    assert present(last_end(unfinished)).kind == "input"
    assert len(attempts_at(unfinished)) == 1, "it was not tried again"


def test_a_study_trains_its_trials_over_devices(unfinished, undisturbed, tiny_study):
    tiny_study.write_text(tiny_study.read_text() + "\n[execution]\nnum_devices = 2\n")
    done = subprocess.run(
        levelfield("run", tiny_study, "--dir", unfinished.parents[1], "--workers", 1),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "1 trials trained" in done.stdout
    assert [execution.num_devices for execution in outcome(unfinished)[0].executions] == [2]
    assert_same_trial(unfinished, undisturbed)
