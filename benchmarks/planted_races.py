"""Planted races: how often a race is wrong, covers, decides, and what it spends beside a fixed grid.

    python -m benchmarks.planted_races                       # 1,000 races a setting
    python -m benchmarks.planted_races --races 100 --only equal
    python -m benchmarks.planted_races --minutes 20 --out planted_races.md

Every race is planned by the planner that plans a real one; losses come from a truth instead of training, seeds and
report examples err as in one, and the verdict is that of the code that judges a real study. A race that cannot tell is
gone on with, step by step as the product proposes, up to the setting's number of looks: whoever stops at the first
answer stops on purpose where it is wrong. Constants were chosen on "tuned" settings; "held out" ones were fixed before
they first ran.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import math
import platform
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from levelfield.records.drawn import DigitPairsSpec
from levelfield.records.execution import DEFAULT_EXECUTION, Execution
from levelfield.records.fields import FieldFacts
from levelfield.records.head import LinearHead
from levelfield.records.study import StudySpec
from levelfield.records.trial import HeldOutMeans, TrialResult, TrialTiming
from levelfield.scaling.results.verdicts import Comparison
from levelfield.scaling.tables.rungs import checked
from levelfield.scaling.verdicts.contest import contest_of
from levelfield.study.facts import DataFacts
from levelfield.study.outcome.table import finished_runs, observations
from levelfield.study.plan.plan import Planner
from levelfield.study.planned import Plan, PlannedTrial
from levelfield.study.race.design import race_study
from levelfield.study.race.more import next_step
from levelfield.study.spec_file import load_study
from levelfield.tasks.classification import Classification

FAMILIES = ("nfnet", "vit")
MARGIN, TOP = 0.05, 1e12
NUM_EXAMPLES = 4000
GRID = Path(__file__).parent.parent / "studies/0001_digit_pairs/study.toml"
DRAWS = 299
ROUND = 25
MEASURES = Classification().measures(FieldFacts(num_classes=100))
FACTS = DataFacts(
    head=LinearHead(num_outputs=100), measures=MEASURES, in_channels=1, resolution=32, num_train=2**40,
    fingerprint="planted", num_report=NUM_EXAMPLES,
)  # fmt: skip
NOWHERE = Execution(device="planted", torch_version="0")


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A truth: ``gap`` is ln(loss of NFNet / loss of ViT) at 1e11 FLOPs, to which ``slope`` adds an e-fold of compute.

    The best size of the NFNet lies ``away`` e-folds of FLOPs an example from where a search starts; ``sds`` are the
    noise of seeds of both; ``curvature`` scales what a value beside the best one costs.
    """

    name: str
    group: str = "tuned"
    gap: float = 0.0
    slope: float = 0.0
    away: float = 0.0
    sds: tuple[float, float] = (0.02, 0.02)
    looks: int = 1
    curvature: float = 1.0


SETTINGS = (
    Setting(name="equal"),
    Setting(name="equal, 3 looks", looks=3),
    Setting(name="equal, 6 looks", looks=6),
    Setting(name="2 % apart, 3 looks", gap=0.02, looks=3),
    Setting(name="5 % apart, 3 looks", gap=0.05, looks=3),
    Setting(name="10 % apart, 3 looks", gap=0.10, looks=3),
    Setting(name="crossing, 3 looks", slope=0.06, looks=3),
    Setting(name="one optimum far above, 3 looks", away=1.5, looks=3),
    Setting(name="uneven noise, 3 looks", sds=(0.06, 0.01), looks=3),
    Setting(name="equal, calm, 3 looks", group="held out", sds=(0.008, 0.008), looks=3),
    Setting(name="equal, noisy, 6 looks", group="held out", sds=(0.05, 0.05), looks=6),
    Setting(name="equal, steep bowls, 3 looks", curvature=3.0, looks=3),
    Setting(name="optimum beyond the smallest size declared (odd), 3 looks", group="held out", away=-3.0, looks=3),
    Setting(name="7 % apart, noisier loser, 3 looks", group="held out", gap=0.07, sds=(0.04, 0.01), looks=3),
    Setting(name="crossing and noisy, 6 looks", group="held out", slope=0.09, sds=(0.04, 0.02), looks=6),
    Setting(name="equal, flat bowls, 3 looks", group="held out", curvature=0.4, looks=3),
    Setting(name="equal, steeper and noisier, 3 looks", group="held out", curvature=4.0, sds=(0.03, 0.03), looks=3),
)
"""A race's random numbers belong to the place of its setting here: new settings come last."""


