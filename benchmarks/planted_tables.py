"""Planted tables like those in the wild: how far the headline of ``predict`` is off, 30 to 300 times beyond the rows.

    python -m benchmarks.planted_tables                     # 300 development tables
    python -m benchmarks.planted_tables --tables 60         # the first of them
    python -m benchmarks.planted_tables --set final         # seeds that nothing was tuned on: once, at the end

Every table is drawn from a world (planted_worlds.py, half of them no law of the product) as people lay tables out
(planted_layouts.py), and read by the same core that ``levelfield predict`` reads a file with. The error is that of the
headline in ln against the mean ln loss of the best run; coverage and the interval score (Gneiting and Raftery, 2007, in
ln loss, lower better) are against one more run of it. The bars are those of the estimand (docs/decisions/0021).
"""

from __future__ import annotations

import argparse
import math
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.planted_layouts import LAYOUTS, Table, draw_table
from levelfield.records.errors import InputError, RefusedError
from levelfield.scaling import face
from levelfield.scaling.next.predict import Prediction
from levelfield.scaling.results.intervals import Interval

SETS = {"development": 17, "final": 20260717}
LEVEL = 0.9
REFUSED_BAR, ERROR_BAR, COVERAGE_BAR = 0.10, 0.03, (0.85, 0.95)


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What was foretold of one table, beside what is true; ``refused`` says why nothing was."""

    table: Table
    error: float = math.nan
    covered: bool = False
    score: float = math.nan
    half_width: float = math.nan
    singles: dict[str, tuple[float, float]]
    epochs_error: float | None = None
    refused: str = ""
    seconds: float = 0.0


def judge(table: Table) -> Judged:
    """What ``predict`` says of ``table``, against the truth."""
    known = face.TableReading.__annotations__
    reading: dict[str, Any] = {name: column for name, column in table.reading.items() if name in known}
    started = time.process_time()
    try:
        (found,) = face.predict(table.columns, budget=table.budget, level=LEVEL, **reading)
    except (InputError, RefusedError) as error:
        return Judged(table=table, singles={}, refused=str(error), seconds=time.process_time() - started)
    seconds = time.process_time() - started
    if found.loss is None:
        return Judged(table=table, singles={}, refused="no loss foretold", seconds=seconds)
    epochs = abs(math.log(found.epochs / table.epochs)) if found.epochs and table.epochs else None
    return Judged(
        table=table,
        error=math.log(found.loss.estimate) - table.log_loss,
        covered=found.loss.low <= math.exp(table.measured) <= found.loss.high,
        score=interval_score(found.loss, table.measured),
        half_width=math.log(found.loss.high / found.loss.low) / 2,
        singles=_singles(found, table),
        epochs_error=epochs,
        seconds=seconds,
    )


def _singles(found: Prediction, table: Table) -> dict[str, tuple[float, float]]:
    """(interval score, error) of every law alone."""
    laws = getattr(found, "laws", ())
    return {
        each.form: (interval_score(each.loss, table.measured), math.log(each.loss.estimate) - table.log_loss)
        for each in laws
    }


def interval_score(interval: Interval, log_loss: float) -> float:
    """The width in ln loss, and 2 / (1 - level) times how far outside the truth lies."""
    low, high = math.log(interval.low), math.log(interval.high)
    return high - low + 2 / (1 - interval.level) * max(0.0, low - log_loss, log_loss - high)


def show(found: Sequence[Judged]) -> None:
    """The table of bars, then by layout, world and trait."""
    print("| tables | n | refused % | median error % | mean error % | bias % | covered % | half-width % | score |")
    print("|---|---|---|---|---|---|---|---|---|")
    _row("all", found)
    _row("inside the laws", [each for each in found if each.table.world.inside])
    _row("outside the laws", [each for each in found if not each.table.world.inside])
    for layout in LAYOUTS:
        _row(layout, [each for each in found if each.table.layout == layout])
    for name, own in _groups(found, lambda each: [each.table.world.name]).items():
        _row(name, own)
    for name, own in _groups(found, lambda each: each.table.traits or ["plain"]).items():
        _row(name, own)
    _show_singles([each for each in found if not each.refused])
    epochs = [each.epochs_error for each in found if each.epochs_error is not None]
    if epochs:
        print(f"\nepochs: off by a factor of {math.exp(float(np.median(epochs))):.2f} at the median of {len(epochs)}")
    for reason, count in Counter(each.refused[:150] for each in found if each.refused).most_common(8):
        print(f"refused {count}: {reason}")
    print(f"CPU seconds a table: {np.mean([each.seconds for each in found]):.2f}")


def _groups(found: Iterable[Judged], keys: Callable[[Judged], Iterable[str]]) -> dict[str, list[Judged]]:
    groups: defaultdict[str, list[Judged]] = defaultdict(list)
    for each in found:
        for key in keys(each):
            groups[key].append(each)
    return dict(sorted(groups.items()))


def _row(name: str, own: Sequence[Judged]) -> None:
    told = [each for each in own if not each.refused]
    if not told:
        print(f"| {name} | {len(own)} | {100.0 if own else 0.0:.0f} | | | | | | |")
        return
    errors = np.array([each.error for each in told])
    size = 100 * np.abs(errors)
    print(
        f"| {name} | {len(own)} | {100 * (1 - len(told) / len(own)):.1f} | {np.median(size):.2f} | {size.mean():.2f} "
        f"| {100 * errors.mean():+.2f} | {100 * np.mean([each.covered for each in told]):.1f} "
        f"| {100 * np.median([each.half_width for each in told]):.1f} | {np.mean([each.score for each in told]):.3f} |"
    )


def _show_singles(told: Sequence[Judged]) -> None:
    """Every law alone on the tables that it foretells, beside the headline on the same tables."""
    forms = sorted({form for each in told for form in each.singles})
    if forms:
        print("\n| law alone | n | its score | headline's score | its median error % | headline's |")
        print("|---|---|---|---|---|---|")
    for form in forms:
        own = [each for each in told if form in each.singles]
        scores, errors = np.array([each.singles[form] for each in own]).T
        headline = np.mean([each.score for each in own])
        middle = 100 * np.median(np.abs([each.error for each in own]))
        print(
            f"| {form} | {len(own)} | {scores.mean():.3f} | {headline:.3f} "
            f"| {100 * np.median(np.abs(errors)):.2f} | {middle:.2f} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=int, default=300)
    parser.add_argument("--set", choices=SETS, default="development")
    parser.add_argument("--worst", type=int, default=0, help="list so many of the worst headlines")
    given = parser.parse_args()
    found = [judge(draw_table([SETS[given.set], place])) for place in range(given.tables)]
    show(found)
    ranked = sorted(range(len(found)), key=lambda place: -abs(found[place].score) if not found[place].refused else 0.0)
    for place in ranked[: given.worst]:
        each = found[place]
        print(
            f"{place}: {each.table.world.name}, {each.table.layout}, {each.table.traits}, x{each.table.times:.0f}: "
            f"error {100 * each.error:+.1f} %, half-width {100 * each.half_width:.1f} %, score {each.score:.2f}"
        )


if __name__ == "__main__":
    main()
