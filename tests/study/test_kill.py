"""kill -9 of the run and of its workers, in the middle of trials: the results are those of an undisturbed run."""

import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.conftest import lasting_files, levelfield, run, without

pytestmark = pytest.mark.slow


def children_of(pid: int) -> list[int]:
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            fields = dict(line.split(":\t", 1) for line in status.read_text().splitlines() if ":\t" in line)
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields["PPid"]) == pid:
            found.append(int(fields["Pid"]))
    return found


def in_mid_trial(directory: Path) -> bool:
    """Whether some trial has trained a while and is neither done nor given up."""
    return any(
        lines_in(metrics) > 0
        for trial in directory.glob("trials/*")
        if not (trial / "result.json").exists() and not (trial / "status.json").exists()
        for metrics in trial.glob("attempts/*/metrics.jsonl")
    )


def lines_in(metrics: Path) -> int:
    """How many lines a trace has; none where its attempt has been collected meanwhile."""
    try:
        return metrics.read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0


@pytest.mark.parametrize("moment", [0, *(pytest.param(each, marks=pytest.mark.acceptance) for each in range(1, 5))])
def test_results_survive_kill_9_at_a_random_moment(moment, undisturbed, tiny_study, tmp_path):
    """Kill a worker in mid-trial, then the run itself, then let the same command finish.

    In the trials of one family; tests/study/test_faults.py kills whole studies.
    """
    draw = random.Random(moment)
    directory = without("vit-*", undisturbed, tmp_path / "study")
    command = levelfield("run", tiny_study, "--dir", directory, "--workers", 2, "--checkpoint-every", 0.2)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        deadline = time.monotonic() + 120
        while not in_mid_trial(directory) and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(draw.uniform(0, 4))
        workers = children_of(process.pid)
        if workers:
            os.kill(draw.choice(workers), signal.SIGKILL)
        time.sleep(draw.uniform(0, 6))
        workers = children_of(process.pid)
        process.kill()
        process.wait()
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{worker}").exists() for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers), "workers outlive their run"
    done = run("run", tiny_study, "--dir", directory, "--workers", 2)
    assert done.returncode == 0, done.stderr
    assert lasting_files(directory) == lasting_files(undisturbed)


def test_a_second_run_trains_nothing(undisturbed, tiny_study, tmp_path):
    shutil.copytree(undisturbed, tmp_path / "study")
    again = run("run", tiny_study, "--dir", tmp_path / "study", "--workers", 2)
    assert again.returncode == 0, again.stderr
    assert "0 trials trained" in again.stdout
    assert lasting_files(tmp_path / "study") == lasting_files(undisturbed)


def test_a_trial_whose_worker_keeps_dying_is_given_up_and_can_be_retried(undisturbed, tiny_study, tmp_path):
    directory = without("nfnet-*_s[12]_*", undisturbed, tmp_path / "study")
    process = subprocess.Popen(
        levelfield("run", tiny_study, "--dir", directory, "--workers", 1),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 300
    while process.poll() is None and time.monotonic() < deadline:
        if in_mid_trial(directory):
            for worker in children_of(process.pid):
                os.kill(worker, signal.SIGKILL)
        time.sleep(0.05)
    _, errors = process.communicate()
    assert process.returncode == 1
    assert "signal 9" in errors
    assert "--retry failed" in errors
    stopped = run("run", tiny_study, "--dir", directory)
    assert stopped.returncode == 1, "failed trials are not tried again unasked"
    done = run("run", tiny_study, "--dir", directory, "--workers", 2, "--retry", "failed")
    assert done.returncode == 0, done.stderr
    assert lasting_files(directory) == lasting_files(undisturbed)
