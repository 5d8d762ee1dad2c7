"""A shelf: weights that compete beside families from scratch, fine-tuned at equal compute and searched alike."""

import dataclasses

import pytest

from levelfield.records.errors import SpecError, StoreError
from levelfield.records.store import StudyDirectory
from levelfield.scaling.results.laws import Currency
from levelfield.scaling.results.verdicts import BudgetVerdict, Comparison
from levelfield.scaling.verdicts.best import not_told_from_the_best
from levelfield.study.plan.plan import plan
from levelfield.study.race.design import Shelved, race_study, started_from
from levelfield.study.race.shelf import shelf_of
from levelfield.study.run import run_study, study_facts
from levelfield.study.spec_file import load_study
from levelfield.study.verify import verify_study
from tests.study.pictures import FOLDER_STUDY, write_folder
from tests.study.simulated import FACTS, study

SHELF = """
[[families]]
name = "mine"
recipe = "short-sgd"
sizes = ["vit:w8-d1-p4"]
base_lr = { low = 0.01, start = 0.01, high = 0.01 }
lr_batch_exponent = 0.5
weights = "made/trials/NAME"
"""


@pytest.fixture
def place(tmp_path):
    """A study of a few seconds, and beside it one that starts from what a trial of it has left."""
    write_folder(tmp_path / "images", seed=0)
    (tmp_path / "made.toml").write_text(FOLDER_STUDY)
    run_study(load_study(tmp_path / "made.toml"), tmp_path / "made")
    made = sorted((tmp_path / "made/trials").iterdir())[0]
    (tmp_path / "shelf.toml").write_text(FOLDER_STUDY + SHELF.replace("NAME", made.name))
    return tmp_path


@pytest.mark.slow
def test_weights_are_fine_tuned_at_equal_compute_beside_families_from_scratch_and_verified(place):
    spec = load_study(place / "shelf.toml")
    run_study(spec, place / "run")
    trials = [held for held in StudyDirectory(place / "run").trials().values() if held.result is not None]
    starts = {held.spec.recipe.preset: held.spec.start for held in trials if held.spec is not None}
    assert starts["vit-short"] is None
    assert starts["short-sgd"] is not None
    assert starts["short-sgd"].startswith("trial:")
    spent = {held.spec.budget_flops for held in trials if held.spec is not None}
    assert len(spent) == 1
    assert all(each.holds for each in verify_study(place / "run", sample=len(trials)))


@pytest.mark.slow
def test_other_weights_at_the_same_place_are_refused(place):
    spec = load_study(place / "shelf.toml")
    run_study(spec, place / "run")
    (entry,) = (entry for entry in spec.families if entry.weights)
    others = sorted((place / "made/trials").iterdir())
    other = next(str(path) for path in others if str(path) != entry.weights)
    moved = tuple(dataclasses.replace(each, weights=other) if each.weights else each for each in spec.families)
    with pytest.raises(StoreError, match=r"family 'mine' started from trial:.*now there is trial:"):
        run_study(dataclasses.replace(spec, families=moved), place / "run")


@pytest.mark.slow
def test_weights_of_another_size_than_is_said_and_of_other_channels_are_refused(place):
    spec = load_study(place / "shelf.toml")
    said = tuple(
        dataclasses.replace(each, sizes=("vit:w16-d1-p4",)) if each.weights else each for each in spec.families
    )
    with pytest.raises(SpecError, match="vit:w16-d1-p4"):
        study_facts(dataclasses.replace(spec, families=said))
    grey = dataclasses.replace(spec, data=study().data)
    with pytest.raises(SpecError, match="channel"):
        study_facts(grey)


@pytest.mark.slow
def test_a_shelf_is_opened_named_and_told_apart(place):
    (made,) = {path.parent for path in (place / "made/trials").glob("*/result.json")} and (place / "made/trials",)
    first, second = (str(path) for path in sorted(made.iterdir())[:2])
    shelf, side = shelf_of([first, second, first])
    assert side == 8
    assert len({each.name for each in shelf}) == 3
    assert {each.architecture for each in shelf} == {"vit:w8-d1-p4"}


def test_weights_have_one_size_and_no_shape_to_search():
    entry = study().families[0]
    with pytest.raises(SpecError, match="sizes"):
        dataclasses.replace(entry, weights="backbone.safetensors")


def test_a_race_searches_weights_along_the_axes_of_families_from_scratch():
    shelf = [
        Shelved(name=name, architecture="nfnet:w64-d1x2-s4", place=f"{name}.pth", identity=f"weights:{name}")
        for name in "ab"
    ]
    facts = started_from(dataclasses.replace(FACTS, num_train=640), shelf)
    race = race_study(
        study().data, facts, ("nfnet",), 1e13, name="race", question="?", margin=0.05, seeds=3,
        execution=study().execution, shelf=shelf,
    )  # fmt: skip
    assert [entry.name for entry in race.families] == ["a", "b", "nfnet"]
    assert {frozenset(entry.axes) for entry in race.families} == {frozenset({"batch", "stabiliser", "length"})}
    assert len({len(entry.base_lr.values) for entry in race.families}) == 1
    assert plan(race, facts, {}).trials


def pair(a, b, verdict, currency: Currency = "flops"):
    overall = BudgetVerdict(budget=1e12, difference=None, verdict=verdict, reasons=())
    return Comparison(
        a=a, b=b, currency=currency, margin=0.05, per_budget=(), overall=overall, smallest_decidable_margin=None,
        seeds_to_decide=None,
    )  # fmt: skip


def test_the_best_may_be_whatever_loses_to_nothing_at_equal_compute():
    pairs = [
        pair("a", "b", "better"),
        pair("a", "c", "cannot tell"),
        pair("b", "c", "worse"),
        pair("c", "d", "equivalent"),
    ]
    assert not_told_from_the_best(("a", "b", "c", "d"), pairs) == ("a", "c", "d")
    assert not_told_from_the_best(("a", "b"), [pair("a", "b", "worse", "device_seconds")]) == ("a", "b")
    assert not_told_from_the_best(("a", "b"), []) == ("a", "b")
