"""A study that has lost a file: whoever reads it is told, and a run restores or forgets what it must train again."""

import os
import shutil

import numpy as np
import pytest

from levelfield.records.errors import DamagedError
from levelfield.records.probe_store import ProbeDirectory
from levelfield.records.sealed import read_record, write_record
from levelfield.records.store import StudyDirectory
from levelfield.records.trial_state import TrialState
from levelfield.records.writing import write_atomically
from levelfield.scaling.results.analysis import Progress
from levelfield.study.mend import mend, restore_specs
from levelfield.study.outcome.locks import lock_name, refuse_lost_locks
from levelfield.study.outcome.outcome import analyse_outcome, read_outcome
from levelfield.study.planned import Lock
from tests.study.simulated import run_to_the_end, study, written_down

SPEC = study(ladder={"budgets": [2e10, 6e10]})
PLANNED, RESULTS = run_to_the_end(SPEC)
JUDGED = next(trial.spec for trial in PLANNED.trials if trial.role == "winner")
LOSSES = np.linspace(1, 2, 8, dtype=np.float32)


@pytest.fixture
def held(tmp_path):
    """A finished study, one trial of which has kept what a real one keeps."""
    directory = written_down(tmp_path / "study", SPEC, PLANNED, RESULTS)
    trial = directory.trial(JUDGED)
    np.save(trial.report_path("loss"), LOSSES)
    for path in (trial.metrics_path, trial.policy_path, trial.report_path("error")):
        write_atomically(path, path.name.encode())
    result, timing = trial.result(), trial.timing()
    assert result is not None
    assert timing is not None
    trial.finish(type(result)(**{**vars(result), "kept": trial.digests(JUDGED, result.measures)}), timing)
    trial.tell(result, timing)
    return directory


def trial_of(held: StudyDirectory):
    return held.trial(JUDGED)


def break_it(path, how):
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    if how == "torn":
        path.write_bytes(b'{"torn": ')
    if how == "a directory":
        path.mkdir()
    if how == "a pipe":
        os.mkfifo(path)


def test_a_trial_without_its_spec_counts_as_before_and_gets_it_back(held):
    """``rm trials/*_s2_*/spec.json``: "17 of 18" for ever."""
    before = read_outcome(held.path)
    content = (trial_of(held).path / "spec.json").read_bytes()
    (trial_of(held).path / "spec.json").unlink()
    assert read_outcome(held.path) == before
    mend(held)
    restore_specs(held, [JUDGED], held.trials())
    assert (trial_of(held).path / "spec.json").read_bytes() == content


@pytest.mark.parametrize("how", ["torn", "a directory", "a pipe"])
@pytest.mark.parametrize("name", ["spec.json", "status.json"])
def test_what_follows_from_the_rest_is_named_to_readers_and_restored_by_a_run(held, name, how, caplog):
    path = trial_of(held).path / name
    content = path.read_bytes()
    break_it(path, how)
    with pytest.raises(DamagedError, match=name):
        read_outcome(held.path)
    mend(held)
    restore_specs(held, [JUDGED], held.trials())
    assert path.read_bytes() == content
    assert f"{name}.damaged-1" in caplog.text


def test_a_lost_status_is_written_again(held):
    path = trial_of(held).path / "status.json"
    content = path.read_bytes()
    path.unlink()
    read_outcome(held.path)
    mend(held)
    assert path.read_bytes() == content


@pytest.mark.parametrize("how", ["deleted", "torn", "a directory", "a pipe"])
@pytest.mark.parametrize(
    "name", ["result.json", "timing.json", "report_loss.npy", "report_error.npy", "metrics.jsonl", "policy.json"]
)
def test_what_does_not_follow_is_moved_aside_and_wanted_again(held, name, how, caplog):
    path = trial_of(held).path
    break_it(path / name, how)
    mend(held)
    assert not path.exists() or held.trials()[JUDGED.fingerprint].result is None
    assert path.with_name(f"{path.name}.damaged-1").exists() or f"{name}.damaged-1" in caplog.text
    assert len(held.results()) == len(RESULTS) - 1
    outcome = read_outcome(held.path)
    assert [waiting.spec for waiting in outcome.planned.pending(outcome.results)] == [JUDGED]
    assert outcome.in_progress == Progress(done=len(RESULTS) - 1, wanted=len(RESULTS))


@pytest.mark.parametrize("name", ["result.json", "timing.json", "report_loss.npy"])
def test_who_reads_is_told_which_file_a_number_rests_on_and_what_to_do(held, name):
    (trial_of(held).path / name).unlink()
    with pytest.raises(DamagedError, match=rf"{name} is missing.*`levelfield run` mends") as raised:
        analyse_outcome(read_outcome(held.path), held.path)
    assert raised.value.exit_code == 2


