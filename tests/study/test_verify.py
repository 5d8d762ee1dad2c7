"""Auditing a study by training again: equal where it is, different where somebody touched it."""

import json

import numpy as np
import pytest

from levelfield.data import kept_digests as digests
from levelfield.data.sources import open_source
from levelfield.records.errors import InputError, StoreError
from levelfield.records.sealed import SEAL, read_record, write_record
from levelfield.records.store import StudyDirectory
from levelfield.study.facts import DataFacts
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


@pytest.mark.slow
def test_an_untouched_study_is_equal_to_the_last_bit(finished):
    checked = verify_study(finished, sample=2, device="cpu")
    assert len(checked) == 2
    assert all(each.holds and not each.made_elsewhere for each in checked)


@pytest.mark.slow
def test_touched_results_are_found_and_the_command_fails(finished):
    """A forged number, seal and all, in one trial, and another trial's losses of examples."""
    forged, touched, *_ = (path.parent for path in sorted(finished.glob("trials/*/report_loss.npy")))
    result, losses = forged / "result.json", touched / "report_loss.npy"
    kept = {file: file.read_bytes() for file in (result, losses)}
    plain = json.loads(result.read_text())
    plain["held_out"]["report"]["values"]["loss"] += 1e-9
    write_record(result, {name: value for name, value in plain.items() if name != SEAL})
    np.save(losses, np.load(losses) * (1 + 1e-6))
    try:
        everything = len(StudyDirectory(finished).results())
        done = run("verify", finished, "--sample", everything, "--device", "cpu")
        assert done.returncode == 1, done.stdout
        different = {said.split()[0]: said.partition("\nequal: ")[0] for said in done.stdout.split("DIFFERENT: ")[1:]}
        assert different.keys() == {forged.name, touched.name}, done.stdout
        assert "held_out" in different[forged.name]
        assert "report_loss.npy was changed" in different[touched.name]
        assert "report_loss.npy was changed" not in different[forged.name]
    finally:
        for file, content in kept.items():
            file.write_bytes(content)


@pytest.mark.slow
def test_verifying_reads_every_byte_of_the_data_whatever_is_kept_of_it(finished, tmp_path, monkeypatch):
    """A picture is changed, and what is kept of the files is made to say that it was not."""
    monkeypatch.setenv("LEVELFIELD_CACHE", str(tmp_path))
    monkeypatch.setattr(digests, "RACY_NS", -(10**12))
    spec, facts = StudyDirectory(finished).spec(), read_record(DataFacts, finished / "facts.json")
    assert open_source(spec.data).fingerprint == facts.fingerprint
    (cache,) = (tmp_path / "digests").iterdir()
    paths, known = sorted(map(str, (finished.parent / "images").rglob("*.png"))), digests._read(cache)
    held = {path: known[digests._key(path).digest] for path in paths}  # pyright: ignore[reportOptionalMemberAccess]
    with open(paths[0], "r+b") as picture:
        content = picture.read()
        picture.seek(0)
        picture.write(content[:-1] + b"?")
    try:
        lies = {digests._key(path).digest: held[path] for path in paths}  # pyright: ignore[reportOptionalMemberAccess]
        cache.write_bytes(digests._packed(lies))
        assert open_source(spec.data).fingerprint == facts.fingerprint, "the lie is believed"
        with pytest.raises(StoreError, match="its data was changed"):
            verify_study(finished, sample=1, device="cpu")
    finally:
        with open(paths[0], "r+b") as picture:
            picture.write(content)


@pytest.mark.slow
def test_a_device_that_is_not_there_is_the_inputs_fault_as_it_is_for_a_run(finished):
    with pytest.raises(InputError, match="unknown device 'evil'; choose auto, cpu or cuda"):
        verify_study(finished, sample=1, device="evil")


def test_an_empty_folder_has_nothing_to_verify(tmp_path):
    with pytest.raises(InputError, match="holds no study"):
        verify_study(tmp_path, sample=1)