class Truth:
    """The losses of one planted race: where optima lie is drawn anew for every one."""

    def __init__(self, setting: Setting, place: int, settings: Sequence[Setting] = SETTINGS) -> None:
        self.setting, self.place, self.facts = setting, place, FACTS
        draw = np.random.default_rng([2031, settings.index(setting), place])
        self._best: dict[str, Mapping[str, float]] = {}
        for family in FAMILIES:
            self._best[family] = {
                "size": math.log(8e5) + draw.normal(0, 0.5) + (setting.away if family == "nfnet" else 0.0),
                "growth": draw.uniform(0.35, 0.6),
                "rate": draw.normal(0, 1.0),
                "batch": draw.normal(0, 0.6),
                "shape": draw.normal(0, 0.6),
                "stabiliser": draw.normal(0, 0.6),
            }
        self._examples = draw.standard_normal(NUM_EXAMPLES)
        self._tastes = {family: 0.3 * draw.standard_normal(NUM_EXAMPLES) for family in FAMILIES}

    def gap(self, budget: float) -> float:
        """ln(loss of NFNet / loss of ViT) of the best there is."""
        return self.setting.gap + self.setting.slope * math.log(budget / 1e11)

    def log_loss(self, spec: StudySpec, trial: PlannedTrial) -> float:
        """The expected ln loss of ``trial``."""
        best, curved = self._best[trial.family], self.setting.curvature
        entry = next(entry for entry in spec.families if entry.name == trial.family)
        decades = math.log(trial.budget_flops / 1e11)
        size = math.log(trial.budget_flops / trial.spec.examples) - best["size"] - best["growth"] * decades
        rate = math.log2(trial.base_lr / entry.base_lr.start) - best["rate"] + 0.15 * decades
        bowls = 0.03 * size**2 + 0.02 * rate**2
        moved = dict(pair.split("=") for pair in trial.variant.split(",") if pair)
        for axis, grid in entry.axes.items():
            values = [str(value) for value in grid.values]
            start = self.starts(axis, len(values))
            place = values.index(moved[axis]) if axis in moved else start
            bowls += 0.008 * (place - start - self.best_place(trial, axis)) ** 2
        mine = 0.5 if trial.family == "nfnet" else -0.5
        return 0.5 - 0.08 * decades + mine * self.gap(trial.budget_flops) + curved * bowls

    def best_place(self, trial: PlannedTrial, axis: str) -> float:
        """Where on the grid of ``axis`` the optimum lies for ``trial``, in values beside the start."""
        return self._best[trial.family][axis]

    def starts(self, axis: str, num: int) -> int:
        """Where on its grid of ``num`` values the search along ``axis`` starts."""
        return num // 2

    def report(self, spec: StudySpec, trial: PlannedTrial) -> np.ndarray:
        """The loss of every example that judges ``trial``."""
        loss = math.exp(self.log_loss(spec, trial) + self._seeded(trial))
        return loss * (1 + self._tastes[trial.family] + 0.5 * self._examples)

    def result(self, spec: StudySpec, trial: PlannedTrial) -> tuple[TrialResult, np.ndarray | None]:
        """The record of ``trial``, and the losses of its report examples."""
        split, losses = trial.spec.held_out, None
        value = math.exp(self.log_loss(spec, trial) + self._seeded(trial))
        if split == "report":
            losses = self.report(spec, trial)
            value = float(losses.mean())
        own = trial.spec
        result = TrialResult(
            fingerprint=own.fingerprint, status="finished", params=1, steps=own.steps, examples_seen=own.examples,
            epochs=0.5, train_flops=trial.budget_flops, evaluate_flops=0.0,
            held_out={split: HeldOutMeans(values={"loss": value, "error": 0.5}, num_examples=NUM_EXAMPLES)},
            measures=MEASURES, seen_digest="", data_fingerprint="planted", executions=(NOWHERE,),
            levelfield_version="",
        )  # fmt: skip
        return result, losses

    def _seeded(self, trial: PlannedTrial) -> float:
        digest = hashlib.sha256(f"{self.place}/{trial.spec.fingerprint}".encode()).digest()
        sd = self.setting.sds[FAMILIES.index(trial.family)]
        return sd * float(np.random.default_rng(list(digest[:8])).standard_normal())