@pytest.mark.parametrize("name", ["spec.json", "status.json", "result.json", "timing.json", "report_loss.npy"])
def test_the_file_of_another_trial_is_never_this_ones(held, name):
    other = next(trial.spec for trial in PLANNED.trials if trial.role == "winner" and trial.spec != JUDGED)
    np.save(held.trial(other).report_path("loss"), LOSSES + 1)
    shutil.copy(held.trial(other).path / name, trial_of(held).path / name)
    with pytest.raises(DamagedError):
        analyse_outcome(read_outcome(held.path), held.path)
    mend(held)
    assert JUDGED.fingerprint not in held.results() or trial_of(held).result() is not None


def test_a_whole_directory_of_another_trial_is_moved_aside(held):
    other = next(trial.spec for trial in PLANNED.trials if trial.spec != JUDGED)
    shutil.rmtree(trial_of(held).path)
    shutil.copytree(held.trial(other).path, trial_of(held).path)
    with pytest.raises(DamagedError, match="rename it, or move it away"):
        read_outcome(held.path)
    mend(held)
    assert len(held.results()) == len(RESULTS) - 1


def test_a_trial_that_is_a_file_and_what_nobody_named_are_said(held, caplog):
    shutil.rmtree(trial_of(held).path)
    trial_of(held).path.write_text("a note")
    (held.path / "trials" / "my notes").mkdir()
    (held.path / "trials" / ".hidden").mkdir()
    with pytest.raises(DamagedError):
        read_outcome(held.path)
    mend(held)
    assert len(held.results()) == len(RESULTS) - 1
    assert "my notes has no name that Levelfield gives" in caplog.text
    assert ".hidden" not in caplog.text


def test_what_was_set_aside_is_not_looked_at_again(held):
    break_it(trial_of(held).path / "result.json", "torn")
    mend(held)
    aside = trial_of(held).path.with_name(f"{trial_of(held).path.name}.damaged-1")
    mend(held)
    assert aside.exists()
    assert not aside.with_name(f"{aside.name}.damaged-1").exists()


def test_the_specs_and_facts_of_a_study_are_named_to_readers_and_given_up_by_a_run(held):
    for path in (held.spec_path, held.facts_path):
        content = path.read_bytes()
        path.write_bytes(content[:-9])
        with pytest.raises(DamagedError, match=rf"{path.name}.*writes it again"):
            read_outcome(held.path)
        mend(held)
        assert not path.exists()
        path.write_bytes(content)


def test_a_directory_with_trials_and_no_study_json_is_a_study_that_has_lost_it(held):
    held.spec_path.unlink()
    with pytest.raises(DamagedError, match=r"study\.json is missing; `levelfield run SPEC --dir .*` writes it again"):
        held.spec()


def test_a_failure_is_not_forgotten_with_the_spec(held):
    directory = held.trial(JUDGED)
    shutil.rmtree(directory.path)
    directory.fail(JUDGED, "out of memory")
    (directory.path / "spec.json").unlink()
    assert read_outcome(held.path).failed == {JUDGED.fingerprint: "out of memory"}


def test_a_crash_between_result_and_status_is_a_trial_that_is_done(held):
    path = trial_of(held).path / "status.json"
    content = path.read_bytes()
    write_record(path, TrialState(fingerprint=JUDGED.fingerprint, state="running"))
    assert JUDGED.fingerprint in read_outcome(held.path).results
    mend(held)
    assert path.read_bytes() == content
    assert read_record(TrialState, path).state == "finished"


def test_a_prediction_lost_after_its_rung_was_begun_is_not_made_again(held):
    foretelling = study(ladder={"budgets": [2e10], "locked": [6e10]})
    lock = Lock(budget_flops=6e10, recipes=(), runs=(), results="", written="", code_version="")
    with pytest.raises(DamagedError, match=rf"locked/{lock_name(6e10)} is missing".replace("+", r"\+")):
        refuse_lost_locks(foretelling, held.trials().values(), {})
    refuse_lost_locks(foretelling, held.trials().values(), {6e10: lock})
    refuse_lost_locks(SPEC, held.trials().values(), {})


def test_a_probe_directory_holds_one_probe(tmp_path):
    path = tmp_path / "vit_12345678"
    path.mkdir()
    assert ProbeDirectory(path).held() is None
    for name, fingerprint in (("status.json", "1" * 32), ("other.json", "2" * 32)):
        write_record(path / name, TrialState(fingerprint=fingerprint, state="failed", reason="no memory"))
    held = ProbeDirectory(path).held()
    assert held is not None
    assert held.failure == "no memory"
