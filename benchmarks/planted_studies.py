"""Planted truth: how often verdicts are false, how often intervals cover, and what the verdicts can find.

    python -m benchmarks.planted_studies                  # 1,000 studies a setting, 299 replicates each
    python -m benchmarks.planted_studies --studies 100 --only "held out"
    python -m benchmarks.planted_studies --minutes 20 --out planted.md

Every study is drawn from a truth (planted_truth.py), analysed by the code that analyses a real one, and held against
that truth. Settings on which constants of the statistics were chosen (planted_tuned.py) are reported apart from those
that were held out (planted_held_out.py). Seeds are fixed: the same numbers come out again, and a run that was cut short
is the start of a longer one.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import math
import platform
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from benchmarks.planted_held_out import HELD_OUT
from benchmarks.planted_truth import BUDGETS, FAMILIES, MIDDLE, Study, Truth, draw_study
from benchmarks.planted_tuned import TUNED
from levelfield.scaling.results.intervals import Interval
from levelfield.scaling.results.verdicts import Comparison
from levelfield.scaling.tables.rungs import checked
from levelfield.scaling.verdicts.contest import Contest, contest_of
from levelfield.scaling.verdicts.margins import PlannedNoise, smallest_decidable_margin

REPLICATES = 299
ROUND = 50
"""Studies a setting before the page is written anew."""
LEVEL, MARGIN = 0.9, 0.05
Tally = dict[str, list[float]]
SETTINGS = (*TUNED, *HELD_OUT)
"""A study's random numbers belong to the place of its setting here: new settings come last."""
GROUPS = {"tuned on": TUNED, "held out": HELD_OUT}
"""Settings on which constants of the statistics were chosen, and settings fixed before they were first run."""


def tally(
    truth: Truth, num_studies: int, *, first: int = 0, found: Tally | None = None, replicates: int = REPLICATES
) -> Tally:
    """Every question asked of ``num_studies`` studies of ``truth`` from the ``first``: lists of 0 and 1 (or of numbers)
    by name, added to ``found``."""
    found = defaultdict(list) if found is None else found
    for place in range(first, first + num_studies):
        generator = np.random.default_rng([2026, SETTINGS.index(truth), place])
        study = draw_study(truth, generator)
        contest = contest_of(
            checked(study.rows),
            held_out_losses=study.held_out,
            margin=MARGIN,
            level=LEVEL,
            compared=FAMILIES,
            generator=generator,
        )
        comparisons, controls = contest.held(generator=generator, num_draws=replicates)
        if truth.evidence == "seeds":
            _score_verdicts(found, study, comparisons)
            found["A/A alarm"].append(not all(control.passed for control in controls))
            found["noise floor"].append(contest.noise.seed_sd or math.nan)
        else:
            _score_optimism(found, study, contest)
        _score_between(found, truth, study, comparisons[0], float(generator.random()))
    return found


def _score_verdicts(found: Tally, study: Study, comparisons: Sequence[Comparison]) -> None:
    """Verdicts against the families at their best; intervals against the cells that were really trained."""
    every = [
        (verdict, comparison.currency, verdict is comparison.overall)
        for comparison in comparisons
        for verdict in (*comparison.per_budget, comparison.overall)
    ]
    wrong, covered = False, True
    budgets = [v.budget for v in comparisons[0].per_budget if v.difference is not None]
    for verdict, currency, overall in every:
        scale = 1.0 if currency == "flops" else 1e10
        at = np.log(budgets) if overall else np.log(verdict.budget * scale)
        true = float(np.mean(study.difference(at))) if np.size(at) else 0.0
        claims = {"better": true >= 0, "worse": true <= 0, "equivalent": abs(true) > MARGIN}
        wrong |= claims.get(verdict.verdict, False) and verdict.verdict != "equivalent"
        if verdict.difference is not None and currency == "flops":
            cells = [
                study.winner_truth["nfnet", b] - study.winner_truth["vit", b]
                for b in (budgets if overall else [verdict.budget])
            ]
            covered &= _holds(verdict.difference, float(np.mean(cells)))
    overall = comparisons[0].overall
    true = float(np.mean(study.difference(np.log(budgets)))) if budgets else 0.0
    found["false better or worse"].append(wrong)
    found["false equivalent"].append(overall.verdict == "equivalent" and abs(true) > MARGIN)
    found["simultaneous coverage"].append(covered)
    for verdict in ("better", "worse", "equivalent"):
        found[verdict].append(overall.verdict == verdict)
    if comparisons[0].smallest_decidable_margin is not None:
        found["decidable margin"].append(comparisons[0].smallest_decidable_margin)


