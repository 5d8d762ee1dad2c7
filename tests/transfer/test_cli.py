"""The verbs of transfer, as a user types them."""

import json

import pytest

from tests.conftest import run

pytestmark = pytest.mark.parametrize("pretrained", ["vit"], indirect=True)


@pytest.mark.slow
def test_finetune_trains_once_and_is_read_back_after_that(pretrained, tmp_path, invoke):
    command = ("finetune", pretrained, "--data", "digits", "--resolution", 16, "--report", 200)
    command += ("--length", "30 steps", "--batch", 8, "--set", "sam_rho=0.1", "--dir", tmp_path / "run")
    done = run(*command)
    assert done.returncode == 0, done.stderr
    assert "top-1" in done.stdout
    assert "on 200 held-out images" in done.stdout
    written = (tmp_path / "run" / "result.json").read_bytes()
    code, again, _ = invoke(*command, "--json")
    assert code == 0
    assert json.loads(again) == {
        key: value for key, value in json.loads(written).items() if key not in ("seal", "schema")
    }
    assert (tmp_path / "run" / "result.json").read_bytes() == written
    assert json.loads((tmp_path / "run" / "spec.json").read_bytes())["recipe"]["sam_rho"] == 0.1


@pytest.mark.slow
def test_finetune_refuses_what_is_no_trial_and_what_is_no_field(pretrained, tmp_path, invoke):
    said = ("--data", "digits", "--resolution", 16)
    for arguments, why in (
        ((tmp_path / "none", *said), "is no directory of a trial"),
        ((pretrained, *said, "--set", "sam_ro=1"), "did you mean 'sam_rho'"),
        ((pretrained, "--data", tmp_path / "none", "--resolution", 16), "is no folder or file here"),
    ):
        code, _, error = invoke("finetune", *arguments)
        assert (code, why in error, error.count("levelfield: ")) == (2, True, 1), error


@pytest.mark.slow
def test_probe_is_a_verb_that_is_read_back_the_second_time(pretrained, tmp_path, invoke):
    command = ("probe", pretrained, "--data", "digits", "--resolution", 16, "--report", 200, "--dir", tmp_path)
    done = run(*command, "--examples", 500)
    assert done.returncode == 0, done.stderr
    assert "few-shot" in done.stdout
    assert invoke(*command, "--examples", 500)[:2] == (0, done.stdout)
    code, _, error = invoke(*command, "--probes", "quadratic")
    assert (code, "linear" in error) == (2, True)
