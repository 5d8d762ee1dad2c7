"""Planted races on few images: how often they are wrong and cover, in folds and by one part that judges.

    python -m benchmarks.planted_few                          # 1,000 races a setting
    python -m benchmarks.planted_few --minutes 20 --out planted_few.md

As :mod:`benchmarks.planted_races`, with what is special about few images. Those that judge and those that are trained
on are drawn anew for every race, each with what it costs either family and what it teaches either; a network's loss is
moved by what its own training images teach. The truth is that of all images there might have been. Selecting images are
few as well: they err by what recipes find easy. ``taught`` scales what images teach beside what they cost: the
correction that is made supposes 1 (decision 34).
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks import planted_races
from benchmarks.planted_races import FAMILIES, MARGIN, MEASURES, NOWHERE, Ended, Truth, run_settings
from levelfield.records.data import ImagesSpec
from levelfield.records.execution import DEFAULT_EXECUTION
from levelfield.records.head import LinearHead
from levelfield.records.study import StudySpec
from levelfield.records.trial import HeldOutMeans, TrialResult
from levelfield.study.facts import DataFacts
from levelfield.study.planned import PlannedTrial
from levelfield.study.race.design import race_study

LOWEST, TOP = 3.16e10, 1e12
SHARED, OWN = 0.5, 0.3
"""What an image costs, beside the mean: both families alike, and each for itself."""
SELECTING = 0.15
"""What an image costs one recipe beside another of its family."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setting(planted_races.Setting):
    """Also how many ``images`` there are, in how many ``folds`` they judge (None: one part does), what they teach."""

    images: int
    folds: int | None = 5
    taught: float = 1.0


SETTINGS = (
    Setting(name="300, folds, equal", images=300),
    Setting(name="300, one part, equal", images=300, folds=None),
    Setting(name="2,000, folds, equal", images=2000),
    Setting(name="2,000, one part, equal", images=2000, folds=None),
    Setting(name="20,000, one part, equal", images=20_000, folds=None),
    Setting(name="300, folds, 20 % apart", images=300, gap=0.2),
    Setting(name="2,000, folds, 5 % apart", images=2000, gap=0.05),
    Setting(name="2,000, folds, 10 % apart", images=2000, gap=0.1),
    Setting(name="2,000, folds, 20 % apart", images=2000, gap=0.2),
    Setting(name="20,000, one part, 10 % apart", images=20_000, folds=None, gap=0.1),
    Setting(name="2,000, folds, equal, nothing taught", group="held out", images=2000, taught=0.0),
    Setting(name="2,000, folds, equal, half taught", group="held out", images=2000, taught=0.5),
    Setting(name="2,000, folds, equal, taught twice (odd)", group="held out", images=2000, taught=2.0),
    Setting(name="800, folds, 10 % apart, noisy", group="held out", images=800, gap=0.1, sds=(0.05, 0.03)),
    Setting(name="800, one part, equal, 3 looks", group="held out", images=800, folds=None, looks=3),
    Setting(name="800, folds, equal, 3 looks", group="held out", images=800, looks=3),
)
"""A race's random numbers belong to the place of its setting here: new settings come last."""