@dataclass
class Ended:
    """How a race ended: what was said of the pair at each look, and what it spent; half the ``width`` of the last
    interval; of each step that had a chance, the one ``foreseen`` and whether it ``came``."""

    false: bool = False
    covered: bool = True
    verdict: str = ""
    flops: float = 0.0
    looks: int = 0
    edges: int = 0
    width: float = math.nan
    foreseen: list[float] = field(default_factory=list)
    came: list[bool] = field(default_factory=list)


def study_of(*, outward: bool = True) -> StudySpec:
    """The study of every planted race, or the grid of study 0001 up to the same budget, without lock and swap."""
    if outward:
        return race_study(
            DigitPairsSpec(), FACTS, FAMILIES, TOP,
            name="planted", question="", margin=MARGIN, seeds=4, execution=DEFAULT_EXECUTION,
        )  # fmt: skip
    grid = load_study(GRID)
    return dataclasses.replace(
        grid,
        ladder=dataclasses.replace(grid.ladder, locked=()),
        verdict=dataclasses.replace(grid.verdict, swap_budget=None, margin=MARGIN),
        families=tuple(dataclasses.replace(entry, swap=None) for entry in grid.families),
    )


def run(truth: Truth, spec: StudySpec, looks: int) -> Ended:
    """A race to its end, or to its last look."""
    ended = Ended()
    results: dict[str, TrialResult] = {}
    timings: dict[str, TrialTiming] = {}
    losses: dict[str, np.ndarray] = {}
    while True:
        planned = _finished(truth, spec, results, timings, losses)
        ended.looks += 1
        comparisons = _judged(spec, planned, results, timings, losses)
        overall = next(each for each in comparisons if each.currency == "flops").overall
        _score(ended, truth, comparisons)
        ended.verdict = overall.verdict
        if len(ended.came) < len(ended.foreseen):
            ended.came.append(overall.verdict != "cannot tell")
        if (told := overall.difference) is not None:
            ended.width = (told.high - told.low) / 2
        if overall.verdict != "cannot tell" or ended.looks >= looks:
            break
        step = next_step(spec, planned, comparisons)
        spec, chance = step.spec, getattr(step.does, "chance", None)
        if chance is not None:
            ended.foreseen.append(chance)
    ended.flops = sum(result.train_flops for result in results.values())
    ended.edges = sum(bool(winner.edges) for winner in planned.winners)
    return ended


def _finished(
    truth: Truth,
    spec: StudySpec,
    results: dict[str, TrialResult],
    timings: dict[str, TrialTiming],
    losses: dict[str, np.ndarray],
) -> Plan:
    planner = Planner(spec, truth.facts, results)
    while new := [trial for trial in planner.newly_wanted() if isinstance(trial, PlannedTrial)]:
        found = {}
        for trial in new:
            key = trial.spec.fingerprint
            found[key], reported = truth.result(spec, trial)
            if reported is not None:
                losses[key] = reported
            seconds = trial.budget_flops / (1e9 if trial.family == "vit" else 8e8)
            timings[key] = TrialTiming(
                fingerprint=key, device="planted", wall_seconds=seconds, device_seconds=seconds, data_seconds=0.0,
                evaluate_seconds=0.0,
            )  # fmt: skip
        results |= found
        planner.learn_all(found)
    return planner.plan()


def _judged(
    spec: StudySpec,
    planned: Plan,
    results: Mapping[str, TrialResult],
    timings: Mapping[str, TrialTiming],
    losses: Mapping[str, np.ndarray],
) -> tuple[Comparison, ...]:
    generator = np.random.default_rng(0)
    contest = contest_of(
        checked(observations(planned, results, timings)),
        held_out_losses={
            run[0].spec.fingerprint: np.concatenate([losses[trial.spec.fingerprint] for trial in run])
            for run in finished_runs(planned, results)
            if run[0].spec.held_out == "report"
        },
        margin=MARGIN,
        level=spec.verdict.level_at_look(0.9),
        equal_search=True,
        compared=FAMILIES,
        generator=generator,
    )
    return contest.held(generator=generator, num_draws=DRAWS)[0]


