"""What no outcome can decide is told beforehand, and nothing that is told so is ever decided."""

import dataclasses
import math
import random
import re
import tomllib
from collections.abc import Iterator

import numpy as np
import pytest

from levelfield.publish import publish
from levelfield.records.allowed import OneSided
from levelfield.records.drawn import FewDigitsJudge
from levelfield.records.trial import TrialTiming
from levelfield.report.words.told import told
from levelfield.scaling.analyse import analyse
from levelfield.scaling.tables.rungs import checked
from levelfield.scaling.verdicts.contest import contest_of
from levelfield.study.outcome.table import observations
from levelfield.study.plan.plan import plan
from levelfield.study.plan.search import can_bracket
from levelfield.study.plan.undecidable import gives_no_verdict, undecidable
from levelfield.study.spec_file import quickstart_study, study_from_plain
from tests.narrowed import of_kind
from tests.study.simulated import FACTS, run_to_the_end, study, written_down
from tests.study.typed import TYPED_LADDER

NUM_REPORT = 500
SEEDS = 3
LADDER = {"budgets": [6e10, 2e11, 6e11, 2e12]}
SIMULATED = dataclasses.replace(FACTS, num_report=NUM_REPORT)


def families(*, sizes=4, **changes):
    """The two families of the simulated study with fewer sizes, or other tables."""
    plain = [dataclasses.asdict(entry) for entry in study().families]
    return [entry | {"sizes": entry["sizes"][:sizes]} | changes for entry in plain]


FAIR = study(ladder=LADDER)
ONE_SIZE = study(families=families(sizes=1))
TWO_VALUES = study(families=families(axes={"batch": {"field": "batch_factor", "values": [1, 2]}}))
ONE_FAMILY = study(families=families()[:1])
UNBRACKETED = study(search={"bracket_winners": False})
TWO_RUNGS = study(ladder={"budgets": [2e10, 6e11]})
ONE_RUNG = study(ladder={"budgets": [6e10]})
SMALL_DATA = study(ladder={"budgets": [2e10, 6e10, 2e11, 6e11], "max_epochs": 1e5})
SMALL = dataclasses.replace(SIMULATED, num_train=1000)
ODD = study(ladder=LADDER, families=[families(sizes=1)[0], families()[1]])
UNUSED_RUNG = study(ladder={"budgets": [1e9, 2e10, 6e10, 2e11, 6e11]})
DIGITS = dataclasses.replace(SIMULATED, no_verdict_because=FewDigitsJudge())
FEW = dataclasses.replace(SIMULATED, num_report=99)
DESIGNS = {
    "a fair design": (FAIR, SIMULATED),
    "a typed ladder": (study_from_plain(tomllib.loads(TYPED_LADDER)), SIMULATED),
    "one size": (ONE_SIZE, SIMULATED),
    "an axis of two values": (TWO_VALUES, SIMULATED),
    "one family": (ONE_FAMILY, SIMULATED),
    "winners that are not bracketed": (UNBRACKETED, SIMULATED),
    "two rungs": (TWO_RUNGS, SIMULATED),
    "one rung": (ONE_RUNG, SIMULATED),
    "small data": (SMALL_DATA, SMALL),
    "one size of one family": (ODD, SIMULATED),
    "a rung without a cell": (UNUSED_RUNG, SIMULATED),
    "data that compares nothing": (study(), DIGITS),
    "few report examples": (study(), FEW),
}
QUICK = ("a typed ladder", "one size", "one size of one family")


