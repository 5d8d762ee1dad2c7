"""Auditing a study by training again: equal where it is, different where somebody touched it."""

import json

import numpy as np
import pytest

from levelfield.records.errors import InputError
from levelfield.records.store import StudyDirectory
from levelfield.study.run import run_study
from levelfield.study.spec_file import load_study
from levelfield.study.verify import verify_study
from tests.conftest import run
from tests.study.pictures import FOLDER_STUDY, write_folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("verify")
    write_folder(folder / "images", seed=0)
    (folder / "pictures.toml").write_text(FOLDER_STUDY)
    run_study(load_study(folder / "pictures.toml"), folder / "study", device="cpu")
    return folder / "study"


def test_an_untouched_study_is_equal_to_the_last_bit(finished):
    checked = verify_study(finished, sample=2, device="cpu")
    assert len(checked) == 2
    assert all(each.holds and not each.made_elsewhere for each in checked)


@pytest.mark.slow
@pytest.mark.parametrize("touched", ["loss", "report_losses.npy"])
def test_a_touched_result_is_found_and_the_command_fails(finished, touched):
    study = StudyDirectory(finished)
    path = sorted(finished.glob("trials/*/report_losses.npy"))[0]
    result = path.parent / "result.json"
    kept = {file: file.read_bytes() for file in (path, result)}
    if touched == "loss":
        plain = json.loads(result.read_text())
        plain["held_out"]["report"]["loss"] += 1e-9
        result.write_text(json.dumps(plain))
    else:
        np.save(path, np.load(path) * (1 + 1e-6))
    try:
        everything = len(study.results())
        done = run("verify", finished, "--sample", everything, "--device", "cpu")
        assert done.returncode == 1, done.stdout
        assert done.stdout.count("DIFFERENT") == 1
        assert ("held_out" if touched == "loss" else "report_losses.npy differs") in done.stdout
    finally:
        for file, content in kept.items():
            file.write_bytes(content)


def test_an_empty_folder_has_nothing_to_verify(tmp_path):
    with pytest.raises(InputError, match="holds no study"):
        verify_study(tmp_path, sample=1)
