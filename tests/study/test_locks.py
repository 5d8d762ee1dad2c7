"""A locked prediction stands for the results that it was made from: no more of them, and no fewer."""

import dataclasses
import shutil
from pathlib import Path

import pytest

from levelfield.records.sealed import write_record
from levelfield.records.store import StudyDirectory
from levelfield.study.outcome.fixed import fix
from levelfield.study.outcome.foretell import lock_rungs, runs_foretelling
from levelfield.study.outcome.imported import import_runs
from levelfield.study.outcome.outcome import analyse_outcome, read_outcome
from levelfield.study.plan.plan import plan
from levelfield.study.verify import Verified, verified_locks
from tests.study.simulated import FACTS, bowl, outcome_of, run_to_the_end, study, written_down

BUDGETS = [2e10, 6e10, 2e11, 6e11]


def foretelling(**verdict):
    return study(ladder={"budgets": BUDGETS, "locked": [2e12]}, verdict=verdict)


@pytest.fixture(scope="module")
def untouched(tmp_path_factory) -> Path:
    """A study that has run up to its locked rung, whose prediction lies there."""
    path = tmp_path_factory.mktemp("locks") / "study"
    directory = written_down(path, foretelling(), *run_to_the_end(foretelling()))
    outcome = read_outcome(path)
    assert lock_rungs(directory, outcome, analyse_outcome(outcome, path))
    return path


@pytest.fixture
def locked(untouched, tmp_path) -> StudyDirectory:
    shutil.copytree(untouched, tmp_path / "study")
    return StudyDirectory(tmp_path / "study")


def verified(directory: StudyDirectory) -> Verified:
    (checked,) = verified_locks(read_outcome(directory.path))
    return checked


@pytest.mark.slow
def test_rows_imported_after_a_lock_leave_it_as_it_was(locked, tmp_path):
    (tmp_path / "others.csv").write_text("arch,flops,loss\nvit,1e11,0.7\nvit,2e11,0.6\n")
    import_runs(locked, tmp_path / "others.csv", columns={"family": "arch"}, source="a table")
    assert len(read_outcome(locked.path).imported) == 1
    assert verified(locked).holds, verified(locked)


def test_seeds_asked_for_after_a_lock_leave_it_as_it_was(locked):
    grown, before = foretelling(seeds=4), locked.results()
    fix(locked, grown, num_results=len(before))
    locked.save_spec(grown)
    planned = plan(grown, FACTS, before)
    wanted = [trial for trial in planned.trials if trial.spec.fingerprint not in before]
    seen = {trial.spec.fingerprint: outcome_of(trial, bowl(trial)) for trial in wanted}
    more = written_down(Path(f"{locked.path}-more"), grown, planned, seen)
    for trial in wanted:
        more.trial(trial.spec).path.rename(locked.trial(trial.spec).path)
    assert len(locked.results()) == len(before) + len(wanted) > len(before)
    (lock,) = read_outcome(locked.path).locks.values()
    assert set(runs_foretelling(read_outcome(locked.path))) > set(lock.runs), "another lock would be made of more"
    assert verified(locked).holds, verified(locked)


@pytest.mark.parametrize("what", ["changed", "lost"])
def test_a_result_behind_a_lock_that_was_changed_or_lost_is_found(what, locked):
    (lock,) = read_outcome(locked.path).locks.values()
    held = locked.trials()[lock.runs[0]]
    assert held.result is not None
    if what == "lost":
        held.directory.path.rename(locked.path / "elsewhere")
        assert "1 are lost" in verified(locked).differences[0]
        return
    held_out = {
        split: dataclasses.replace(each, values={**each.values, "loss": each.values["loss"] + 1e-9})
        for split, each in held.result.held_out.items()
    }
    write_record(held.directory.path / "result.json", dataclasses.replace(held.result, held_out=held_out))
    assert "of the same trials the study now holds" in verified(locked).differences[0]
