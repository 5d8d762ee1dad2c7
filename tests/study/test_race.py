"""A race: what is declared follows from data and budget alone, alike for all families, and grows by what is missing."""

import dataclasses
import itertools

import pytest

from levelfield.data.sources import open_source
from levelfield.records.data import DataSpec, ImagesSpec
from levelfield.records.drawn import DigitPairsSpec
from levelfield.records.errors import InputError, SpecError
from levelfield.records.execution import DEFAULT_EXECUTION
from levelfield.records.growth import LongerWalks, MoreSeeds, RungAbove, WiderRates
from levelfield.records.study import PROTOCOL_MAX_EPOCHS, VerdictSpec
from levelfield.scaling.results.intervals import Interval
from levelfield.scaling.results.verdicts import BudgetVerdict, Comparison, UncertaintyBudget
from levelfield.study.bill.expected import left_of
from levelfield.study.outcome.fixed import changes
from levelfield.study.plan.candidate import afford
from levelfield.study.plan.plan import plan
from levelfield.study.planned import Candidate, Plan, RungWinner
from levelfield.study.race.data import race_data
from levelfield.study.race.design import NUM_RUNGS, least_budget, race_study, rungs_below
from levelfield.study.race.more import next_step
from levelfield.study.race.race import study_file, write_study
from levelfield.study.race.spend import sized_by_flops
from levelfield.study.spec_file import load_study
from tests.narrowed import of_kind
from tests.study.pictures import write_folder
from tests.study.simulated import FACTS

DATA = DigitPairsSpec()


def race(top=1e12, families=("nfnet", "vit"), facts=FACTS, data: DataSpec = DATA, **changed):
    return race_study(
        data, facts, families, top,
        **{"name": "race", "question": "?", "margin": 0.05, "seeds": 3, "execution": DEFAULT_EXECUTION} | changed,
    )  # fmt: skip


def open_pair(seeds=None, *, parts=(8e-4, 1e-4, 1e-4), carried=0.0, estimate=0.0):
    """A pair that cannot be told apart, how many ``seeds`` would decide it, and the ``parts`` of its variance."""
    difference = Interval(estimate=estimate, low=estimate - 0.06, high=estimate + 0.06, level=0.95)
    undecided = BudgetVerdict(budget=1e12, difference=difference, verdict="cannot tell", reasons=())
    by_seeds, search, examples = parts
    uncertainty = UncertaintyBudget(
        seeds=by_seeds, clocks=0.0, search=search, carried=carried, examples=examples, num_rungs=4,
        decides=0.07, attainable=("better", "equivalent", "worse"),
    )  # fmt: skip
    pair = Comparison(
        a="nfnet", b="vit", currency="flops", margin=0.05, per_budget=(), overall=undecided,
        smallest_decidable_margin=0.1, seeds_to_decide=seeds, uncertainty=uncertainty,
    )  # fmt: skip
    return (pair,)


def looked_at(spec, *winners):
    """What was run of ``spec``: twelve trials of the search and the seeds of two winners at every rung."""
    trial = plan(spec, FACTS, {}).trials[0]
    trials = [
        dataclasses.replace(trial, role=role, budget_flops=budget)
        for budget in spec.ladder.budgets
        for role in ["search"] * 12 + ["winner"] * 2 * spec.verdict.seeds
    ]
    return Plan(cells=(), trials=tuple(trials), tuned=(), winners=winners)


def winner(spec, *, architecture, base_lr, edges):
    entry, budget = spec.families[0], spec.ladder.budgets[-1]
    candidate = Candidate(architecture=architecture, base_lr=base_lr)
    return RungWinner(
        family=entry.name, budget_flops=budget, candidate=candidate, select_loss=1.0, edges=edges,
        affordable=afford(spec, FACTS, entry, candidate, budget),
    )  # fmt: skip


def test_every_family_is_searched_along_the_same_axes_as_far_and_by_one_rule():
    spec = race()
    first, second = spec.families
    assert first.axes.keys() == second.axes.keys() == {"batch", "stabiliser", "shape"}
    assert [len(axis.values) for axis in first.axes.values()] == [len(axis.values) for axis in second.axes.values()]
    assert len(first.base_lr.values) == len(second.base_lr.values)
    assert spec.search.sizes == "outward"
    assert spec.verdict.look == 1