def _score(ended: Ended, truth: Truth, comparisons: Sequence[Comparison]) -> None:
    """False is any "better" or "worse" of the wrong sign, at any rung, in FLOPs, at any look; and a false "equivalent"
    overall. Seconds rank equally: there the ViT's are 0.8 of the NFNet's, which moves the truth along the law."""
    for comparison in comparisons:
        shift = 0.0 if comparison.currency == "flops" else 0.08 * math.log(1 / 0.8)
        scale = 1.0 if comparison.currency == "flops" else 9e8
        rungs = [(each, truth.gap(each.budget * scale) + shift) for each in comparison.per_budget]
        used = [true for each, true in rungs if each.difference is not None]
        told = [*rungs, *([(comparison.overall, float(np.mean(used)))] if used else [])]
        for verdict, true in told:
            wrong = {"better": true >= 0, "worse": true <= 0, "equivalent": abs(true) > MARGIN}
            ended.false |= wrong.get(verdict.verdict, False)
            if comparison.currency == "flops" and verdict.difference is not None:
                ended.covered &= verdict.difference.low <= true <= verdict.difference.high


def tally(
    setting: Setting,
    num: int,
    *,
    first: int = 0,
    found: dict[str, list[float]] | None = None,
    beside_grid: bool = True,
) -> dict[str, list[float]]:
    """``num`` races of ``setting`` from the ``first``, every fifth of them ``beside_grid`` as well."""
    found = defaultdict(list) if found is None else found
    for place in range(first, first + num):
        truth = Truth(setting, place)
        ended = run(truth, study_of(), setting.looks)
        found["false"].append(ended.false)
        found["covered"].append(ended.covered)
        found["decided"].append(ended.verdict != "cannot tell")
        found["looks"].append(ended.looks)
        found["flops"].append(ended.flops)
        found["open edges"].append(ended.edges)
        found["foreseen"] += ended.foreseen
        found["came"] += ended.came
        if beside_grid and place % 5 == 0:
            grid = run(truth, study_of(outward=False), 1)
            found["grid decided"].append(grid.verdict != "cannot tell")
            found["share of the grid"].append(ended.flops / grid.flops)
            found["grid false"].append(grid.false)
    return found


def page(found: Mapping[Setting, Mapping[str, list[float]]]) -> Iterator[str]:
    for group in dict.fromkeys(setting.group for setting in SETTINGS):
        yield f"\n## Settings {group}\n"
        yield (
            "| setting | races | false % | covered % | decided % | looks | edges | grid decided % | false % | FLOPs "
            "| steps foreseen to decide % | that did % |"
        )
        yield "|---|---|---|---|---|---|---|---|---|---|---|---|"
        for setting, told in found.items():
            if setting.group == group and told["false"]:
                mean = {name: float(np.mean(values)) for name, values in told.items() if values}
                yield (
                    f"| {setting.name} | {len(told['false'])} | {100 * mean['false']:.1f} "
                    f"| {100 * mean['covered']:.1f} "
                    f"| {100 * mean['decided']:.0f} | {mean['looks']:.1f} | {mean['open edges']:.2f} "
                    f"| {100 * mean['grid decided']:.0f} | {100 * mean['grid false']:.1f} "
                    f"| {mean['share of the grid']:.2f} "
                    f"| {100 * mean.get('foreseen', math.nan):.0f} | {100 * mean.get('came', math.nan):.0f} |"
                )


def run_settings(
    described: str | None,
    settings: Sequence[Any],
    tally: Callable[..., object],
    page: Callable[[Mapping[Any, Mapping[str, list[float]]]], Iterator[str]],
    *,
    title: str,
) -> None:
    """A command that runs ``settings`` in turn, a few races of each at a time, and prints the ``page`` of what came."""
    parser = argparse.ArgumentParser(description=described, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--races", type=int, default=1000)
    parser.add_argument("--minutes", type=float, default=math.inf)
    parser.add_argument("--only", default="")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    end = time.monotonic() + 60 * options.minutes
    asked = [each for each in settings if options.only in f"{getattr(each, 'group', '')} {each.name}"]
    found: dict[Any, dict[str, list[float]]] = {setting: defaultdict(list) for setting in asked}
    for first in range(0, options.races, ROUND):
        for setting in asked:
            if time.monotonic() < end:
                tally(setting, min(ROUND, options.races - first), first=first, found=found[setting])
        if options.out:
            options.out.write_text(f"{title}, {platform.machine()}.\n" + "\n".join(page(found)) + "\n")
    print("\n".join(page(found)))


if __name__ == "__main__":
    run_settings(__doc__, SETTINGS, tally, page, title="Planted races")
