"""What differs between the families beside their architecture."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from levelfield.records.observation import Observation
from levelfield.report.words.verdicts import comparison_sentence
from levelfield.scaling.analyse import analyse
from levelfield.scaling.results.analysis import Analysis
from levelfield.scaling.results.reasons.verdicts import (
    BestIsBound,
    ConfoundForbids,
    MustBeShared,
    SeenAgainUnequally,
    SpreadOverBoth,
    UnequallySpread,
    UnlikeTasks,
)
from levelfield.scaling.results.verdicts import Confound
from levelfield.scaling.tables.confounds import confounds, less_searched
from tests.narrowed import of_kind
from tests.scaling.planted import BUDGETS, search_rows, winner_rows


def rows(**by_family) -> list[Observation]:
    """Winners with changes by family: ``rows(vit={"device": "gpu"})``."""
    return [
        dataclasses.replace(row, **by_family.get(row.family, {}))
        for row in winner_rows(np.random.default_rng(0), shift={"nfnet": -0.2})
    ]


def found(table) -> dict[str, Confound]:
    return {each.name: each for each in confounds(table, "nfnet", "vit")}


def overall(analysis: Analysis):
    return analysis.comparisons[0].overall


def test_runs_alike_in_everything_have_no_confound():
    assert found(rows()) == {}


def test_another_optimiser_or_device_is_listed_and_told_in_the_sentence_but_forbids_nothing():
    table = rows(nfnet={"optimizer": "sgd"}, vit={"optimizer": "adamw", "device": "gpu"})
    assert found(table).keys() == {"optimizer", "device"}
    assert found(table)["optimizer"].separated
    analysis = analyse(table)
    assert overall(analysis).verdict == "better"
    assert "confounded with optimizer, device" in comparison_sentence(analysis, analysis.comparisons[0])


@pytest.mark.parametrize("name", ["metric", "report_set"])
def test_losses_that_are_not_the_same_quantity_support_no_verdict(name):
    table = rows(nfnet={"traits": ((name, "a"),)}, vit={"traits": ((name, "b"),)})
    analysis = analyse(table)
    assert found(table)[name].forbids
    assert overall(analysis).verdict == "cannot tell"
    assert of_kind(ConfoundForbids, overall(analysis).reasons[0]).why == MustBeShared()
    assert all(
        of_kind(ConfoundForbids, verdict.reasons[0]).why == MustBeShared()
        for verdict in analysis.comparisons[0].per_budget
    )
    assert analysis.comparisons[0].ancova.offset is None


def test_search_runs_judged_by_another_metric_are_not_even_described():
    table = [
        dataclasses.replace(row, traits=(("metric", family),))
        for family in ("nfnet", "vit")
        for row in search_rows(np.random.default_rng(0), family=family, run_sd=0.01)
    ]
    analysis = analyse(table)
    comparison = analysis.comparisons[0]
    assert comparison.ancova.offset is None
    assert of_kind(ConfoundForbids, comparison.gain.status[0]).why == MustBeShared()
    assert "not the same quantity" in comparison_sentence(analysis, comparison)


def test_losses_of_tasks_with_unlike_chance_support_no_verdict():
    analysis = analyse(rows(vit={"chance": 6.9}))
    assert overall(analysis).verdict == "cannot tell"
    assert of_kind(ConfoundForbids, overall(analysis).reasons[0]).why == UnlikeTasks()


def test_epochs_above_one_must_be_alike_and_below_one_need_not():
    def at_top(epochs: float) -> list[Observation]:
        return [
            dataclasses.replace(row, epochs=epochs) if (row.family, row.budget_flops) == ("vit", BUDGETS[-1]) else row
            for row in rows()
        ]

    assert found(at_top(0.9)) == {}
    confound = found(at_top(2.5))["epochs"]
    assert (confound.a_values, confound.b_values) == ("0.1", "2.5")
    assert confound.why == SeenAgainUnequally(budget_flops=2e12)


def test_a_trait_spread_alike_is_no_confound_unless_it_is_named_nor_is_the_name_of_every_run():
    table = [
        dataclasses.replace(row, traits=(("augmentation", "flip" if row.seed > 1 else "crop"), ("id", row.run)))
        for row in rows()
    ]
    assert found(table) == {}
    (named,) = confounds(table, "nfnet", "vit", named=("augmentation",))
    assert (named.name, named.separated, named.why) == ("augmentation", False, SpreadOverBoth())


def test_a_trait_spread_unequally_is_found():
    table = [
        dataclasses.replace(row, traits=(("resolution", "224" if row.family == "vit" or row.seed == 1 else "256"),))
        for row in rows()
    ]
    confound = found(table)["resolution"]
    assert (confound.a_values, confound.b_values, confound.separated) == ("224, 256", "224", False)
    assert confound.why == UnequallySpread()


@pytest.mark.slow
def test_a_family_searched_much_less_has_only_a_bound_unless_the_rule_was_declared_equal():
    generator = np.random.default_rng(0)
    searched = search_rows(generator, family="nfnet") + search_rows(generator, family="vit", sizes=(0.5, 1.0, 2.0))
    table = rows() + searched
    assert less_searched(table, "nfnet", "vit") == "vit"
    assert found(table)["search"].a_values == "75"
    bounded = overall(analyse(table))
    assert bounded.verdict == "cannot tell"
    assert bounded.reasons[0] == BestIsBound(family="vit", edges=("fewer trials",))
    assert overall(analyse(table, equal_search=True)).verdict == "better"
    assert less_searched(rows(), "nfnet", "vit") == "", "of no search nothing is known"


def measured(name: str, *, per_family=(1.0, 2.0), differs_by_seed: bool) -> list[Observation]:
    """Winners with a further column of numbers that the families do not share."""
    found = []
    for row in winner_rows(np.random.default_rng(0)):
        level = per_family[row.family == "vit"] * (1 + BUDGETS.index(row.budget_flops))
        value = level * (1 + 0.01 * row.seed) if differs_by_seed else level
        found.append(dataclasses.replace(row, traits=((name, f"{value:.4g}"),)))
    return found


@pytest.mark.parametrize("name", ["gpu_hours", "trainTime", "val_top5", "images/s"])
def test_what_a_run_took_or_scored_is_no_confound(name):
    assert found(measured(name, differs_by_seed=False)) == {}


def test_a_number_that_differs_between_seeds_of_one_cell_is_a_result_whatever_it_is_called():
    rounded = [
        dataclasses.replace(row, traits=(("kappa", f"{1 + row.seed % 3 + 3 * (row.family == 'vit')}"),))
        for row in winner_rows(np.random.default_rng(0))
    ]
    assert found(rounded) == {}


@pytest.mark.parametrize("name", ["resolution", "patch_size", "warmup"])
def test_a_setting_of_numbers_is_a_confound(name):
    assert found(measured(name, differs_by_seed=False)).keys() == {name}


def test_a_result_that_is_named_a_confound_is_listed():
    listed = confounds(measured("gpu_hours", differs_by_seed=False), "nfnet", "vit", named=("gpu_hours",))
    assert [each.name for each in listed] == ["gpu_hours"]


def test_an_axis_that_was_named_stays_a_confound():
    table = rows(nfnet={"axes": (("decay", "cosine"),)}, vit={"axes": (("decay", "none"),)})
    assert found(table)["decay"].separated