def test_rungs_are_half_a_decade_apart_and_closer_where_the_smallest_networks_bound_them():
    far, near = rungs_below(1e13, 1e9), rungs_below(1e11, 2e10)
    assert [high / low for low, high in itertools.pairwise(far)] == pytest.approx([10**0.5] * 3, rel=0.01)
    assert [high / low for low, high in itertools.pairwise(near)] == pytest.approx([2.0, 2.0], rel=0.01)
    with pytest.raises(InputError, match="too short: the smallest networks"):
        rungs_below(1e10, 9e9)


def test_every_rung_leaves_every_family_sizes_to_choose_among():
    spec = race(least_budget(DATA, FACTS, ("nfnet", "vit")) * 40)
    planned = plan(spec, FACTS, {})
    assert len(spec.ladder.budgets) == NUM_RUNGS
    for entry in spec.families:
        for budget in spec.ladder.budgets:
            assert sum(not cell.affordable.refusal for cell in planned.cells_of(entry.name, budget)) >= 3


def test_few_images_make_a_race_about_training_that_they_limit():
    few = dataclasses.replace(FACTS, num_train=640)
    assert race().ladder.max_epochs == PROTOCOL_MAX_EPOCHS
    assert race(facts=few).ladder.max_epochs > 100
    assert "length" not in race().families[0].axes
    for axes in ((), ("batch", "shape")):
        assert all("length" in entry.axes for entry in race(facts=few, axes=axes).families)


def test_augmentation_is_searched_where_few_images_can_be_augmented(tmp_path):
    few = dataclasses.replace(FACTS, num_train=640)
    pictures = ImagesSpec(path=str(tmp_path), resolution=32, select_examples=50)
    both = race(facts=few, data=pictures).families
    assert all(entry.axes["augment"].field == "data.augment" for entry in both)
    assert "augment" not in race(facts=few).families[0].axes, "nobody can say how a stream is augmented"
    said = dataclasses.replace(pictures, randaugment="rand-m9-n2")
    assert "augment" not in race(facts=few, data=said).families[0].axes, "what is said is kept"


def test_of_few_images_all_that_do_not_choose_judge_in_folds(tmp_path):
    write_folder(tmp_path / "few", seed=0, count=150)
    data = of_kind(ImagesSpec, race_data(str(tmp_path / "few"), None, resolution=8, fields={}))
    assert (data.folds, data.select_examples, data.report_examples) == (5, 75, None)
    sizes = open_source(data).split_sizes
    assert (sizes["train"], sizes["report"]) == (180, 45)


def test_a_class_too_rare_for_folds_leaves_one_part_to_judge_and_is_named(tmp_path, caplog):
    write_folder(tmp_path / "few", seed=0, count=150)
    (tmp_path / "few/emu").mkdir()
    (tmp_path / "few/cat/0.png").rename(tmp_path / "few/emu/0.png")
    data = of_kind(ImagesSpec, race_data(str(tmp_path / "few"), None, resolution=8, fields={}))
    assert (data.folds, data.report_examples) == (None, 60)
    assert "'emu' have so few images" in caplog.text
    assert "so one part of the images judges" in caplog.text


@pytest.mark.slow
def test_a_network_of_somebody_else_races_as_it_is_beside_a_path_without_an_axis_that_it_lacks():
    spec = race(1e16, families=("nfnet", "timm:resnet18"))
    assert spec.families[1].sizes == ("timm:resnet18",)
    assert spec.families[1].name == "resnet18"
    assert "shape" not in spec.families[0].axes
    with pytest.raises(SpecError, match="no path of sizes"):
        race(families=("nfnet", "timm"))
    with pytest.raises(SpecError, match="did you mean 'nfnet'"):
        race(families=("nfnets", "vit"))


def test_the_study_is_written_out_complete_and_read_back_as_it_was(tmp_path):
    spec = race(name="race-it's", question='On "it": which?\nSay.')
    write_study(tmp_path / "new", spec)
    assert load_study(study_file(tmp_path / "new")) == spec


@pytest.mark.slow
def test_a_race_by_flops_is_expected_to_take_them():
    def design(top, axes):
        return race(top, axes=axes)

    sized = sized_by_flops(design, FACTS, 1e14)
    assert 0.8e14 < sized.spend.train_flops <= 1.1e14
    assert sized.spec.families[0].axes.keys() == {"batch", "shape", "stabiliser"}
    short = sized_by_flops(design, FACTS, 4e12)
    assert short.spend.train_flops <= 4.4e12
    assert len(short.spec.families[0].axes) < 3, "where time is short axes are left out before rungs are"
    with pytest.raises(InputError, match="the shortest race that tells anything takes about"):
        sized_by_flops(design, FACTS, 1e10)


