"""What a plan foretells: seconds of trials from measured speeds, and the trials that a study is expected to take."""

import dataclasses
import statistics

import pytest

from levelfield.records.data import ImagesSpec, in_fold
from levelfield.study.bill.bill import bill
from levelfield.study.bill.calibrate import MOST_MEASURED_SHAPES, shapes_by_use, trial_of
from levelfield.study.bill.foretold import Speeds, step_flops
from levelfield.study.bill.speed import DataSpeed, NetworkSpeed, rendering_of, shape_of
from levelfield.study.bill.supposed import supposed_courses
from levelfield.study.plan.plan import plan
from tests.study.simulated import FACTS, run_to_the_end, study

SPEC = study()
PLANNED = plan(SPEC, FACTS, {})
TRIAL = PLANNED.trials[0].spec
SHAPE = shape_of(TRIAL, FACTS)
DATA = DataSpeed(
    train_seconds=1e-5,
    train_decode_seconds=4e-5,
    held_seconds=2e-5,
    held_decode_seconds=6e-5,
    kept=1.0,
    start_seconds=1.5,
    around_seconds=0.05,
)


def speeds(networks=None, **data) -> Speeds:
    known = networks or {SHAPE: NetworkSpeed(step_seconds=0.01, evaluate_seconds=1e-4)}
    return Speeds(facts=FACTS, networks=known, data={rendering_of(TRIAL, FACTS): dataclasses.replace(DATA, **data)})


def sized(batch):
    return dataclasses.replace(SHAPE, global_batch_size=batch)


def test_the_seconds_of_a_trial_are_the_sum_done_by_hand():
    told = speeds().of(TRIAL, held_examples=1000)
    assert told.step == pytest.approx(TRIAL.steps * 0.01)
    assert told.data == pytest.approx(TRIAL.examples * 1e-5)
    assert told.evaluate == pytest.approx(1000 * (1e-4 + 2e-5))
    assert told.total == pytest.approx(told.step + told.data + told.evaluate + 0.05)


def test_pictures_that_are_kept_decoded_are_charged_once_a_process_and_the_others_every_time():
    told = speeds(kept=0.25).of(TRIAL, held_examples=1000)
    assert told.data == pytest.approx(TRIAL.examples * (1e-5 + 0.75 * 4e-5))
    assert told.evaluate == pytest.approx(1000 * (1e-4 + 2e-5 + 0.75 * 6e-5))
    first = speeds(kept=0.25).first_seconds(train_examples=500, held_examples=100)
    assert first == pytest.approx(1.5 + 0.25 * (500 * 4e-5 + 100 * 6e-5))


def test_a_rendering_that_was_not_measured_is_charged_as_the_slowest_that_was_and_folds_are_rendered_alike():
    pictures = ImagesSpec(path="pictures", resolution=32, folds=5)
    trial = dataclasses.replace(TRIAL, data=pictures, data_content="few")
    plain, strong = (
        dataclasses.replace(trial, data=dataclasses.replace(pictures, augment=augment))
        for augment in ("none", "crop-flip")
    )
    known = {
        rendering_of(each, FACTS): dataclasses.replace(DATA, train_seconds=seconds)
        for each, seconds in ((plain, 1e-5), (strong, 3e-5))
    }
    found = dataclasses.replace(speeds(), data=known)
    stronger = dataclasses.replace(trial, data=dataclasses.replace(pictures, randaugment="rand-m9-n2"))
    assert found.of(stronger, held_examples=1).data == pytest.approx(trial.examples * 3e-5)
    assert found.of(plain, held_examples=1).data == pytest.approx(trial.examples * 1e-5)
    assert rendering_of(dataclasses.replace(plain, data=in_fold(plain.data, 3)), FACTS) == rendering_of(plain, FACTS)


def test_no_more_pictures_are_decoded_once_than_there_are():
    few = dataclasses.replace(FACTS, num_train=300)
    told = dataclasses.replace(speeds(), facts=few)
    assert told.first_seconds(train_examples=10**9, held_examples=0) == pytest.approx(1.5 + 300 * 4e-5)


def test_a_shape_between_two_measured_ones_lies_between_them_on_a_line_in_logarithms():
    known = {sized(16): 0.01, sized(64): 0.04, sized(256): 0.32}
    told = speeds({shape: NetworkSpeed(step_seconds=each, evaluate_seconds=1e-4) for shape, each in known.items()})
    assert told.network(sized(32)).step_seconds == pytest.approx(0.02)
    assert told.network(sized(64)).step_seconds == 0.04
    assert told.network(sized(128)).step_seconds == pytest.approx((0.04 * 0.32) ** 0.5)


