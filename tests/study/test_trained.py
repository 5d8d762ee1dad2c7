"""What is to be trained at a budget of one's own, how it is locked, and how a study reads it back."""

import dataclasses
import shutil

import pytest

from levelfield.records.errors import DamagedError, InputError, RefusedError, SpecError, StoreError
from levelfield.records.store import StudyDirectory
from levelfield.report.words.predictions import choice_sentences
from levelfield.report.words.told import told
from levelfield.scaling.results.intervals import Interval
from levelfield.study.outcome.commission import commissioned, lock_for, scored
from levelfield.study.outcome.foretell import predicted_recipes
from levelfield.study.outcome.outcome import analyse_outcome, read_outcome
from levelfield.study.outcome.trained import chosen, trained_directory, trained_runs
from levelfield.study.planned import LockedRecipe
from tests.study.foretelling import FORETOLD, SIZES, TOP, planted


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    path = planted(tmp_path_factory.mktemp("foretelling")).path
    outcome = read_outcome(path)
    return path, outcome, analyse_outcome(outcome, path)


@pytest.fixture(scope="module")
def lock(known):
    _, outcome, analysis = known
    return lock_for(outcome, analysis, FORETOLD, None)


def test_the_family_that_is_foretold_to_be_best_is_trained_by_its_recipe_with_a_fresh_seed(known, lock):
    _, outcome, _ = known
    commission = commissioned(outcome.spec, outcome.facts, lock, None)
    assert {recipe.family for recipe in lock.recipes} == {"nfnet", "vit"}
    assert commission.recipe.family == "nfnet", "planted a tenth better"
    assert commission.spec.architecture == commission.bought.architecture
    assert (commission.spec.budget_flops, commission.spec.held_out, commission.spec.seed) == (FORETOLD, "report", 1)
    assert (
        commission.bought.steps * commission.bought.global_batch_size * commission.bought.flops_per_example <= FORETOLD
    )
    searched = {trial.spec.fingerprint for trial in outcome.planned.trials if trial.role == "search"}
    assert commission.spec.fingerprint not in searched


def test_a_family_that_is_named_is_trained_instead_and_one_that_did_not_compete_is_refused(known):
    _, outcome, analysis = known
    lock = lock_for(outcome, analysis, FORETOLD, "vit")
    assert commissioned(outcome.spec, outcome.facts, lock, "vit").spec.architecture.startswith("vit:")
    with pytest.raises(SpecError, match=r"no family 'vits' .did you mean 'vit'"):
        lock_for(outcome, analysis, FORETOLD, "vits")


def test_beyond_the_declared_sizes_the_family_goes_on_along_its_path_and_within_them_it_does_not(known):
    _, outcome, analysis = known
    near, far = TOP, 1e3 * TOP
    listed = {f"nfnet:w{width}-d1-s4" for width in SIZES} | {f"vit:w{width}-d1-p8" for width in SIZES}

    def sizes(budget: float, *, grown: bool) -> set[str]:
        found = predicted_recipes(outcome, analysis, budget, grown=grown).values()
        return {recipe.architecture for recipe in found if isinstance(recipe, LockedRecipe)}

    assert sizes(near, grown=True) <= listed
    assert sizes(far, grown=False) <= listed, "a locked rung runs what was declared"
    assert any(size.startswith("nfnet:w") and size not in listed for size in sizes(far, grown=True))


def test_a_budget_that_lies_too_far_from_all_runs_or_is_none_is_refused(known):
    _, outcome, analysis = known
    with pytest.raises(InputError, match="lies more than 6 decades from the runs"):
        lock_for(outcome, analysis, 1e18, None)
    with pytest.raises(InputError, match="budget must be positive"):
        lock_for(outcome, analysis, -1.0, None)


def test_where_winners_lie_at_edges_there_is_nothing_to_train_and_the_way_out_is_said(tmp_path):
    path = planted(tmp_path, best_width=64.0).path
    outcome = read_outcome(path)
    with pytest.raises(RefusedError) as refused:
        lock_for(outcome, analyse_outcome(outcome, path), FORETOLD, None)
    assert refused.value.reason is not None
    said = told(refused.value.reason)
    assert said.startswith("there is nothing to train at 2×10⁹ FLOPs, since no recipe of NFNet and ViT is foretold")
    assert "`levelfield race` with more time" in said


