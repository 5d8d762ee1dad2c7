"""Others' results beside a study's own, and a study as a table for others."""

import csv

import pytest

from levelfield.records.errors import InputError
from levelfield.records.store import StudyDirectory
from levelfield.scaling.analyse import analyse
from levelfield.study.outcome.export import column_meanings, export_study
from levelfield.study.outcome.imported import import_runs
from levelfield.study.outcome.outcome import read_outcome
from tests.study.simulated import run_to_the_end, study, written_down


@pytest.fixture
def finished(tmp_path):
    """The directory of a study whose losses come from a formula."""
    spec = study()
    return written_down(tmp_path / "study", spec, *run_to_the_end(spec))


def others(folder, text="arch,flops,loss,n\nvit,1e10,1.5,1000\nconvnext,3e10,1.2,\n"):
    path = folder / "others.csv"
    path.write_text(text)
    return path


COLUMNS_OF_OTHERS = {"family": "arch", "params": "n"}


@pytest.mark.slow
def test_imported_runs_are_listed_and_change_no_number(finished, tmp_path):
    before = read_outcome(finished.path)
    import_runs(finished, others(tmp_path), columns=COLUMNS_OF_OTHERS, source="a table")
    after = read_outcome(finished.path)
    assert [row.role for row in after.table if row not in before.table] == ["imported", "imported"]
    assert analyse(after.table) == analyse(before.table)


def test_a_name_is_taken_once_and_a_bad_table_takes_nothing(finished, tmp_path):
    import_runs(finished, others(tmp_path), columns=COLUMNS_OF_OTHERS, source="a table")
    with pytest.raises(InputError, match="already holds imported runs named 'others'"):
        import_runs(finished, others(tmp_path), columns=COLUMNS_OF_OTHERS, source="a table")
    with pytest.raises(InputError, match="line 2"):
        import_runs(finished, others(tmp_path, "flops,loss\n1e9,none\n"), columns={}, source="bad", name="bad")
    assert len(read_outcome(finished.path).imported) == 1


def test_runs_are_taken_into_a_study_alone(tmp_path):
    with pytest.raises(InputError, match="holds no study"):
        import_runs(StudyDirectory(tmp_path), others(tmp_path), columns=COLUMNS_OF_OTHERS, source="a table")


def test_the_export_has_a_row_a_trial_and_a_meaning_a_column(finished, tmp_path):
    import_runs(finished, others(tmp_path), columns=COLUMNS_OF_OTHERS, source="a table")
    outcome = read_outcome(finished.path)
    trials, columns = export_study(outcome, tmp_path / "out")
    rows = list(csv.DictReader(trials.read_text().splitlines()))
    assert len(rows) == len(outcome.planned.trials) + 2
    assert list(rows[0]) == list(column_meanings(outcome))
    own = {row["trial"]: row for row in rows}
    for trial in outcome.planned.trials:
        held_out = outcome.results[trial.spec.fingerprint].held_out[trial.spec.held_out]
        row = own[trial.spec.fingerprint]
        assert {name: float(row[name]) for name in held_out.values} == held_out.values
        assert (row["role"], row["split"], row["seed"]) == (trial.role, trial.spec.held_out, str(trial.spec.seed))
    meanings = list(csv.DictReader(columns.read_text().splitlines()))
    assert [meaning["column"] for meaning in meanings] == list(column_meanings(outcome))
    assert own["others: line 3"]["params"] == "", "an absent number is absent"
    again = export_study(outcome, tmp_path / "again")[0]
    assert again.read_bytes() == trials.read_bytes()