def facts_of(setting: Setting) -> tuple[ImagesSpec, DataFacts]:
    """The data of a race as :func:`levelfield.study.race.data.race_data` would cut it."""
    num = setting.images
    select = min(2000, max(round(0.1 * num), min(100, num // 4)))
    report = (num - select) // setting.folds if setting.folds else min(10_000, round(0.2 * num))
    said: dict[str, Any] = {"folds": setting.folds} if setting.folds else {"report_examples": report}
    data = ImagesSpec(path="planted", resolution=32, select_examples=select, **said)
    facts = DataFacts(
        head=LinearHead(num_outputs=10), measures=MEASURES, in_channels=3, resolution=32,
        num_train=num - select - report, fingerprint="planted", num_report=report,
    )  # fmt: skip
    return data, facts


class FewTruth(Truth):
    """The losses of one planted race on few images."""

    def __init__(self, setting: Setting, place: int) -> None:
        super().__init__(setting, place, SETTINGS)
        self.few, (data, self.facts) = setting, facts_of(setting)
        draw = np.random.default_rng([2032, SETTINGS.index(setting), place])
        self._folds, held = setting.folds or 1, self.facts.num_report or 0
        num = held * (self._folds - 1) + self.facts.num_train + held * (self._folds == 1)
        num = max(num, held * self._folds)
        costs, teaches = draw.standard_normal(num), draw.standard_normal(num)
        self._costs = {family: SHARED * costs + OWN * draw.standard_normal(num) for family in FAMILIES}
        self._teaches = {
            family: setting.taught * (SHARED * teaches + OWN * draw.standard_normal(num)) for family in FAMILIES
        }
        for family in FAMILIES:
            worn = {"augment": draw.normal(0.5, 1.0), "worn": draw.uniform(-1, 0.5), "wears": draw.uniform(0.2, 1.0)}
            self._best[family] = {**self._best[family], **worn}
        self._select = data.select_examples

    def best_place(self, trial: PlannedTrial, axis: str) -> float:
        """The best length, in halvings, falls as budgets grow, no faster than 500 steps allow."""
        if axis != "length":
            return super().best_place(trial, axis)
        best, rungs = self._best[trial.family], 2 * math.log10(trial.budget_flops / LOWEST)
        return -min(max(0.0, best["worn"] + best["wears"] * rungs), 0.8 * rungs)

    def starts(self, axis: str, num: int) -> int:
        """Lengths start at the end of their grid, augmentation at its third value."""
        return {"length": num - 1, "augment": 2}.get(axis, num // 2)

    def result(self, spec: StudySpec, trial: PlannedTrial) -> tuple[TrialResult, np.ndarray | None]:
        own, split = trial.spec, trial.spec.held_out
        assert isinstance(own.data, ImagesSpec)
        held = self.facts.num_report or 0
        judge = slice(own.data.fold * held, (own.data.fold + 1) * held)
        trained = np.ones(len(self._costs[trial.family]), dtype=bool)
        trained[judge] = False
        taught = float(self._teaches[trial.family][trained].mean())
        loss = math.exp(self.log_loss(spec, trial) + self._seeded(trial) + taught)
        losses, num = None, self._select
        if split == "report":
            losses = loss * (1 + self._costs[trial.family][judge])
            loss, num = float(losses.mean()), held
        else:
            loss *= math.exp(SELECTING / math.sqrt(num) * self._liking(trial))
        result = TrialResult(
            fingerprint=own.fingerprint, status="finished", params=1, steps=own.steps, examples_seen=own.examples,
            epochs=own.examples / self.facts.num_train, train_flops=trial.budget_flops * _share(trial),
            evaluate_flops=0.0,
            held_out={split: HeldOutMeans(values={"loss": loss, "error": 0.5}, num_examples=num)},
            measures=MEASURES, seen_digest="", data_fingerprint="planted", executions=(NOWHERE,),
            levelfield_version="",
        )  # fmt: skip
        return result, losses

    def _liking(self, trial: PlannedTrial) -> float:
        """How the selecting images err for this recipe, whatever the seed."""
        told = f"{self.place}/{trial.family}/{trial.spec.architecture}/{trial.base_lr}/{trial.variant}"
        digest = hashlib.sha256(told.encode()).digest()
        return float(np.random.default_rng(list(digest[:8])).standard_normal())


def _share(trial: PlannedTrial) -> float:
    """Of its budget that it spends."""
    moved = dict(pair.split("=") for pair in trial.variant.split(",") if pair)
    return float(moved.get("length", 1))


def study_of(setting: Setting) -> StudySpec:
    data, facts = facts_of(setting)
    return race_study(
        data, facts, FAMILIES, TOP, name="planted", question="", margin=MARGIN,
        seeds=3 if setting.folds else 5, execution=DEFAULT_EXECUTION, axes=("batch",),
    )  # fmt: skip


def tally(setting: Setting, num: int, *, first: int, found: Mapping[str, list[float]]) -> None:
    for place in range(first, first + num):
        truth = FewTruth(setting, place)
        ended: Ended = planted_races.run(truth, study_of(setting), setting.looks)
        found["false"].append(ended.false)
        found["covered"].append(ended.covered)
        found["decided"].append(ended.verdict != "cannot tell")
        found["looks"].append(ended.looks)
        found["open edges"].append(ended.edges)
        found["width"].append(ended.width)


def page(found: Mapping[Setting, Mapping[str, list[float]]]) -> Iterator[str]:
    for group in dict.fromkeys(setting.group for setting in SETTINGS):
        yield f"\n## Settings {group}\n"
        yield "| setting | races | false % | covered % | decided % | width % | looks | edges |"
        yield "|---|---|---|---|---|---|---|---|"
        for setting, told in found.items():
            if setting.group == group and told["false"]:
                mean = {name: _mean(values) for name, values in told.items() if values}
                yield (
                    f"| {setting.name} | {len(told['false'])} | {100 * mean['false']:.1f} "
                    f"| {100 * mean['covered']:.1f} | {100 * mean['decided']:.0f} | {100 * mean['width']:.1f} "
                    f"| {mean['looks']:.1f} | {mean['open edges']:.2f} |"
                )


def _mean(values: Sequence[float]) -> float:
    """Of those that there are: a race without a verdict has no interval."""
    known = [value for value in values if not math.isnan(value)]
    return float(np.mean(known)) if known else math.nan


if __name__ == "__main__":
    run_settings(__doc__, SETTINGS, tally, page, title="Planted races on few images")