def simulated(spec, facts, seed):
    """The analysis of ``spec`` where one family may be far better, losses are of any kind, and some runs diverge."""
    draw = random.Random(f"{spec.name}/{seed}")
    ahead, noise = draw.choice([-0.6, -0.1, 0.0, 0.1, 0.6]), draw.choice([0.001, 0.02])
    peaks = {entry.name: draw.uniform(0, len(entry.base_lr.values)) for entry in spec.families}
    middles = {entry.name: draw.uniform(3, 11) for entry in spec.families}
    grids = {entry.name: entry.base_lr.values for entry in spec.families}

    def loss(trial):
        spec = trial.spec
        which = (spec.architecture, spec.budget_flops, spec.recipe.peak_lr, spec.global_batch_size, spec.seed)
        own = random.Random(f"{seed}/{which}")
        if own.random() < 0.02:
            return math.inf
        rate = grids[trial.family].index(trial.base_lr) - peaks[trial.family]
        size = 3 * math.log(int(spec.architecture.split("w")[1].split("-")[0]))
        shift = ahead if trial.family == "nfnet" else 0.0
        exponent = shift + 0.01 * rate**2 + 0.01 * (size - middles[trial.family]) ** 2 + own.gauss(0, noise)
        return (trial.budget_flops / 1e10) ** -0.2 * math.exp(exponent - 0.5) + 0.05

    planned, results = run_to_the_end(spec, loss=loss, facts=facts)
    timings = {
        key: TrialTiming(
            fingerprint=key,
            device="none",
            device_seconds=result.train_flops / 1e9,
            data_seconds=0.0,
            evaluate_seconds=0.0,
            wall_seconds=1.0,
        )
        for key, result in results.items()
    }
    rows = observations(planned, results, timings)
    rng = np.random.default_rng(seed)
    spread = rng.standard_exponential(facts.num_report)
    losses = {}
    for row in rows:
        if row.role in ("winner", "control", "swap"):
            own = spread + 0.1 * rng.standard_exponential(facts.num_report)
            losses[row.run] = row.loss * own / own.mean()
    return rows, losses


def verdicts(spec, facts, seed) -> Iterator[tuple[str, tuple[str, str], float | None, str]]:
    """Every verdict on ``spec`` but "cannot tell", named as :func:`undecidable` names the questions."""
    rows, losses = simulated(spec, facts, seed)
    contest = contest_of(
        checked(rows),
        held_out_losses=losses,
        margin=spec.verdict.margin,
        level=0.9,
        equal_search=True,
        no_verdict_because=facts.no_verdict_because,
        compared=sorted(entry.name for entry in spec.families),
        generator=np.random.default_rng(seed),
    )
    for found in contest.held(generator=np.random.default_rng(seed), num_draws=600)[0]:
        pair, by_flops = (found.a, found.b), found.currency == "flops"
        for each in found.per_budget:
            if each.verdict != "cannot tell":
                question, budget = ("verdict", each.budget) if by_flops else ("verdict by device-seconds", None)
                yield question, pair, budget, each.verdict
        if found.overall.verdict != "cannot tell":
            question = "verdict over all rungs" if by_flops else "verdict by device-seconds"
            yield question, pair, None, found.overall.verdict


@pytest.mark.parametrize(
    "design",
    [pytest.param(design, marks=() if design in QUICK else pytest.mark.acceptance) for design in DESIGNS],
)
def test_what_is_told_undecidable_is_never_decided(design):
    spec, facts = DESIGNS[design]
    told = undecidable(spec, facts, plan(spec, facts, {}))
    closed = {(each.question, each.families, each.budget_flops) for each in told}
    one_sided = {(each.families, each.budget_flops): each.why for each in told if each.question == "one side"}
    for seed in range(SEEDS):
        for question, families, budget, verdict in verdicts(spec, facts, seed):
            assert (question, families, budget) not in closed
            assert not gives_no_verdict(told, spec)
            if question == "verdict" and (families, budget) in one_sided:
                (why,) = one_sided[families, budget]
                only = of_kind(OneSided, why)
                assert (only.family, only.verdicts) == (families[0], (verdict,))


@pytest.mark.slow
def test_a_fair_design_has_nothing_to_tell_and_is_decided():
    spec, facts = DESIGNS["a fair design"]
    assert undecidable(spec, facts, plan(spec, facts, {})) == ()
    answered = {question for seed in range(SEEDS) for question, *_ in verdicts(spec, facts, seed)}
    assert answered == {"verdict", "verdict over all rungs", "verdict by device-seconds"}


def test_a_law_or_an_optimum_that_is_told_impossible_is_refused():
    spec, facts = DESIGNS["two rungs"]
    told = {(each.question, each.families) for each in undecidable(spec, facts, plan(spec, facts, {}))}
    assert {("law", ("nfnet",)), ("law", ("vit",)), ("optimal size", ("nfnet",)), ("optimal size", ("vit",))} <= told
    rows, losses = simulated(spec, facts, 0)
    found = analyse(rows, held_out_losses=losses, compared=False)
    assert [law.family for law in found.laws] == []
    assert [each.params_exponent for each in found.allocations] == [None, None]


