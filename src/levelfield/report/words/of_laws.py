"""In words: what a law cannot be fitted to, and what must be known of one that was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from levelfield.records.reason import Coded
from levelfield.report.words import numbers
from levelfield.scaling.results.reasons import laws

MOST_OUTLIERS = 5
"""Outlying rows that are told one by one."""
ENDINGS: dict[laws.Ending, str] = {
    "fitted": "the law is fitted",
    "at a bound": "the law is fitted, but a parameter lies at a bound",
    "seeds disagree": "the law is fitted, but its best starting points end at different optima",
    "not converged": "the solver stopped before the gradient vanished",
    "too few": "there are too few budgets away from chance",
    "rises": "the loss rises with compute by more than noise explains",
    "flat": "the fitted loss does not fall with compute",
}


def _dropping(template: str) -> Callable[[Any], str]:
    def words(found: laws.FewBudgets | laws.NotMonotone) -> str:
        return template + (" ({num_dropped} of {num_rows} rows dropped)" if found.num_dropped else "")

    return words


def _outliers(found: laws.OutliersMove) -> str:
    moved = ", ".join(f"{p.name} {p.without:.3g} instead of {p.value:.3g}" for p in found.moved)
    which = ", ".join(
        f"{row.loss:.4g} at {' and '.join(map(numbers.power, row.inputs))}" for row in found.outlying[:MOST_OUTLIERS]
    )
    more = ", ..." if len(found.outlying) > MOST_OUTLIERS else ""
    rows = "1 row" if len(found.outlying) == 1 else f"{len(found.outlying)} rows"
    return f"without {rows} beyond {found.sds:g} robust sds (loss {which}{more}): {moved}"


def _families(num: int) -> str:
    return "1 family" if num == 1 else f"{num} families"


def _chosen(found: laws.ChosenByBacktests) -> str:
    of, own, theirs = _families(found.num_curves), f"{found.error:.1%}", f"{found.other.error:.1%}"
    beaten = ", ".join(f"{each.form} {each.error:.1%}" for each in found.beaten)
    beaten = f"; no challenger is better ({beaten})" if beaten else ""
    if found.simpler:
        form = found.other.form
        return f"the simpler one: backtests of {of} (off by {own}) do not tell it from {form} ({theirs}){beaten}"
    return f"chosen by backtests of {of}: off by {own}, {found.other.form} by {theirs}{beaten}"


def _challenger(found: laws.ChallengerChosen) -> str:
    of = _families(found.num_curves)
    return f"chosen by backtests of {of}: off by {{error:.1%}}, the best simpler form by {{simpler_error:.1%}}"


def _no_seeds(found: laws.NoSeeds) -> str:
    text = "no seeds: intervals come from the scatter about the law"
    return f"{text}, where neighbours err together" if found.neighbours else text


LAW_WORDS: dict[type[Coded], str | Callable[[Any], str]] = {
    laws.NotPositive: "compute and loss must be positive and finite",
    laws.NearChance: "near chance: loss {loss:.3g} is above {share:.0%} of {chance:.3g}",
    laws.FewBudgets: _dropping("{num} budgets away from chance, at least {needed} are needed"),
    laws.NotMonotone: _dropping(
        "the curve is not monotone: at compute {compute:power} the loss lies {rise:.1%} above a cheaper rung, more "
        "than noise explains ({allowed:.1%})"
    ),
    laws.NotFalling: "the loss does not fall with compute: the fitted exponent is not positive",
    laws.FallWithinNoise: "the loss does not fall with compute by more than noise explains: from {low:power} to "
    "{high:power} it does not fall in {flat:.0%} of the draws, more than the {allowed:.0%} of {level:.0%} intervals",
    laws.TooFewForForm: "{num} budgets away from chance: the {num_parameters} parameters of {form!r} are needed and "
    "one more",
    laws.TooFewRows: "{num} usable rows for the {num_parameters} parameters of {equation}",
    laws.FewRuns: "{num} leading runs, at least {needed} are needed: points of a run share its luck",
    laws.NothingToJudgeBy: "{num} points for {num_parameters} parameters: nothing is left to judge by",
    laws.FewValues: "{name} takes fewer than {needed} values: its exponent cannot be told",
    laws.FewCloudBudgets: "{num} budgets, at least {needed} are needed",
    laws.UnsupportedFit: lambda found: f"{{equation}}: {ENDINGS[found.ending]} ({{remarks:all_told}})",
    laws.FitEnded: lambda found: ENDINGS[found.ending],
    laws.FittedPoints: "fitted on {num_kept} of {num_rows} points",
    laws.NoIrreducible: "the irreducible loss is at its bound of 0",
    laws.AtBound: "{name} is at a bound",
    laws.SeedsDisagree: "only {agreement:.0%} of the best seeds agree on the optimum",
    laws.OutliersMove: _outliers,
    laws.FormAskedFor: "the form that was asked for",
    laws.FormsUntested: "too few rungs to tell forms apart by backtests: a line, whose exponent holds for their range "
    "alone",
    laws.ChosenByBacktests: _chosen,
    laws.ChallengerChosen: _challenger,
    laws.BoundRungs: "some rungs are only bounds (an axis at its edge)",
    laws.LimitedRungs: "some rungs are data-limited (more than {max_epochs:g} epochs)",
    laws.LowerEnvelope: "the lower envelope of {num_runs} runs, which is optimistic",
    laws.OneRunEach: "one run at each of {num_budgets} budgets",
    laws.BestOfRuns: "the best of the runs at each of {num_budgets} budgets, whose luck makes it optimistic",
    laws.BestWithoutLuck: "the best of the runs at each of {num_budgets} budgets, their luck taken off",
    laws.PointsAre: "points are {how:told}",
    laws.RungsScatter: "the rungs scatter about the law by more than seeds explain: intervals are widened",
    laws.NoSeeds: _no_seeds,
    laws.RowsErrTogether: "rows of one model err together, as checkpoints of one run do: intervals allow for it",
    laws.NoSearchRun: "the family has no search run",
    laws.NothingTimed: "no run was timed",
    laws.NotAllTimed: "not every run was timed",
    laws.UnlikeDevices: "the runs were timed on different devices: {devices:list}",
}