def _score_between(found: Tally, truth: Truth, study: Study, comparison: Comparison, chance: float) -> None:
    """Curve, trend, gain and crossover against the families at their best; unequal searches are left out: bounds.

    A difference that is no line has neither the offset nor the slope that a trend asks for.
    """
    curve, ancova, gain, crossover = comparison.curve, comparison.ancova, comparison.gain, comparison.crossover
    if len(set(truth.search.values())) > 1:
        return
    straight = not study.bend
    if curve.points:
        true = study.difference(np.log([point.x for point in curve.points]))
        low, high = (np.array([getattr(point, end) for point in curve.points]) for end in ("low", "high"))
        found["curve"].append(bool(np.all((low <= true) & (true <= high))))
    if straight and ancova.offset is not None and ancova.slope is not None and ancova.middle is not None:
        found["offset"].append(_holds(ancova.offset, float(study.difference(math.log(ancova.middle)))))
        found["slope"].append(_holds(ancova.slope, study.slope))
    found["gain quoted"].append(gain.log_ratio is not None)
    if gain.log_ratio is not None and gain.loss is not None:
        found["gain"].append(_holds(gain.log_ratio, _true_gain(study, gain.loss)))
    if crossover.probability_of_none is None or not straight:
        return
    low, high = math.log(curve.points[0].x), math.log(curve.points[-1].x)
    root = MIDDLE - study.offset / study.slope if study.slope else math.inf
    exists = low <= root <= high
    found["crossover exists"].append(exists)
    found["crossover quoted"].append(crossover.place is not None)
    found["chance of one"].append(1 - crossover.probability_of_none)
    if exists and crossover.place is not None:
        found["crossover"].append(_holds(crossover.place, math.exp(root)))


def _score_optimism(found: Tally, study: Study, contest: Contest) -> None:
    for each in contest.stand_ins.optimism if contest.stand_ins else ():
        true = study.winner_truth[each.family, each.budget_flops]
        found["luck before"].append(math.log(each.loss) - true)
        if each.corrected is not None:
            found["luck after"].append(math.log(each.corrected.estimate) - true)
            found["corrected loss"].append(_holds(each.corrected, math.exp(true)))


def _holds(interval: Interval, truth: float) -> bool:
    return interval.low <= truth <= interval.high


def _true_gain(study: Study, loss: float) -> float:
    x = np.linspace(math.log(1e9), math.log(1e14), 20001)
    nfnet, vit = (np.interp(-math.log(loss), -study.log_loss(family, x), x) for family in FAMILIES)
    return float(vit - nfnet)


def rate(found: Tally, name: str) -> str:
    """A share in per cent, or a dash where the question was never asked."""
    return f"{100 * np.mean(found[name]):.1f}" if found.get(name) else "-"


def _mean(found: Tally, name: str, digits: int = 2) -> str:
    return f"{100 * np.mean(found[name]):+.{digits}f}" if found.get(name) else "-"


