"""In words: what was asked and refused, and what would decide it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from levelfield.records.reason import Coded
from levelfield.scaling.results import refusals

_OWN = "nearly every row has a compute of its own"


def _rungs(found: refusals.AddRungs) -> str:
    return "add rungs, or ask for a form of fewer parameters" if found.or_fewer_parameters else "add rungs"


REFUSAL_WORDS: dict[type[Coded], str | Callable[[Any], str]] = {
    refusals.LawOf: "the law of {family:family} in {currency:currency}",
    refusals.AllocationOf: "allocation of {family:family}",
    refusals.AnyVerdict: "verdicts",
    refusals.VerdictOn: "a verdict on {a:family} against {b:family} in {currency:currency}",
    refusals.VerdictOverall: "an overall verdict with {family:family} at {budget_flops:power} FLOPs",
    refusals.IntervalsOfWinners: "winners",
    refusals.IntervalsOverExamples: "intervals over report examples",
    refusals.FittingRung: "fitting {family:family} at {budget_flops:power} FLOPs",
    refusals.ControlAsked: "the A/A control",
    refusals.MetricOf: "the {metric} of {subject}",
    refusals.PredictionOf: "a prediction of {family:family} at {budget_flops:power} FLOPs",
    refusals.WithinArm: "{arm}: {asked:told}",
    refusals.MaybeAccuracy: "the loss rises with compute and is no more than {top}: if it is an accuracy, use {top} - "
    "accuracy",
    refusals.AddRungs: _rungs,
    refusals.NameNominalBudgets: _OWN + ", in {num_clusters} clusters: name the column of nominal budgets "
    "(--budget-column)",
    refusals.NameSizes: f"{_OWN}: if sizes compete there, name them (--params, --examples); else look for a change of "
    "regime",
    refusals.TuneRisingRungs: "tune the rungs that rise, or look for a change of regime",
    refusals.NameExamples: "name the column of examples (--examples)",
    refusals.NameActive: "name the column of parameters that an example uses (--params), or keep rows of one sparsity "
    "(--where); the law of compute does not need them",
    refusals.ShareBudgets: f"{_OWN}, so that no budget has several sizes: the closed form serves; for profiles, share "
    "budgets",
    refusals.AddSizes: "add sizes beyond the best ones",
    refusals.RecordSeconds: "record device_seconds of every run",
    refusals.RunOnOneDevice: "run all winners on one kind of device",
    refusals.RunFreshSeeds: "run the best cell of each budget on {num_seeds} fresh seeds",
    refusals.AddSeeds: "add seeds",
    refusals.SeedsWouldDecide: "about {num_seeds} seeds a winner would decide a margin of {margin:g}",
    refusals.KeepExampleLosses: "keep the loss of every report example",
    refusals.ShownOnly: "shown only",
    refusals.UseMoreData: "use more data",
    refusals.RunControl: "run one",
}