def test_where_images_would_be_seen_too_often_it_is_refused_unless_the_study_is_about_just_that(known):
    _, outcome, analysis = known
    few = dataclasses.replace(outcome, facts=dataclasses.replace(outcome.facts, num_train=500))
    with pytest.raises(RefusedError) as refused:
        lock_for(few, analysis, FORETOLD, None)
    assert refused.value.reason is not None
    assert "epochs" in told(refused.value.reason)
    ladder = dataclasses.replace(outcome.spec.ladder, max_epochs=1e4)
    limited = dataclasses.replace(few, spec=dataclasses.replace(outcome.spec, ladder=ladder))
    lock = lock_for(limited, analysis, FORETOLD, None)
    assert commissioned(limited.spec, limited.facts, lock, None).bought.epochs > 4


def test_a_lock_is_read_back_by_the_same_question_and_by_no_other(known, lock, tmp_path):
    path, outcome, _ = known
    shutil.copytree(path, tmp_path / "study")
    study, data = StudyDirectory(tmp_path / "study"), outcome.facts.fingerprint
    place = trained_directory(study, FORETOLD, None)
    assert place.lock(FORETOLD, data=data) is None
    place.write_lock(lock)
    assert place.lock(FORETOLD, data=data) == lock
    assert trained_directory(study, FORETOLD, "vit").lock(FORETOLD, data=data) is None
    with pytest.raises(StoreError, match=r"holds a run of 2000000000\.0 FLOPs, asked was one of 2000000001.0"):
        place.lock(FORETOLD + 1, data=data)
    with pytest.raises(StoreError, match="its data was changed"):
        place.lock(FORETOLD, data="0" * 32)
    (run,) = read_outcome(study.path).trained
    assert (run.lock, run.recipe.family, run.came, run.diverged) == (lock, "nfnet", None, False)


def test_a_run_without_its_prediction_is_not_foretold_anew(known, lock, tmp_path):
    path, outcome, _ = known
    shutil.copytree(path, tmp_path / "study")
    place = trained_directory(StudyDirectory(tmp_path / "study"), FORETOLD, None)
    place.write_lock(lock)
    place.trial.open(commissioned(outcome.spec, outcome.facts, lock, None).spec)
    place.lock_path.write_text(place.lock_path.read_text().replace("nfnet", "vit"))
    with pytest.raises(DamagedError, match="changed or damaged"):
        list(trained_runs(StudyDirectory(tmp_path / "study")))
    place.lock_path.unlink()
    with pytest.raises(DamagedError, match="is missing, and the run that it foretold was begun"):
        place.lock(FORETOLD, data=outcome.facts.fingerprint)


def test_the_family_of_a_lock_is_the_one_of_the_lowest_foretold_loss(lock):
    better = Interval(estimate=0.1, low=0.05, high=0.2)
    turned = tuple(dataclasses.replace(each, loss=better) if each.family == "vit" else each for each in lock.recipes)
    turned_lock = dataclasses.replace(lock, recipes=turned)
    assert chosen(turned_lock, None).family == "vit"
    assert chosen(turned_lock, "nfnet").family == "nfnet"
    with pytest.raises(DamagedError, match="holds no recipe of timm"):
        chosen(turned_lock, "timm")


def test_the_score_says_by_how_much_and_on_which_side_of_the_interval(known, lock):
    _, outcome, _ = known
    commission = commissioned(outcome.spec, outcome.facts, lock, None)
    said = commission.recipe.loss
    assert scored(outcome.spec, commission, said.estimate).inside
    assert scored(outcome.spec, commission, said.estimate).error == 0
    for came in (said.low * 0.99, said.high * 1.01):
        assert not scored(outcome.spec, commission, came).inside
    assert (scored(outcome.spec, commission, said.high * 1.01).error or 0) < 0, "higher than said"


def test_families_whose_intervals_overlap_are_said_not_to_be_told_apart(lock):
    recipes = lock.recipes
    best = min(recipes, key=lambda each: each.loss.estimate)
    wide = [
        dataclasses.replace(each, loss=Interval(estimate=each.loss.estimate, low=1.0, high=9.0)) for each in recipes
    ]
    narrow = [
        dataclasses.replace(
            each, loss=Interval(estimate=each.loss.estimate, low=each.loss.estimate, high=each.loss.estimate)
        )
        for each in recipes
    ]
    for given, overlap in ((wide, True), (narrow, False)):
        taken = next(each for each in given if each.family == best.family)
        said = " ".join(choice_sentences(given, {}, taken, measure="loss"))
        assert ("do not tell which is better" in said) is overlap
        assert said.startswith("NFNet is foretold")
