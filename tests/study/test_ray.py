"""Trials on a real Ray of one machine."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

if importlib.util.find_spec("ray") is None:  # not imported: the launcher says before how Ray is to begin
    pytest.skip("no Ray here: pip install 'levelfield[ray]'", allow_module_level=True)

from levelfield.records.attempts import AttemptFacts, last_checkpoint
from levelfield.records.errors import InputError, SpecError
from levelfield.records.execution import ExecutionSpec
from levelfield.records.sealed import read_record
from levelfield.records.store import StudyDirectory
from levelfield.study.launch.ray import RayCluster, run_plain_job
from levelfield.study.launch.registry import start_launcher
from levelfield.testing.launchers import check_launcher
from tests.conftest import levelfield, run
from tests.docs.commands import commands_of
from tests.study.placed import (
    as_placed,
    assert_as_here,
    launched,
    lengthy,
    submit,
    timing_of,
    until_done,
    until_trained_a_while,
)


@pytest.mark.slow
def test_ray_is_a_launcher(tmp_path):
    def launch(path: Path):
        how = {"num_workers": 2, "device": "cpu", "checkpoint_seconds": 60.0}
        return start_launcher(path, execution=ExecutionSpec(launcher="ray"), **how)

    check_launcher(launch, tmp_path / "checked")


@pytest.mark.slow
def test_a_worker_of_ray_that_is_killed_is_replaced_and_its_trial_leaves_the_bytes_of_an_undisturbed_one(tmp_path):
    study, spec = tmp_path / "study", lengthy(7)
    with launched(study, "ray") as launcher:
        submit(launcher, spec)
        until_trained_a_while(launcher, study, spec)
        facts = StudyDirectory(study).trial(spec).path / "attempts/0001/attempt.json"
        os.kill(read_record(AttemptFacts, facts).holder.pid, signal.SIGKILL)
        seen = until_done(launcher, study, spec)
    (told,) = [event.reason for event in seen if event.kind == "restarted"]
    assert told.startswith("its worker of Ray died (WorkerCrashedError")
    assert timing_of(study, spec)["attempts"] == 2
    assert_as_here(study, spec, tmp_path / "here")


@pytest.mark.slow
def test_the_command_of_the_how_to_goes_on_after_it_was_killed_and_ends_with_the_bytes_of_a_local_run(
    tiny_study, undisturbed, tmp_path
):
    (command,) = [each for each in commands_of("docs/how-to/ray.md") if "--device cpu" in each]
    study = tmp_path / "study"
    words = [*command.replace("study.toml", str(tiny_study)).split()[1:], "--dir", study]
    first = subprocess.Popen(levelfield(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path)
    end = time.monotonic() + 120
    while not list(study.glob("trials/*/attempts/0001/metrics.jsonl")):
        assert time.monotonic() < end
        time.sleep(0.05)
    first.send_signal(signal.SIGKILL)
    first.communicate(timeout=60)
    done = run(*words)
    assert done.returncode == 0, done.stderr
    assert as_placed(study) == as_placed(undisturbed)
    assert not (study / "jobs").exists()


@pytest.mark.slow
def test_ctrl_c_saves_what_ray_has_in_hand(tiny_study, tmp_path):
    study = tmp_path / "study"
    tiny_study.write_text(tiny_study.read_text().replace("[1.36e8]", "[1.36e9]"))
    words = ("run", tiny_study, "--dir", study, "--launcher", "ray", "--device", "cpu", "--checkpoint-every", 3600)
    process = subprocess.Popen(levelfield(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        end = time.monotonic() + 120
        while not list(study.glob("trials/*/attempts/0001/metrics.jsonl")):
            assert time.monotonic() < end
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=90)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    assert (process.returncode, "the same command goes on" in said) == (130, True), said
    assert any(last_checkpoint(trial) for trial in study.glob("trials/*")), "it was saved where it was"


def test_ray_is_asked_only_for_what_it_has_and_none_is_joined_that_is_not_there(tmp_path):
    with pytest.raises(SpecError, match=r"Ray is not asked for 'num_gpu' \(did you mean 'num_gpus'\?\)"):
        RayCluster(tmp_path, "", asks={"num_gpu": "1"})
    with pytest.raises(SpecError, match="--ask num_gpus= takes a number, saw 'two'"):
        RayCluster(tmp_path, "", asks={"num_gpus": "two"})


def test_a_worker_of_other_code_refuses_and_says_whose_fault_that_is(tmp_path):
    order = {"device": "cpu", "execution": {}, "checkpoint_seconds": 1.0, "keeps_weights": False, "code": "0.0.1"}
    told = run_plain_job(str(tmp_path), order)
    assert told["blame"] == "input"
    assert "is to be run by levelfield 0.0.1" in told["reason"]


@pytest.mark.slow
def test_a_trial_that_no_node_has_room_for_is_refused_at_once(tmp_path):
    with (
        launched(tmp_path / "study", "ray", num_gpus="3") as launcher,
        pytest.raises(InputError, match="asks Ray for 3 GPUs, and no node of it has more than"),
    ):
        submit(launcher, lengthy())
