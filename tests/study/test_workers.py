"""What ends a worker reaches the user in its own words, never as a mere exit code."""

import os
import stat
import sys
from typing import cast

import pytest

from levelfield.records.errors import InputError, TrialError
from levelfield.records.execution import DEFAULT_EXECUTION
from levelfield.study.launch.local import LocalLauncher
from levelfield.study.planned import PlannedTrial
from levelfield.study.run import run_study
from levelfield.study.spec_file import load_study
from tests.conftest import TINY_STUDY, run
from tests.narrowed import present


class Spec(dict):
    fingerprint, name, steps = "0", "unreadable", 1


class Unreadable:
    spec = Spec(recipe={"optimizer": "evil"})


UNREADABLE = cast(PlannedTrial, Unreadable)  # what no plan holds


def written(path, text):
    """``text`` as a program at ``path``."""
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IEXEC)
    return str(path)


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("echo 'ImportError: libtorch.so: cannot open shared object file' >&2; exit 1", "libtorch.so: cannot open"),
        (
            "printf 'a\\nFatal: no memory for the interpreter\\n\\n' >&2; exit 3",
            "no memory for the interpreter, exit code 3",
        ),
        ("exit 7", "exit code 7, without a word"),
        ("kill -9 $$", "signal 9: killed, as the system does to whoever takes its last memory"),
    ],
)
def test_workers_that_cannot_start_are_told_by_their_last_words_and_stop_the_run(
    program, words, tiny_study, tmp_path, monkeypatch
):
    monkeypatch.setattr(sys, "executable", written(tmp_path / "python", f"#!/bin/sh\n{program}\n"))
    with pytest.raises(TrialError, match="no worker can start here: its worker died") as caught:
        run_study(load_study(tiny_study), tmp_path / "study", num_workers=2)
    assert words in str(caught.value)
    assert "3 times" in str(caught.value)


@pytest.mark.parametrize(("starts", "blame"), [(True, "trial"), (False, "worker")])
def test_a_trial_is_to_blame_where_one_of_its_workers_had_started_though_later_ones_died_sooner(
    starts, blame, tmp_path, monkeypatch
):
    once = f'[ -e {tmp_path}/once ] || {{ touch {tmp_path}/once; echo \'{{"event": "ready"}}\'; sleep 0.2; }}'
    monkeypatch.setattr(
        sys, "executable", written(tmp_path / "python", f"#!/bin/sh\n{once if starts else ''}\nexit 7\n")
    )
    launcher = LocalLauncher(tmp_path, num_workers=1, device="cpu", execution=DEFAULT_EXECUTION, checkpoint_seconds=1.0)
    try:
        launcher.submit(UNREADABLE)
        events = [launcher.next_event(timeout_s=60) for _ in range(6)]
    finally:
        launcher.close()
    assert [present(event).kind for event in events] == ["started", "restarted"] * 2 + ["started", "failed"]
    assert present(events[-1]).blame == blame


@pytest.mark.slow
def test_a_device_that_is_not_there_is_named_in_its_own_sentence_and_nothing_fails_for_good(tiny_study, tmp_path):
    with pytest.raises(InputError, match="unknown device 'evil'; choose auto, cpu or cuda"):
        run_study(load_study(tiny_study), tmp_path / "study", device="evil")
    assert not list((tmp_path / "study").rglob("failed.json"))
    planned = run("plan", tiny_study, "--device", "evil")
    assert planned.returncode == 2
    assert planned.stderr.strip() == "levelfield: unknown device 'evil'; choose auto, cpu or cuda"


def test_a_worker_tells_of_a_spec_that_it_cannot_read(tmp_path):
    launcher = LocalLauncher(tmp_path, num_workers=1, device="cpu", execution=DEFAULT_EXECUTION, checkpoint_seconds=1.0)
    try:
        launcher.submit(UNREADABLE)
        assert present(launcher.next_event(timeout_s=60)).kind == "started"
        event = present(launcher.next_event(timeout_s=60))
    finally:
        launcher.close()
    assert (event.kind, event.blame) == ("failed", "input")
    assert "TrialSpec: 'architecture' is missing" in event.reason


def test_an_unknown_optimizer_never_reaches_a_worker(tmp_path):
    path = tmp_path / "study.toml"
    path.write_text(
        TINY_STUDY.replace('recipe = "vit-short"', 'recipe = "vit-short"\noverride = { optimizer = "evil" }')
    )
    done = run("run", path, "--dir", tmp_path / "study")
    assert done.returncode == 2
    assert "optimizer must be one of 'sgd', 'adamw', saw 'evil'" in done.stderr
    assert not os.path.exists(tmp_path / "study" / "trials")
