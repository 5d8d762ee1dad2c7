"""What is to be trained at a budget of one's own: the run that a study's results foretell to be the best there."""

from __future__ import annotations

from dataclasses import dataclass

from levelfield.records.errors import RefusedError, SpecError, did_you_mean
from levelfield.records.reason import Reason
from levelfield.records.study import StudySpec
from levelfield.records.trial import TrialSpec
from levelfield.scaling.foretold import Foretold
from levelfield.scaling.results.analysis import Analysis
from levelfield.scaling.results.reasons.predictions import NoLaw, NothingToTrain
from levelfield.scaling.results.refusals import LawOf
from levelfield.study.facts import DataFacts
from levelfield.study.outcome.foretell import predicted_recipes, to_lock
from levelfield.study.outcome.outcome import Outcome
from levelfield.study.outcome.trained import chosen
from levelfield.study.plan.competitor import Competitor
from levelfield.study.plan.wants import fresh_seeds
from levelfield.study.planned import Affordable, Candidate, Lock, LockedRecipe


@dataclass(frozen=True, kw_only=True)
class Commission:
    """What is to be trained: the ``recipe`` that ``lock`` foretells, what the budget buys it, and the whole trial."""

    lock: Lock
    recipe: LockedRecipe
    bought: Affordable
    spec: TrialSpec


def lock_for(outcome: Outcome, analysis: Analysis, budget: float, family: str | None) -> Lock:
    """The prediction for ``budget`` by the results so far, to be locked; it holds a recipe of ``family``, if one is
    named.

    Raises:
        SpecError: the study has no such family.
        RefusedError: no recipe is foretold.
        InputError: the budget is none, or lies too far from all runs.
    """
    names = [entry.name for entry in outcome.spec.families]
    if family is not None and family not in names:
        raise SpecError(f"the study has no family {family!r}{did_you_mean(family, names)}")
    lock = to_lock(outcome, budget, predicted_recipes(outcome, analysis, budget, grown=True))
    held = {recipe.family for recipe in lock.recipes}
    if not held or (family is not None and family not in held):
        asked = tuple(names if family is None else [family])
        whys = [why for each in asked for why in _why(analysis, each, lock.refused.get(each, NoLaw()))]
        raise RefusedError(NothingToTrain(families=asked, budget_flops=budget, why=tuple(dict.fromkeys(whys))))
    return lock


def commissioned(spec: StudySpec, facts: DataFacts, lock: Lock, family: str | None) -> Commission:
    """The run of the family that ``lock`` foretells the lowest loss of, or of ``family``: one fresh seed, judged on the
    report split."""
    recipe = chosen(lock, family)
    entry = next(entry for entry in spec.families if entry.name == recipe.family)
    candidate = Candidate(
        architecture=recipe.architecture, base_lr=recipe.base_lr, axes=tuple(sorted(recipe.axes.items()))
    )
    competitor = Competitor(spec, facts, entry)
    trial = competitor.trial(candidate, lock.budget_flops, seed=fresh_seeds(spec)[0], held_out="report")
    return Commission(lock=lock, recipe=recipe, bought=competitor.afford(candidate, lock.budget_flops), spec=trial)


def scored(spec: StudySpec, commission: Commission, came: float) -> Foretold:
    """What was foretold beside the held-out loss that ``came``."""
    return Foretold(
        family=commission.recipe.family,
        cut_flops=spec.ladder.budgets[-1],
        budget_flops=commission.lock.budget_flops,
        said=commission.recipe.loss,
        came=came,
    )


def _why(analysis: Analysis, family: str, why: Reason) -> tuple[Reason, ...]:
    """Why no recipe of ``family`` is foretold: where it has no law, why it has none."""
    of_law = [each for each in analysis.refusals if isinstance(each.what, LawOf) and each.what.family == family]
    if isinstance(why, NoLaw) and of_law:
        return tuple(reason for refusal in of_law for reason in refusal.why)
    return (why,)