def test_beyond_what_was_measured_time_grows_no_faster_than_flops_and_never_falls():
    steep = {sized(16): 0.01, sized(32): 0.04}
    falling = {sized(16): 0.04, sized(32): 0.01}
    for known, factor in ((steep, 2.0), (falling, 1.0)):
        told = speeds({shape: NetworkSpeed(step_seconds=each, evaluate_seconds=1e-4) for shape, each in known.items()})
        assert told.network(sized(64)).step_seconds == pytest.approx(factor * known[sized(32)])


def test_another_size_is_told_by_its_own_family_where_that_was_measured():
    cells = {cell.architecture: cell for cell in PLANNED.cells if not cell.affordable.refusal}
    nfnets = [shape_of(trial_of(SPEC, FACTS, cell), FACTS) for name, cell in cells.items() if name.startswith("nfnet")]
    vit = next(shape_of(trial_of(SPEC, FACTS, cell), FACTS) for name, cell in cells.items() if name.startswith("vit"))
    slow = {shape: NetworkSpeed(step_seconds=1e-9 * step_flops(shape), evaluate_seconds=1e-4) for shape in nfnets[:-1]}
    told = speeds({**slow, vit: NetworkSpeed(step_seconds=1e-12, evaluate_seconds=1e-9)})
    assert told.network(nfnets[-1]).step_seconds == pytest.approx(1e-9 * step_flops(nfnets[-1]))


def test_expected_courses_want_no_more_than_the_most_and_what_studies_about_their_starts_want():
    courses = supposed_courses(SPEC, FACTS, PLANNED, at_most=100)
    charged = bill(SPEC, FACTS, PLANNED, courses)
    numbers = [len(course) for course in courses]
    assert max(numbers) <= charged.trials_at_most
    assert charged.trials_expected == pytest.approx(statistics.mean(numbers))
    _, results = run_to_the_end(SPEC)
    assert 0.75 < charged.trials_expected / len(results) < 1.25
    assert courses == supposed_courses(SPEC, FACTS, PLANNED, at_most=100)


def test_a_bill_expects_less_than_it_bounds_and_is_the_sum_of_its_rows_and_of_what_workers_take_once():
    courses = supposed_courses(SPEC, FACTS, PLANNED, at_most=100)
    trials = [trial.spec for course in courses for trial in course]
    known = {
        shape: NetworkSpeed(step_seconds=1e-12 * step_flops(shape), evaluate_seconds=1e-6)
        for shape in (shape_of(trial, FACTS) for trial in trials)
    }
    charged = bill(SPEC, FACTS, PLANNED, courses, speeds(known))
    first = charged.first_seconds or 0.0
    assert first > DATA.start_seconds
    for row in charged.rows:
        assert 0 < (row.seconds_expected or 0) < (row.seconds_at_most or 0)
    assert charged.seconds_expected(workers=2) == pytest.approx(
        sum(row.seconds_expected or 0 for row in charged.rows) + 2 * first
    )
    assert bill(SPEC, FACTS, PLANNED, courses).seconds_expected() is None


def test_of_more_shapes_than_there_is_time_for_the_most_used_are_measured_and_some_of_each_family_and_rendering():
    courses = supposed_courses(SPEC, FACTS, PLANNED, at_most=10**6)
    once = shapes_by_use(SPEC, FACTS, PLANNED, courses)
    assert len({shape_of(trial, FACTS) for trial in once}) == len(once)
    vits = [trial for trial in courses[0] if trial.family == "vit"] * 4
    many = [
        dataclasses.replace(each, spec=dataclasses.replace(each.spec, global_batch_size=number), budget_flops=1e30)
        for number, each in enumerate(vits, start=1)
    ]
    chosen = shapes_by_use(SPEC, FACTS, PLANNED, [*courses, many])
    assert len(chosen) == MOST_MEASURED_SHAPES + 1
    assert chosen[-1].family == "nfnet"


def test_locked_rungs_are_expected_to_be_judged():
    spec = study(ladder={"budgets": [2e10, 6e10, 2e11], "locked": [2e12]})
    planned = plan(spec, FACTS, {})
    courses = supposed_courses(spec, FACTS, planned, at_most=100)
    judged = [trial for trial in courses[0] if trial.budget_flops == 2e12]
    assert len(judged) == 2 * spec.verdict.seeds
