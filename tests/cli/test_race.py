"""``levelfield race``: begun by one command, cut, gone on with, and taken a step further by the same."""

import re
import signal
import subprocess

import pytest

from levelfield.records.store import StudyDirectory
from levelfield.study.spec_file import load_study, quickstart_text
from tests.conftest import levelfield, run
from tests.study.pictures import write_folder


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("digit-pairs", "--for", "2h", "--spend", "1e15"), "--for and --spend both say how much"),
        (("digit-pairs", "--for", "soon"), "--for takes a time such as '90s', '9m' or '1.5h', saw 'soon'"),
        (("digit-pairs", "--spend", "1e8"), "the shortest race that tells anything takes about"),
        (("digit-pairs", "--spend", "1e15", "--families", "nfnet,vits"), "no family 'vits' (did you mean 'vit'?)"),
        (("digit-pears", "--for", "2h"), "digit-pears"),
        (("digit-pairs", "--report-data", "test/"), "digit-pairs is a stream, which judges itself"),
    ],
)
def test_what_cannot_be_raced_is_refused_before_anything_is_made(invoke, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    code, _, error = invoke("race", *arguments)
    assert code == 2
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_too_few_images_are_refused_with_what_to_do(invoke, tmp_path):
    write_folder(tmp_path / "pets", seed=0)
    code, _, error = invoke("race", tmp_path / "pets", "--for", "2h", "--dir", tmp_path / "race")
    assert code == 2
    assert "has 60 images, too few to race on" in error
    assert "levelfield finetune" in error
    assert not (tmp_path / "race").exists()


def test_a_race_on_one_stream_is_not_gone_on_with_on_another(invoke, tmp_path):
    (tmp_path / "study.toml").write_text(quickstart_text())
    code, _, error = invoke("race", "digit-strings", "--dir", tmp_path)
    assert code == 2
    assert "holds a race on 'digit-pairs', not on 'digit-strings'" in error


@pytest.mark.slow
def test_a_race_that_is_interrupted_keeps_its_study_and_what_it_trained(invoke, tmp_path):
    place = tmp_path / "race"
    asked = levelfield("race", "digit-pairs", "--seeds", "3", "--dir", place, "--workers", "1", "--spend", "6e11")
    with subprocess.Popen(asked, stdout=subprocess.PIPE, text=True) as begun:
        assert begun.stdout is not None
        said: list[str] = []
        for line in begun.stdout:
            said.append(line)
            if line.startswith("[1/"):
                begun.send_signal(signal.SIGINT)
                break
    assert begun.returncode == 130
    assert re.search(r"with a seed noise of \S+\s% \(assumed\) a gap of", "".join(said))
    spec = load_study(place / "study.toml")
    assert (spec.verdict.look, spec.verdict.seeds, spec.search.sizes) == (1, 3, "outward")
    assert len([trial for trial in StudyDirectory(place).trials().values() if trial.result]) >= 1
    code, _, error = invoke("race", "digit-pairs", "--dir", place, "--seeds", "6", "--families", "nfnet")
    assert code == 2
    assert "--families, --seeds: " in error
    assert "was begun" in error


@pytest.mark.acceptance
def test_a_race_is_gone_on_with_to_its_end_and_taken_a_step_further_by_the_same_command(tmp_path):
    """The smallest race there is: some fifty trials of a few seconds."""
    place = tmp_path / "race"
    asked = ("race", "digit-pairs", "--dir", place, "--workers", "2")
    begun = run(*asked, "--seeds", "3", "--spend", "6e11", timeout=1800)
    assert begun.returncode == 0, begun.stderr
    assert re.search(r"with a seed noise of \S+\s% \(measured on the lowest rung\)", begun.stdout)
    assert "to know more: " in begun.stdout
    assert (place / "report.html").exists()
    results = len(StudyDirectory(place).trials())

    again = run(*asked)
    assert again.returncode == 0
    assert "0 trials trained" in again.stdout, "what is done is shown again, and nothing is run"

    further = run(*asked, "--for", "1s")
    assert further.returncode == 75, "the time is over, and what is left is said"
    assert "look 2: " in further.stdout
    assert "to go on: levelfield race digit-pairs" in further.stdout
    assert load_study(place / "study.toml").verdict.look == 2
    assert len(StudyDirectory(place).trials()) >= results
    assert "verdict.look was 1, is now 2" in (place / "sealed.json").read_text()
