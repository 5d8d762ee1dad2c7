"""``levelfield race``: begun by one command, cut, gone on with, and taken a step further by the same."""

import json
import re

import pytest

from levelfield.records.store import StudyDirectory
from levelfield.study.spec_file import load_study
from tests.conftest import run
from tests.study.pictures import write_folder


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("digit-pairs", "--for", "2h", "--spend", "1e15"), "--for and --spend both say how much"),
        (("digit-pairs", "--for", "soon"), "--for takes a time such as '90s', '9m' or '1.5h', saw 'soon'"),
        (("digit-pairs", "--spend", "1e8"), "the shortest race that tells anything takes about"),
        (("digit-pairs", "--spend", "1e15", "--families", "nfnet,vits"), "no family 'vits' (did you mean 'vit'?)"),
        (("digit-pears", "--for", "2h"), "digit-pears"),
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


@pytest.mark.slow
def test_a_race_is_cut_gone_on_with_to_its_end_and_taken_a_step_further_by_the_same_command(tmp_path):
    """The smallest race there is, on the quickstart's digits: some forty trials of a second."""
    place = tmp_path / "race"
    asked = ("race", "digit-pairs", "--seeds", "3", "--dir", place, "--workers", "2")
    begun = run(*asked, "--spend", "6e11")
    assert begun.returncode == 0, begun.stderr
    spec = load_study(place / "study.toml")
    assert spec.verdict.look == 1
    assert re.search(r"with a seed noise of \S+\s% \(assumed\) a gap of", begun.stdout)
    assert re.search(r"with a seed noise of \S+\s% \(measured on the lowest rung\)", begun.stdout)
    assert "to know more: " in begun.stdout
    assert (place / "report.html").exists()
    results = len(StudyDirectory(place).trials())

    asked = ("race", "digit-pairs", "--dir", place, "--workers", "2")
    other = run(*asked, "--seeds", "6")
    assert (other.returncode, "--seeds: " in other.stderr, "was begun" in other.stderr) == (2, True, True)
    again = run(*asked)
    assert again.returncode == 0
    assert "0 trials trained" in again.stdout, "what is done is shown again, and nothing is run"

    further = run(*asked, "--for", "1s")
    assert further.returncode == 75, "the time is over, and what is left is said"
    assert "look 2: " in further.stdout
    assert "to go on: levelfield race digit-pairs" in further.stdout
    assert load_study(place / "study.toml").verdict.look == 2
    assert len(StudyDirectory(place).trials()) >= results
    kept = json.loads((place / "sealed.json").read_text())
    assert any("verdict.look was 1, is now 2" in sentence for sentence in str(kept).split("', '"))