Column = tuple[str, Callable[[Tally], str]]
VERDICTS: tuple[Column, ...] = tuple(
    (name, lambda found, name=name: rate(found, name))
    for name in (
        "false better or worse", "false equivalent", "simultaneous coverage", "A/A alarm", "better", "worse",
        "equivalent",
    )
)  # fmt: skip
DESCRIPTIONS: tuple[Column, ...] = (
    *((name, lambda found, name=name: rate(found, name)) for name in ("curve", "offset", "slope", "gain")),
    ("gain quoted", lambda found: rate(found, "gain quoted")),
    ("crossover", lambda found: rate(found, "crossover")),
    ("crossover quoted", lambda found: rate(found, "crossover quoted")),
    ("crossover exists", lambda found: rate(found, "crossover exists")),
    ("chance said", lambda found: rate(found, "chance of one")),
)
LUCK: tuple[Column, ...] = (
    ("luck before, %", lambda found: _mean(found, "luck before")),
    ("luck after, %", lambda found: _mean(found, "luck after")),
    ("corrected loss", lambda found: rate(found, "corrected loss")),
)


def show(title: str, columns: Sequence[Column], tallies: dict[str, Tally]) -> None:
    """A Markdown table with a row a setting."""
    print(f"\n## {title}\n\n| setting | {' | '.join(name for name, _ in columns)} |\n|---|{'---|' * len(columns)}")
    for name, found in tallies.items():
        print(f"| {name} | {' | '.join(tell(found) for _, tell in columns)} |")


def reliability(found: Tally) -> None:
    """Whether a crossover exists as often as it is said to, by tenths of what was said."""
    said, seen = np.array(found["chance of one"]), np.array(found["crossover exists"], dtype=float)
    print("\n## Is the chance of a crossover true?\n\n| said | studies | mean said | seen |\n|---|---|---|---|")
    for low, high in ((0.0, 0.05), (0.05, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 0.95), (0.95, 1.01)):
        inside = (said >= low) & (said < high)
        if inside.any():
            told = f"{100 * said[inside].mean():.0f} | {100 * seen[inside].mean():.0f}"
            print(f"| {100 * low:.0f} to {min(100.0, 100 * high):.0f} % | {inside.sum()} | {told} |")


PLANNED = ((3, 0.02), (8, 0.02), (3, 0.05))
"""(seeds, noise) of studies whose margin is the one that `plan` prints."""


def planned_margin(seeds: int, seed_sd: float) -> float:
    planned = PlannedNoise(seed_sd=seed_sd, num_seeds=seeds, example_sd=0.0, num_examples=1000, num_rungs=len(BUDGETS))
    return smallest_decidable_margin(planned)


def equivalents(plan: int, num_studies: int, *, first: int = 0, replicates: int = REPLICATES) -> list[float]:
    """Which of ``num_studies`` studies of equal families are called equivalent at the margin planned for them."""
    seeds, seed_sd = PLANNED[plan]
    margin, truth = planned_margin(seeds, seed_sd), Truth(name="planned", told="", seeds=seeds, seed_sd=seed_sd)
    found = []
    for study in range(first, first + num_studies):
        generator = np.random.default_rng([2027, plan, study])
        rows = checked(draw_study(truth, generator).rows)
        contest = contest_of(rows, held_out_losses=None, margin=margin, level=LEVEL, compared=FAMILIES)
        comparisons, _ = contest.held(generator=generator, num_draws=replicates)
        found.append(float(comparisons[0].overall.verdict == "equivalent"))
    return found


def tell_margins(found: dict[int, list[float]]) -> None:
    print("\n## Is the smallest decidable margin that `plan` prints decidable?\n")
    print("| seeds | noise | margin | equivalent, % (80 promised) |\n|---|---|---|---|")
    for plan, (seeds, seed_sd) in enumerate(PLANNED):
        print(f"| {seeds} | {seed_sd:.0%} | {planned_margin(seeds, seed_sd):.4f} | {100 * np.mean(found[plan]):.1f} |")


