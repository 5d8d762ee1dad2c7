"""The verbs of transfer, as a user types them."""

import json

import pytest

from tests.conftest import one_complaint, run

pytestmark = pytest.mark.parametrize("pretrained", ["vit"], indirect=True)


@pytest.mark.slow
def test_finetune_trains_once_and_is_read_back_after_that(pretrained, tmp_path):
    command = ("finetune", pretrained, "--data", "digits", "--resolution", 16, "--report", 200)
    command += ("--length", "30 steps", "--batch", 8, "--set", "sam_rho=0.1", "--dir", tmp_path / "run")
    done = run(*command)
    assert done.returncode == 0, done.stderr
    assert "top-1" in done.stdout
    assert "on 200 held-out images" in done.stdout
    written = (tmp_path / "run" / "result.json").read_bytes()
    again = run(*command, "--json")
    assert json.loads(again.stdout) == {
        key: value for key, value in json.loads(written).items() if key not in ("seal", "schema")
    }
    assert (tmp_path / "run" / "result.json").read_bytes() == written
    assert json.loads((tmp_path / "run" / "spec.json").read_bytes())["recipe"]["sam_rho"] == 0.1


@pytest.mark.slow
def test_finetune_refuses_what_is_no_trial_and_what_is_no_field(pretrained, tmp_path):
    said = ("--data", "digits", "--resolution", 16)
    assert "is no directory of a trial" in one_complaint(run("finetune", tmp_path / "none", *said), 2)
    assert "did you mean 'sam_rho'" in one_complaint(run("finetune", pretrained, *said, "--set", "sam_ro=1"), 2)
    wrong = run("finetune", pretrained, "--data", tmp_path / "none", "--resolution", 16)
    assert "is no folder or file here" in one_complaint(wrong, 2)


@pytest.mark.slow
def test_probe_is_a_verb_that_is_read_back_the_second_time(pretrained, tmp_path):
    command = ("probe", pretrained, "--data", "digits", "--resolution", 16, "--report", 200, "--dir", tmp_path)
    done = run(*command, "--examples", 500)
    assert done.returncode == 0, done.stderr
    assert "few-shot" in done.stdout
    again = run(*command, "--examples", 500)
    assert again.stdout == done.stdout
    wrong = run(*command, "--probes", "quadratic")
    assert wrong.returncode == 2
    assert "linear" in wrong.stderr
