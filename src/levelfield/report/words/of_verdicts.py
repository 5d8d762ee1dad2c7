"""In words: why there is no verdict, what must be known of one, and what is told beside it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from levelfield.records.drawn import FewDigitsJudge
from levelfield.records.reason import Coded
from levelfield.report.words import numbers
from levelfield.scaling.results.reasons import beside, verdicts
from levelfield.scaling.results.verdicts import FamiliesBy, HelpsMore, OptimizersFor


def _sign(found: verdicts.SignChanges) -> str:
    places = {"better": found.better, "worse": found.worse}
    told = [f"{word} at {', '.join(map(numbers.power, where))}" for word, where in places.items() if where]
    return f"the sign changes over the range: {'; '.join(told)}"


def _rungs(found: verdicts.FewFitRungs) -> str:
    return f"{{family:family}} has {{num}} {'timed ' * found.timed}rungs fit for a verdict, {{needed}} are needed"


def _losses(found: verdicts.NoExampleLosses) -> str:
    missing = "are missing for some winners or controls" if found.given else "were not given"
    return f"per-example losses {missing}, so intervals cover seeds alone"


def _chance(share: float) -> str:
    return "below 1%" if share < 0.005 else "above 99%" if share > 0.995 else f"{share:.0%}"


def _root(found: beside.NoRootInside) -> str:
    return f"the trend of the difference has no root inside the overlap (probability {_chance(found.probability)})"


def _crosses(found: beside.Crosses) -> str:
    outside = "it may as well lie outside the overlap; " if found.may_lie_outside else ""
    none = f"the probability that none exists inside is {_chance(found.probability_of_none)}"
    return f"{{better:family}} has the lower loss above the crossover; {outside}{none}"


VERDICT_WORDS: dict[type[Coded], str | Callable[[Any], str]] = {
    FewDigitsJudge: "scikit-learn's plain digits: five of the 360 held-out images carry most of the loss, and seeds "
    "differ by a factor of two; use digit-pairs",
    verdicts.NoNoise: "no cell has two seeds, so nothing is known of the noise",
    verdicts.UnequalBatches: "{measure} depends on how many others stand in a batch, and runs have from {least:,} to "
    "{most:,} examples in one: compare by an error of the task (--measure)",
    verdicts.TooNoisy: "too noisy: the interval is ±{half_width:.3f} wide, the margin is ±{margin:g}",
    verdicts.ExcludesZeroAtOneLevel: "the {level:.0%} interval excludes 0, the {strict_level:.0%} interval does not",
    verdicts.ReachesBeyondMargin: "the interval holds 0 and reaches beyond the margin",
    verdicts.SmallerThanMargin: "a difference is detected, but it is smaller than the margin",
    verdicts.BestIsBound: "{family:family} lies at an edge of its search ({edges:list}): its best loss is only bounded "
    "from above",
    verdicts.BeyondMarginAt: "the mean lies within the margin, but the difference at {place:power} does not",
    verdicts.TrendLeavesMargin: "the mean lies within the margin, but the trend over the range may leave it",
    verdicts.SignChanges: _sign,
    verdicts.LossRises: "no verdict on {family:family}: {why:told}",
    verdicts.EveryRungLimited: "every rung is data-limited",
    verdicts.NoSharedBudget: "the families share no budget",
    verdicts.NoWinnerHere: "{family:family} has no winner at this budget",
    verdicts.NoFreshWinner: "{family:family} has no winner on fresh seeds",
    verdicts.NoStandIn: "{family:family} has no run that could stand in for a winner",
    verdicts.FewFreshSeeds: "{family:family} has {num} fresh seeds, at least {needed} are needed",
    verdicts.FamilyNearChance: "{family:family} is near chance",
    verdicts.FewExamplesCarry: "a handful of report examples carries the loss, so no interval can be trusted",
    verdicts.UnequalCompute: "the counted training FLOPs differ by {gap:.0%}: not equal compute",
    verdicts.DataLimited: "data-limited: more than {max_epochs:g} epochs, so no part of the overall verdict "
    "({families:families})",
    verdicts.SeedsAlone: "the interval covers seeds alone: not every winner and control kept its loss on every report "
    "example",
    verdicts.NoisyClock: "seconds are measured, hence noisy: their spread over seeds is in the interval, a busy "
    "machine's bias is not",
    verdicts.FewFitRungs: _rungs,
    verdicts.SecondsDoNotRise: "the device-seconds of {family:family} do not rise with its budgets: the clock is "
    "noisy, or winners of unlike shape run at unlike speed",
    verdicts.NoSharedRange: "the families share no range of {currency:currency}",
    verdicts.MustBeShared: "all runs that are judged must share it, or their losses are not the same quantity",
    verdicts.NothingInCommon: "no value is common, so its effect cannot be told from the family's",
    verdicts.UnequallySpread: "unequally spread over the families",
    verdicts.SpreadOverBoth: "spread over both families",
    verdicts.UnlikeTasks: "losses with unlike chance levels are losses of unlike tasks",
    verdicts.SeenAgainUnequally: "at {budget_flops:power} FLOPs examples were seen again unequally often",
    verdicts.SearchedLess: "the recipe of {family:family} was sought with fewer runs, so its best loss is only a bound",
    verdicts.ConfoundForbids: "{name:spaced} ({a_values} against {b_values}): {why:told}",
    verdicts.NothingTested: "nothing was tested: {why:all_told}",
    verdicts.AnotherCell: "not the same cell: {control} against {winner}",
    verdicts.FewSeedsOnOneSide: "{num} seeds on one side, at least {needed} are needed",
    verdicts.RepeatsSeed: "the control repeats a seed of the winner, so it is no control",
    verdicts.NoFreshWinners: "no run is a winner on fresh seeds: the best of a search is lucky, and its noise is "
    "unknown",
    verdicts.NoTwoSeeds: "no cell has two seeds, so no loss has an interval",
    verdicts.NoExampleLosses: _losses,
    verdicts.RungNearChance: lambda found: f"the loss is within {100 * (1 - found.share):.0f} % of chance",
    verdicts.ManyEpochs: "{epochs:.3g} epochs: data-limited, judged apart from the overall verdict",
    verdicts.NoControl: "no run has the role of a control",
    verdicts.OneCellTried: "one cell was tried: nothing was chosen",
    verdicts.LuckLeftOn: "the best of {num}, whose luck is not taken off: no cell was run with two seeds (it is at "
    "most {most_sds:.2g} times the noise of a run)",
    verdicts.LuckTakenOff: "the luck of the best of {num} is taken off",
    verdicts.MadeNoError: "a run made no error",
    verdicts.NoProbabilities: "the arm has no probabilities, hence no loss",
    verdicts.FewPairs: "{num_backbones} backbones make {num_pairs} pairs, {needed} are needed",
    FamiliesBy: "{a:family} against {b:family}, both by {optimizer:code_word}",
    OptimizersFor: "{a:code_word} against {b:code_word} for {family:family}",
    HelpsMore: "how much more {optimizer:code_word} helps {a:family} than {b:family}",
    beside.NotAsked: "not asked",
    beside.StraightBetweenPoints: "straight between the families' own points",
    beside.SomeAreBounds: "some points of {families:families_of} are only bounds (an axis at its edge)",
    beside.FamilyPoints: "{family:family}: {how:told}",
    beside.BestStandIn: "the points stand in for winners ({points:all_told})",
    beside.AllRowsStandIn: "the points stand in for winners (all {num_rows} rows, of {num_clusters} clusters that err "
    "together)",
    beside.FewInsideOverlap: "{family:family} has {num} rungs inside the overlap, {needed} are needed",
    beside.NoiseIsScatter: "no seed measured the noise: it is the scatter of the rows about a line",
    beside.DifferencesScatter: "the differences scatter about a straight line by more than noise explains: intervals "
    "are widened",
    beside.NothingLeftToJudge: "{num_points} points: nothing is left to judge whether the difference is a straight "
    "line",
    beside.ScatterAsNoise: "the differences scatter about a straight line as noise explains",
    beside.NoRootInside: _root,
    beside.Crosses: _crosses,
    beside.NoSharedLoss: "the curves share no loss: {ahead:family} begins at a lower loss than {behind:family} ever "
    "reaches",
    beside.BeyondTheCurves: "noise may carry a loss of {loss:.3g} beyond the ends of a curve",
    beside.AtMiddleLoss: "at the middle of the losses that both reach",
}
