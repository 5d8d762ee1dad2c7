"""Running a study: what stops it, with one clear message each."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from levelfield.records.errors import InputError, RefusedError, SpecError, StoreError
from levelfield.records.store import StudyDirectory
from levelfield.study.run import run_study
from levelfield.study.spec_file import load_study, relocated, study_from_plain
from tests.conftest import one_complaint, run
from tests.study.simulated import FACTS, outcome_of, study


def test_a_study_in_use_is_refused(tmp_path):
    with StudyDirectory(tmp_path).locked(), pytest.raises(StoreError, match="is being run by another process"):
        run_study(study(), tmp_path)


def test_a_study_of_other_data_is_refused_and_nothing_is_lost(tmp_path):
    from levelfield.records.trial import TrialTiming
    from levelfield.study.plan.plan import plan

    trial = plan(study(), FACTS, {}).trials[0]
    directory = StudyDirectory(tmp_path).trial(trial.spec)
    directory.open(trial.spec)
    timing = TrialTiming(
        fingerprint=trial.spec.fingerprint,
        device="none",
        device_seconds=1,
        data_seconds=1,
        evaluate_seconds=1,
        wall_seconds=1,
    )
    directory.finish(outcome_of(trial, 1.0), timing)
    with pytest.raises(StoreError, match="its data was changed: it was run on simulated"):
        run_study(study(), tmp_path)
    assert directory.result() is not None


def test_a_study_that_the_protocol_forbids_altogether_is_refused_before_a_directory_is_made(tmp_path):
    with pytest.raises(RefusedError, match="no-cell-allowed"):
        run_study(study(ladder={"budgets": [1e6]}), tmp_path / "study")
    assert not (tmp_path / "study").exists()


@pytest.mark.slow
def test_a_corrupt_image_stops_the_run_with_its_name(tmp_path):
    draw = np.random.default_rng(0)
    for label in ("cat", "dog"):
        (tmp_path / "images" / label).mkdir(parents=True)
        for index in range(30):
            buffer = io.BytesIO()
            Image.fromarray(draw.integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(buffer, "PNG")
            (tmp_path / "images" / label / f"{index}.png").write_bytes(buffer.getvalue())
    (tmp_path / "images" / "dog" / "7.png").write_bytes(b"\x89PNG but torn")
    spec = study_from_plain(
        {
            "name": "torn",
            "question": "Is it named?",
            "data": {
                "source": "images",
                "path": str(tmp_path / "images"),
                "resolution": 8,
                "select_examples": 6,
                "report_examples": 6,
            },
            "ladder": {"budgets": [5e8], "max_epochs": 1000, "batch_coefficient": 0.01},
            "families": [
                {
                    "name": "vit",
                    "recipe": "vit-short",
                    "sizes": ["vit:w8-d1-p4"],
                    "base_lr": {"low": 0.01, "start": 0.01, "high": 0.01},
                    "lr_batch_exponent": 0.5,
                }
            ],
        }
    )
    with pytest.raises(InputError, match=r"dog.7\.png"):
        run_study(spec, tmp_path / "study", device="cpu")


@pytest.mark.parametrize("content", ["not [ toml", "name = 3", ""])
def test_a_wrong_study_file_is_refused_before_anything_is_made(tmp_path, content):
    (tmp_path / "study.toml").write_text(content)
    assert str(tmp_path / "study.toml") in one_complaint(
        run("run", tmp_path / "study.toml", "--dir", tmp_path / "d"), 2
    )
    assert not (tmp_path / "d").exists()


def test_two_runs_on_one_directory_are_one_too_many(tmp_path, tiny_study):
    with StudyDirectory(tmp_path / "study").locked():
        message = one_complaint(run("run", tiny_study, "--dir", tmp_path / "study"), 1)
    assert "is being run by another process" in message


def test_a_path_for_data_that_has_none_is_refused(tiny_study):
    with pytest.raises(SpecError, match="no path that could have moved"):
        relocated(load_study(tiny_study), Path("elsewhere"), None)