def tell_all(num_studies: int, replicates: int, seconds: float, tallies: dict[str, Tally]) -> None:
    """The whole page, for as many studies a setting as were run."""
    print(
        f"# Planted studies: {num_studies:,} a setting, {replicates} replicates each\n\n"
        f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, NumPy {np.__version__}; "
        f"{seconds:.0f} s of processor time. Shares in per cent; intervals are nominal 90 %. By chance alone, shares "
        f"of 5 and 90 % are off by {_chance(0.05, num_studies)} and {_chance(0.9, num_studies)} (one standard error).\n"
    )
    side_by_side(tallies)
    for told, settings in GROUPS.items():
        group = {truth.name: tallies[truth.name] for truth in settings if truth.name in tallies}
        if group:
            tell_group(told, settings, group)
    if "any difference" in tallies:
        reliability(tallies["any difference"])


def side_by_side(tallies: dict[str, Tally]) -> None:
    """The settings on which constants were chosen beside those on which none was: smallest, mean and largest share."""
    equal = [truth for truth in SETTINGS if not (truth.offset or truth.slope or truth.bend or truth.offset_sd)]
    asked = (*((name, equal) for name in ("false better or worse", "A/A alarm")),
             *((name, SETTINGS) for name in ("simultaneous coverage", "curve", "offset", "slope", "gain")))  # fmt: skip
    print(f"## Side by side\n\n| smallest, mean, largest share over settings | {' | '.join(GROUPS)} |")
    print(f"|---|{'---|' * len(GROUPS)}")
    for name, among in asked:
        told = []
        for group in GROUPS.values():
            known = [truth.name for truth in among if truth in group and tallies.get(truth.name, {}).get(name)]
            shares = [100 * float(np.mean(tallies[each][name])) for each in known]
            told.append(f"{min(shares):.1f}, {np.mean(shares):.1f}, {max(shares):.1f}" if shares else "-")
        of = "equal families: " if among is equal else ""
        print(f"| {of}{name} | {' | '.join(told)} |")


def tell_group(told: str, settings: Sequence[Truth], tallies: dict[str, Tally]) -> None:
    """The tables of one group of settings."""
    print(f"\n# Settings that were {told}\n\n| setting | truth |\n|---|---|")
    for truth in settings:
        if truth.name in tallies:
            print(f"| {truth.name} | {truth.told} |")
    seeds = {t.name: tallies[t.name] for t in settings if t.name in tallies and t.evidence == "seeds"}
    tables = {name: found for name, found in tallies.items() if found.get("luck before")}
    if seeds:
        show("Verdicts", VERDICTS, seeds)
    show("What is told beside the verdicts: coverage", DESCRIPTIONS, tallies)
    if tables:
        show("The luck of the best, where no fresh seeds measured it", LUCK, tables)


def _chance(share: float, num: int) -> str:
    return f"{100 * math.sqrt(share * (1 - share) / num):.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument("--replicates", type=int, default=REPLICATES)
    parser.add_argument("--only", help="settings whose name holds this text")
    parser.add_argument("--minutes", type=float, default=math.inf, help="no further round is begun after these")
    parser.add_argument("--out", type=Path, help="a file that holds the page after every round; else it is printed")
    chosen = parser.parse_args()
    start = time.perf_counter()
    settings = [truth for truth in SETTINGS if not chosen.only or chosen.only in truth.name]
    tallies: dict[str, Tally] = {truth.name: defaultdict(list) for truth in settings}
    margins: dict[int, list[float]] = {plan: [] for plan in range(len(PLANNED))}
    page, done = io.StringIO(), 0
    while done < chosen.studies and (not done or time.perf_counter() - start < 60 * chosen.minutes):
        num = min(ROUND, chosen.studies - done)
        for truth in settings:
            tally(truth, num, first=done, found=tallies[truth.name], replicates=chosen.replicates)
        for plan in margins if not chosen.only else ():
            margins[plan] += equivalents(plan, num, first=done, replicates=chosen.replicates)
        done += num
        page = io.StringIO()
        with contextlib.redirect_stdout(page):
            tell_all(done, chosen.replicates, time.process_time(), tallies)
            if not chosen.only:
                tell_margins(margins)
        if chosen.out:
            chosen.out.write_text(page.getvalue())
    if not chosen.out:
        print(page.getvalue(), end="")


if __name__ == "__main__":
    main()
