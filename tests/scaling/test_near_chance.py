"""Verdicts where a family has hardly learnt: the other may be better, and nothing else is told."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from levelfield.records.observation import Observation
from levelfield.report.words.answer import plain_answer
from levelfield.scaling.analyse import analyse
from levelfield.scaling.results.reasons.verdicts import FamilyNearChance
from tests.scaling.contested import flops
from tests.scaling.planted import BUDGETS, winner_rows


def test_rungs_with_both_families_near_chance_get_no_verdict():
    rows = winner_rows(np.random.default_rng(2), shift={"nfnet": -0.2})
    found = flops(_at_loss(rows, ("nfnet", "vit"), BUDGETS[:1], 4.4))
    verdict = found.per_budget[0]
    assert verdict.verdict == "cannot tell"
    assert verdict.reasons == tuple(FamilyNearChance(family=family) for family in ("nfnet", "vit"))


def test_a_family_that_has_learnt_is_better_than_one_near_chance_but_overall_is_told_without_that_rung():
    rows = winner_rows(np.random.default_rng(2))
    found = flops(_at_loss(rows, ("vit",), BUDGETS[:1], 4.4))
    assert found.per_budget[0].verdict == "better"
    assert FamilyNearChance(family="vit") in found.per_budget[0].reasons
    assert found.overall.verdict == "cannot tell", "the overall verdict rests on the rungs where both have learnt"
    everywhere = analyse(_at_loss(rows, ("vit",), BUDGETS, 4.4))
    assert next(each for each in everywhere.comparisons if each.currency == "flops").overall.verdict == "better"
    assert "ViT has hardly learnt anything" in plain_answer(everywhere)


def test_a_family_near_chance_supports_no_equivalence_and_no_difference_below_the_margin():
    rows = winner_rows(np.random.default_rng(2), seeds=8, seed_sd=0.002)
    barely = _at_loss(_at_loss(rows, ("vit",), BUDGETS, 3.93), ("nfnet",), BUDGETS, 3.90)
    assert flops(barely).overall.verdict == "cannot tell"
    learnt = _at_loss(_at_loss(rows, ("vit",), BUDGETS, 3.90), ("nfnet",), BUDGETS, 3.87)
    assert flops(learnt).overall.verdict == "equivalent"


def _at_loss(rows: list[Observation], families: tuple[str, ...], budgets: Sequence[float], loss: float):
    """The winners of ``families`` at ``budgets`` scaled to about ``loss``, noise and all."""
    edited = []
    for row in rows:
        if row.family in families and row.budget_flops in budgets:
            cell = [each.loss for each in rows if (each.family, each.budget_flops) == (row.family, row.budget_flops)]
            row = dataclasses.replace(row, loss=row.loss / (sum(cell) / len(cell)) * loss)
        edited.append(row)
    return edited