def test_looks_share_the_error_among_them_however_many_there_are():
    verdict = VerdictSpec()
    shares = [dataclasses.replace(verdict, look=look).share_of_error for look in range(1, 101)]
    assert shares[:3] == pytest.approx([1 / 2, 1 / 6, 1 / 12])
    assert 0.98 < sum(shares) < 1
    assert verdict.share_of_error == 1
    assert verdict.level_at_look(0.9) == pytest.approx(0.9)
    assert dataclasses.replace(verdict, look=1).level_at_look(0.9) == pytest.approx(0.95)


def test_what_stands_in_the_way_decides_how_a_race_goes_on():
    spec = race()
    rates, sizes = spec.families[0].base_lr.values, spec.families[0].sizes
    inside = winner(spec, architecture=sizes[4], base_lr=rates[4], edges=())
    at_the_end = winner(spec, architecture=sizes[4], base_lr=rates[-1], edges=("base_lr",))
    capped = winner(spec, architecture=sizes[4], base_lr=rates[4], edges=("size",))
    exhausted = winner(spec, architecture=sizes[0], base_lr=rates[4], edges=("size",))
    for winners, pair, kind in (
        ((inside, at_the_end), open_pair(4), WiderRates),
        ((inside, capped), open_pair(4), LongerWalks),
        ((inside, exhausted), open_pair(4, estimate=0.06), MoreSeeds),
        ((inside,), open_pair(400, estimate=0.06), MoreSeeds),
        ((inside,), open_pair(parts=(1e-5, 8e-4, 1e-4), estimate=0.06), RungAbove),
        ((inside,), (), RungAbove),
    ):
        step = next_step(spec, looked_at(spec, *winners), pair)
        assert isinstance(step.does, kind)
        assert step.spec.verdict.look == 2
        grown = list(changes(spec, step.spec))
        assert grown
        assert all(change.grows for change in grown), "a step takes nothing back of what was fixed"


def test_where_nothing_else_is_likely_it_is_a_rung_above_with_its_chance():
    spec = race()
    step = next_step(spec, looked_at(spec), open_pair(parts=(1e-6, 8e-4, 1e-4), estimate=0.06))
    above = of_kind(RungAbove, step.does)
    assert above.chance is not None
    assert 0.1 < above.chance < 0.5
    assert step.spec.ladder.budgets[:-1] == spec.ladder.budgets
    nothing_known = dataclasses.replace(open_pair()[0], uncertainty=None)
    for pairs in ((nothing_known,), ()):
        assert of_kind(RungAbove, next_step(spec, looked_at(spec), pairs).does).chance is None


def test_the_cheapest_number_of_seeds_that_is_likely_to_decide_is_taken():
    spec = race()
    taken = [
        of_kind(MoreSeeds, next_step(spec, looked_at(spec), open_pair(estimate=gap, parts=(9e-4, 0, 1e-5))).does)
        for gap in (0.03, 0.066)
    ]
    assert [(step.seeds, step.check_seeds) for step in taken] == [(12, None), (6, None)]
    assert all(step.chance > 0.5 for step in taken)


def test_what_one_rung_decides_for_others_is_decided_better_where_that_is_what_is_unknown():
    spec = race()
    assert spec.search.check_seeds == 3
    step = next_step(spec, looked_at(spec), open_pair(parts=(1e-4, 0, 1e-5), carried=8e-4, estimate=0.06))
    does = of_kind(MoreSeeds, step.does)
    assert (does.check_seeds, step.spec.search.check_seeds) == (6, 6)
    assert does.chance > 0.5
    assert all(change.grows for change in changes(spec, step.spec))
    alike = dataclasses.replace(spec, search=dataclasses.replace(spec.search, check_budgets=None, check_seeds=1))
    does = next_step(alike, looked_at(alike), open_pair(parts=(1e-4, 0, 1e-5), carried=8e-4, estimate=0.06)).does
    assert getattr(does, "check_seeds", None) is None, "no rung decides for others"


def test_what_is_left_of_a_race_that_is_done_is_nothing():
    from tests.study.test_outward import bowl_about, outward, run_to_the_end

    spec = outward()
    _, results = run_to_the_end(spec, loss=bowl_about(lambda budget: budget - 11.0))
    assert left_of(spec, FACTS, {}, None).trials > 50
    assert left_of(spec, FACTS, results, None).trials == 0