@pytest.mark.parametrize(
    ("design", "question", "budget", "words"),
    [
        ("a typed ladder", "one side", 4.75e9, "nothing but 'better' for NFNet can come out"),
        ("a typed ladder", "one side", 4e10, "nothing but 'better' for NFNet can come out"),
        ("a typed ladder", "verdict", 9.5e10, "the winner of ViT always lies at an edge of its search (size)"),
        ("a typed ladder", "optimal size", None, "0 rungs have 3 allowed sizes"),
        ("one size", "verdict", 2e10, "always lies at an edge of its search (size)"),
        ("one size", "verdict over all rungs", None, "at 2×10¹⁰ none can be given"),
        ("one size", "verdict by device-seconds", None, "every winner of both lies at an edge"),
        ("an axis of two values", "verdict", 2e10, "always lies at an edge of its search (batch)"),
        ("one family", "verdict", None, "NFNet is the only family"),
        ("winners that are not bracketed", "verdict", 6e10, "always lies at an edge of its search (base_lr)"),
        ("two rungs", "law", None, "2 rungs have an allowed size, a law and a prediction need 4"),
        ("one rung", "verdict by device-seconds", None, "NFNet can have 1 rungs fit for it"),
        ("one size of one family", "one side", 6e10, "nothing but 'better' for NFNet can come out"),
        ("a rung without a cell", "cell", 1e9, "no size of NFNet is allowed at 10⁹ FLOPs: nfnet:w8-d1x1-s4 "),
        ("a rung without a cell", "verdict", 1e9, "no size of NFNet and ViT is allowed there"),
        ("data that compares nothing", "verdict", None, "scikit-learn's plain digits"),
        ("few report examples", "verdict", None, "99 report examples judge, at least 100 are needed"),
    ],
)
def test_what_cannot_be_decided_is_said_with_the_reason(design, question, budget, words):
    spec, facts = DESIGNS[design]
    found = undecidable(spec, facts, plan(spec, facts, {}))
    sentences = [told(each) for each in found if (each.question, each.budget_flops) == (question, budget)]
    assert any(words in sentence for sentence in sentences), sentences


def test_the_quickstart_leaves_no_verdict_open_by_design():
    found = undecidable(quickstart_study(), SIMULATED, plan(quickstart_study(), SIMULATED, {}))
    assert [told(each) for each in found if "verdict" in each.question or each.question == "one side"] == []


@pytest.mark.parametrize(
    ("design", "none"),
    [
        ("a fair design", False),
        ("a typed ladder", False),
        ("small data", False),
        ("one size", True),
        ("one family", True),
        ("an axis of two values", True),
        ("data that compares nothing", True),
        ("few report examples", True),
    ],
)
def test_a_design_that_gives_no_verdict_at_all_is_known_as_one(design, none):
    spec, facts = DESIGNS[design]
    assert gives_no_verdict(undecidable(spec, facts, plan(spec, facts, {})), spec) == none


@pytest.mark.slow
def test_the_page_of_a_study_says_what_its_design_left_open(tmp_path):
    kept = written_down(tmp_path / "study", ONE_SIZE, *run_to_the_end(ONE_SIZE))
    page, _ = publish(kept.path)
    words = " ".join(re.sub(r"<[^>]+>", " ", page.read_text().replace("&#39;", "'")).split())
    assert "Overall verdicts that cannot come out, by design (NFNet against ViT)" in words
    assert "No verdict over all rungs on NFNet against ViT can come out" in words
    assert "always lies at an edge of its search (size)" in words


@pytest.mark.parametrize(
    ("num_values", "start", "cap", "can"),
    [(1, 0, 5, False), (2, 0, 5, False), (3, 0, 3, True), (3, 2, 5, True), (9, 8, 3, True), (5, 2, 3, True)],
)
def test_a_search_that_can_never_end_between_two_neighbours_is_known_as_one(num_values, start, cap, can):
    assert can_bracket(num_values, start, cap=cap) == can
