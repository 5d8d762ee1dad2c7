"""What was fixed before the first result stays fixed, or the change is refused with both values."""

import dataclasses
import json

import pytest

from levelfield.records.errors import DamagedError, SpecError
from levelfield.records.sealed import write_record
from levelfield.records.store import StudyDirectory
from levelfield.report.words.verdicts import comparison_sentence, headline
from levelfield.study.outcome.fixed import Fixed, changes, fix, read_fixed
from levelfield.study.outcome.outcome import analyse_outcome, read_outcome
from levelfield.study.spec_file import study_from_plain
from tests.study.simulated import run_to_the_end, study, written_down

SPEC = study()
FAMILIES = [dataclasses.asdict(entry) for entry in SPEC.families]


def families(**changed):
    """The families with fields of the second replaced; a function of the old value where it is called."""
    second = {**FAMILIES[1]}
    for name, value in changed.items():
        second[name] = value(second[name]) if callable(value) else value
    return study(families=[FAMILIES[0], second])


def wider(entry, low=0.5, high=2.0):
    grid = entry["base_lr"]
    return {**entry, "base_lr": {**grid, "low": grid["low"] * low, "high": grid["high"] * high}}


REFUSED = {
    "the margin": (study(verdict={"margin": 0.1}), "verdict.margin was 0.05, is now 0.1"),
    "which weights are judged": (study(verdict={"weights": "raw"}), "verdict.weights was ema, is now raw"),
    "a rung of the control": (study(verdict={"control_budget": 2e10}), "verdict.control_budget was nothing, is now 2"),
    "the split that chooses": (
        study(data={"source": "digit-pairs", "select_examples": 5000}),
        "data.select_examples was",
    ),
    "the data": (study(data={"source": "digit-pairs", "label_noise": 0.3}), "data.label_noise was"),
    "the cap of the search": (study(search={"cap": 4}), "search.cap was 5, is now 4"),
    "the two-trial rule": (study(search={"bracket_winners": False}), "search.bracket_winners was True, is now False"),
    "where it is checked": (study(search={"check_budgets": [2e10]}), "search.check_budgets was nothing, is now"),
    "a rung taken away": (study(ladder={"budgets": [2e10, 6e10, 2e11]}), "ladder.budgets was"),
    "a rung between": (study(ladder={"budgets": [2e10, 4e10, 6e10, 2e11, 6e11]}), "ladder.budgets was"),
    "the batch rule": (
        study(ladder={"budgets": [2e10, 6e10, 2e11, 6e11], "batch_coefficient": 0.5}),
        "ladder.batch_coefficient was 0.25, is now 0.5",
    ),
    "a family taken away": (study(families=FAMILIES[:1]), "families.vit.name was vit, is now nothing"),
    "a recipe": (families(recipe="vit-sgd-agc"), "families.vit.recipe was vit-short, is now vit-sgd-agc"),
    "a field of a recipe": (
        families(override={"beta2": 0.95}),
        "families.vit.override.beta2 was nothing, is now 0.95",
    ),
    "a size taken away": (families(sizes=lambda sizes: sizes[1:]), "families.vit.sizes was"),
    "a grid made narrower": (study(families=[wider(entry, 2.0, 1.0) for entry in FAMILIES]), ".base_lr.low was"),
    "where a search starts": (
        families(base_lr={"low": 1e-3, "start": 4e-3, "high": 0.128}),
        "families.vit.base_lr.start was 0.008, is now 0.004",
    ),
    "an axis": (study(families=[{**entry, "axes": {}} for entry in FAMILIES]), "axes.batch.field was batch_factor"),
    "the hypothesis": (study(hypothesis="ViTs win, of course"), "hypothesis was , is now ViTs win"),
    "the precision": (study(dtype="bfloat16"), "dtype was float32, is now bfloat16"),
}
GROWN = {
    "a rung above": study(ladder={"budgets": [2e10, 6e10, 2e11, 6e11, 2e12]}),
    "a rung to be foretold": study(ladder={"budgets": [2e10, 6e10, 2e11, 6e11], "locked": [2e12]}),
    "more seeds": study(verdict={"seeds": 5}),
    "a grid wider at both ends": study(families=[wider(entry) for entry in FAMILIES]),
    "a size above": families(sizes=lambda sizes: (*sizes, "vit:w64-d2-p8")),
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return written_down(tmp_path_factory.mktemp("fixed") / "study", SPEC, *run_to_the_end(SPEC))


@pytest.fixture
def sealed(tmp_path):
    """A directory with what fixing SPEC and running it leaves at its top."""
    directory = StudyDirectory(tmp_path)
    fix(directory, SPEC, num_results=0)
    directory.save_spec(SPEC)
    return directory


@pytest.mark.parametrize("what", REFUSED)
def test_what_was_fixed_is_refused_with_the_field_and_both_values(what, sealed):
    now, message = REFUSED[what]
    before = sealed.sealed_path.read_bytes()
    with pytest.raises(SpecError) as raised:
        fix(sealed, now, num_results=12)
    assert message in str(raised.value)
    assert "12 results are known" in str(raised.value)
    assert "run in another directory (--dir)" in str(raised.value)
    assert sealed.sealed_path.read_bytes() == before


@pytest.mark.parametrize("what", GROWN)
def test_a_study_may_grow_and_says_so_but_takes_nothing_back(what, sealed):
    fixed = fix(sealed, GROWN[what], num_results=12)
    assert fixed.grown
    assert all(sentence.endswith("after 12 results were known") for sentence in fixed.grown)
    assert read_fixed(sealed, GROWN[what]) == fixed
    with pytest.raises(SpecError, match="stays fixed"):
        fix(sealed, SPEC, num_results=12)


def test_every_field_of_a_study_is_fixed_unless_a_rule_lets_it_grow(sealed):
    assert not list(changes(SPEC, dataclasses.replace(SPEC, name="another name")))
    assert {change.field for now, _ in REFUSED.values() for change in changes(SPEC, now) if change.grows} == set()


def test_before_the_first_result_everything_may_change(sealed):
    assert fix(sealed, REFUSED["the margin"][0], num_results=0).spec.verdict.margin == 0.1


def test_a_lost_seal_is_written_again_from_the_spec_as_last_run_and_still_refuses(sealed, caplog):
    sealed.sealed_path.unlink()
    with pytest.raises(SpecError, match=r"verdict\.margin was 0\.05, is now 0\.1"):
        fix(sealed, REFUSED["the margin"][0], num_results=12)
    sealed.sealed_path.write_text("torn")
    assert fix(sealed, SPEC, num_results=12).spec == SPEC
    assert "written again from study.json" in caplog.text


def test_where_nothing_says_what_was_fixed_nothing_is_run(sealed):
    sealed.sealed_path.unlink()
    sealed.spec_path.unlink()
    with pytest.raises(DamagedError, match="says what was fixed before them"):
        fix(sealed, SPEC, num_results=12)


def test_who_reads_a_study_is_told_where_its_spec_is_not_the_one_that_was_fixed(finished):
    try:
        finished.save_spec(REFUSED["the margin"][0])
        with pytest.raises(DamagedError, match=r"verdict\.margin was 0\.05, is now 0\.1"):
            read_outcome(finished.path)
        finished.sealed_path.rename(finished.path / "away")
        with pytest.raises(DamagedError, match=r"sealed\.json is missing"):
            read_outcome(finished.path)
    finally:
        (finished.path / "away").rename(finished.sealed_path)
        finished.save_spec(SPEC)


def test_another_estimand_of_another_version_is_a_change_too(sealed):
    write_record(sealed.sealed_path, Fixed(spec=SPEC, estimand="top-1 at equal parameters"))
    with pytest.raises(SpecError, match="the estimand was top-1 at equal parameters"):
        fix(sealed, SPEC, num_results=1)


@pytest.mark.slow
def test_a_margin_chosen_after_results_says_so_wherever_it_is_told(finished):
    outcome = read_outcome(finished.path)
    own, other = (analyse_outcome(outcome, finished.path, margin=margin) for margin in (None, 0.5))
    words = "The margin of ±50 % was chosen after results; ±5 % was fixed beforehand."
    assert own == analyse_outcome(outcome, finished.path, margin=0.05)
    assert words in headline(other)
    assert all(words in comparison_sentence(other, comparison) for comparison in other.comparisons)
    assert other.fixed_margin == 0.05
    assert "chosen after" not in headline(own) + "".join(
        comparison_sentence(own, comparison) for comparison in own.comparisons
    )


@pytest.mark.slow
def test_a_study_in_progress_says_so_first_and_every_verdict_is_provisional(tmp_path):
    planned, results = run_to_the_end(SPEC)
    some = dict(list(results.items())[:-3])
    directory = written_down(tmp_path / "study", SPEC, planned, some)
    outcome = read_outcome(directory.path)
    analysis = analyse_outcome(outcome, directory.path)
    wanted = outcome.planned.num_wanted
    done = wanted - len(outcome.planned.pending(outcome.results))
    assert done < wanted
    assert headline(analysis).startswith(f"In progress: {done} of {wanted} trials wanted so far are done. Provisional:")
    assert all(comparison_sentence(analysis, each).startswith("Provisional: ") for each in analysis.comparisons)


@pytest.mark.slow
def test_a_finished_study_is_not_in_progress(finished):
    analysis = analyse_outcome(read_outcome(finished.path), finished.path)
    assert analysis.in_progress is None
    assert "rovisional" not in headline(analysis)


def test_the_seal_is_json_that_says_what_is_estimated(sealed):
    plain = json.loads(sealed.sealed_path.read_text())
    assert "ln held-out loss" in plain["estimand"]
    assert study_from_plain(plain["spec"]) == SPEC
