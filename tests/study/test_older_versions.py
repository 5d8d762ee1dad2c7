"""A directory that an older version has left is whole, and another's: one sentence, and nothing in it is touched."""

import json
from pathlib import Path

import pytest
import torch

from levelfield.data.sources import open_source
from levelfield.records.fingerprint import fingerprint
from levelfield.records.sealed import SCHEMA, SCHEMA_KEY, SEAL
from levelfield.records.store import StudyDirectory
from levelfield.study.execute.trial import run_trial
from tests.study.simulated import run_to_the_end, study, written_down
from tests.study.test_trial import DATA, trial

OLDER = "was written by an older version of Levelfield"


def made_older(folder: Path) -> dict[str, bytes]:
    """Every record below ``folder`` as the version before records had a form wrote it; and what lies there then."""
    for path in folder.rglob("*.json"):
        plain = json.loads(path.read_text())
        plain.pop(SEAL)
        assert plain.pop(SCHEMA_KEY) == SCHEMA
        if path.name in ("study.json", "spec.json"):
            plain["threads"] = 1
        path.write_text(json.dumps({**plain, SEAL: fingerprint("record", plain)}))
    return content(folder)


def content(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def refused(said: tuple[int, str, str]) -> None:
    code, out, error = said
    assert (code, OLDER in error, "run in another directory" in error) == (1, True, True), (code, out, error)
    assert "damaged" not in error
    assert len(error.strip().splitlines()) == 1, error


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["run", "status", "compare", "report", "verify", "export"])
def test_a_study_of_an_older_version(verb, tmp_path, invoke):
    spec = study()
    directory = written_down(tmp_path / "study", spec, *run_to_the_end(spec))
    (directory.path / "lock").touch()
    held = made_older(directory.path)
    arguments = {"run": (tiny(tmp_path), "--dir", directory.path), "export": (directory.path, tmp_path / "out")}
    refused(invoke(verb, *arguments.get(verb, (directory.path,))))
    assert content(directory.path) == held


def tiny(folder: Path) -> Path:
    from tests.conftest import TINY_STUDY

    (folder / "study.toml").write_text(TINY_STUDY)
    return folder / "study.toml"


def test_a_trial_of_an_older_version_and_its_weights(tmp_path, invoke):
    directory = StudyDirectory(tmp_path / "study").trial(trial("vit"))
    run_trial(trial("vit"), directory, open_source(DATA), device=torch.device("cpu"), keeps_weights=True)
    held = made_older(directory.path)
    refused(invoke("evaluate", directory.path, "--device", "cpu"))
    refused(invoke("convert", directory.path, tmp_path / "out.safetensors"))
    assert content(directory.path) == held
