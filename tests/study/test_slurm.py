"""Trials on a real Slurm, which is started for these tests where it is installed."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from levelfield.records.errors import InputError
from levelfield.records.execution import ExecutionSpec
from levelfield.study.launch.registry import start_launcher
from levelfield.testing.launchers import check_launcher
from tests.conftest import levelfield, run
from tests.study.placed import (
    as_placed,
    assert_as_here,
    launched,
    lengthy,
    submit,
    timing_of,
    until,
    until_done,
    until_trained_a_while,
)
from tests.study.slurm_here import WHY_NOT, SlurmHere, is_installed, slurm_here

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not is_installed(), reason=WHY_NOT)]


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    with slurm_here(tmp_path_factory.mktemp("slurm")) as here, pytest.MonkeyPatch.context() as patch:
        for name, value in here.environment.items():
            patch.setenv(name, value)
        yield here


def test_slurm_is_a_launcher(slurm, tmp_path):
    def launch(path: Path):
        how = {"num_workers": 2, "device": "cpu", "checkpoint_seconds": 60.0}
        return start_launcher(path, execution=ExecutionSpec(launcher="slurm"), **how)

    check_launcher(launch, tmp_path / "checked")


def test_a_study_whose_own_process_is_killed_in_the_middle_goes_on_by_the_same_command(
    slurm: SlurmHere, tiny_study, undisturbed, tmp_path
):
    study = tmp_path / "study"
    command = levelfield("run", tiny_study, "--dir", study, "--launcher", "slurm", "--device", "cpu")
    first = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    end = time.monotonic() + 120
    while not slurm.running():
        assert time.monotonic() < end
        time.sleep(0.1)
    first.send_signal(signal.SIGKILL)
    first.communicate(timeout=60)
    assert any((study / "jobs").glob("*.json"))
    done = run(*command[3:])
    assert done.returncode == 0, done.stderr
    assert all(name.endswith("-1") for name in slurm.names()), "what was submitted before was found by its name"
    assert len(slurm.names()) == len(set(slurm.names())), "and not submitted again"
    assert as_placed(study) == as_placed(undisturbed)
    assert not (study / "jobs").exists(), "nothing is left of jobs that did their work"


def test_a_trial_that_is_preempted_told_of_its_limit_cancelled_and_killed_leaves_the_bytes_of_an_undisturbed_one(
    slurm: SlurmHere, tmp_path
):
    study, spec = tmp_path / "study", lengthy(6, steps=3000)
    disturbances = (
        ("sbatch", "-p", "high", "-n", "2", "-o", "/dev/null", "--wrap", "sleep 1"),
        ("scancel", "--batch", "--signal=USR2", "JOB"),
        ("scancel", "JOB"),
        ("scancel", "--full", "--signal=KILL", "JOB"),
    )
    with launched(study, "slurm", partition="low") as launcher:
        submit(launcher, spec)
        for attempt, command in enumerate(disturbances, start=1):
            until_trained_a_while(launcher, study, spec, attempt=attempt, meanwhile=slurm.hurry)
            (job,) = slurm.running()
            slurm.said(*(job if word == "JOB" else word for word in command))
        until_done(launcher, study, spec, meanwhile=slurm.hurry)
    assert timing_of(study, spec)["attempts"] == 1 + len(disturbances)
    assert_as_here(study, spec, tmp_path / "here")


@pytest.mark.acceptance
def test_a_job_that_is_preempted_saves_itself_and_goes_on_where_it_was(slurm: SlurmHere, tmp_path):
    study, spec = tmp_path / "study", lengthy()
    with launched(study, "slurm", partition="low") as launcher:
        submit(launcher, spec)
        until_trained_a_while(launcher, study, spec)
        slurm.said("sbatch", "-p", "high", "-n", "2", "-o", "/dev/null", "--wrap", "sleep 1")
        until_done(launcher, study, spec, meanwhile=slurm.hurry)
    timing = timing_of(study, spec)
    assert (timing["attempts"], timing["lost_steps"]) == (2, 0)
    assert_as_here(study, spec, tmp_path / "here")


@pytest.mark.acceptance
def test_a_job_that_is_told_of_its_limit_is_put_back_into_the_queue_by_itself(slurm: SlurmHere, tmp_path):
    study, spec = tmp_path / "study", lengthy(1)
    with launched(study, "slurm") as launcher:
        submit(launcher, spec)
        until_trained_a_while(launcher, study, spec)
        (job,) = slurm.running()
        slurm.said("scancel", "--batch", "--signal=USR2", job)  # what Slurm does 90 s before a limit
        until_done(launcher, study, spec, meanwhile=slurm.hurry)
        assert slurm.restarts(job) == 1
    timing = timing_of(study, spec)
    assert (timing["attempts"], timing["lost_steps"]) == (2, 0)
    assert_as_here(study, spec, tmp_path / "here")


@pytest.mark.acceptance
def test_a_trial_longer_than_its_time_limit_goes_on_in_the_same_job(slurm: SlurmHere, tmp_path):
    study, spec = tmp_path / "study", lengthy(2, steps=40_000)
    with launched(study, "slurm", time="1", signal="B:USR2@30") as launcher:
        submit(launcher, spec)
        until_done(launcher, study, spec, meanwhile=slurm.hurry)
    timing = timing_of(study, spec)
    assert timing["attempts"] > 1
    assert timing["lost_steps"] == 0
    assert_as_here(study, spec, tmp_path / "here")


@pytest.mark.acceptance
def test_a_job_that_is_cancelled_is_submitted_again_and_nothing_is_lost(slurm: SlurmHere, tmp_path):
    study, spec = tmp_path / "study", lengthy(3)
    with launched(study, "slurm") as launcher:
        submit(launcher, spec)
        until_trained_a_while(launcher, study, spec)
        slurm.said("scancel", *slurm.running())
        seen = until_done(launcher, study, spec, meanwhile=slurm.hurry)
    assert "restarted" in [event.kind for event in seen]
    assert timing_of(study, spec)["lost_steps"] == 0
    assert_as_here(study, spec, tmp_path / "here")


@pytest.mark.acceptance
def test_a_killed_job_goes_on_from_its_last_checkpoint(slurm: SlurmHere, tmp_path):
    study, spec = tmp_path / "study", lengthy(4)
    with launched(study, "slurm") as launcher:
        submit(launcher, spec)
        until_trained_a_while(launcher, study, spec)
        slurm.said("scancel", "--full", "--signal=KILL", *slurm.running())
        seen = until_done(launcher, study, spec, meanwhile=slurm.hurry)
    assert "restarted" in [event.kind for event in seen]
    assert timing_of(study, spec)["attempts"] == 2
    assert_as_here(study, spec, tmp_path / "here")


@pytest.mark.acceptance
def test_a_controller_that_is_away_for_a_while_is_waited_for(slurm: SlurmHere, tmp_path, caplog):
    study, spec = tmp_path / "study", lengthy(5)
    with launched(study, "slurm") as launcher:
        submit(launcher, spec)
        until_trained_a_while(launcher, study, spec)
        slurm.stop_controller()
        try:
            until(launcher, lambda: "controller does not answer" in caplog.text)
        finally:
            slurm.start_controller()
        seen = until_done(launcher, study, spec, meanwhile=slurm.hurry)
    assert {event.kind for event in seen} <= {"progress", "finished"}
    assert timing_of(study, spec)["attempts"] == 1
    assert_as_here(study, spec, tmp_path / "here")


def test_a_job_that_slurm_does_not_take_is_told_in_its_own_words(slurm, tmp_path):
    with (
        launched(tmp_path / "study", "slurm", partition="nowhere") as launcher,
        pytest.raises(InputError, match=r"Slurm takes no such job: .*invalid partition specified: nowhere"),
    ):
        submit(launcher, lengthy())
    assert not (tmp_path / "study" / "jobs").exists()


def test_where_no_slurm_is_that_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", os.fspath(tmp_path))
    with pytest.raises(InputError, match="there is no sbatch here: run this where jobs of Slurm are submitted from"):
        start_launcher(
            tmp_path / "study", execution=ExecutionSpec(launcher="slurm"), device="cpu", num_workers=1,
            checkpoint_seconds=1.0,
        )  # fmt: skip
