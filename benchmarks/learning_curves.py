"""Extrapolating 72 published vision learning curves: error, coverage, and time a curve.

    uv run python -m benchmarks.learning_curves PATH/benchmark.vision.csv

The table is that of Alabdulmohsin et al., "Revisiting Neural Scaling Laws in Language and Vision" (2209.06640), from
google-research/revisiting_neural_scaling_laws/data; the score is its own: the mean over curves of the root mean squared
error of ln loss on rows marked Training = 0. Its estimators reach 0.1046 (M1), 0.0823 (M2) and 0.0615 (M3).
"""

from __future__ import annotations

import csv
import math
import sys
import time
from collections.abc import Sequence

import numpy as np

from levelfield.scaling.ladder.backtest import (
    CANDIDATES,
    CHALLENGERS,
    Extrapolation,
    LawForm,
    LossCurve,
    challenged,
    choose,
    extrapolation,
    fit_curves,
    worthwhile,
)
from levelfield.scaling.ladder.conformal import half_width, spread_of


def read_curves(path: str) -> tuple[list[LossCurve], list[LossCurve], list[str]]:
    """Every curve's fitting part, the whole curve, and the model it belongs to."""
    rows: dict[tuple[str, str], list[dict[str, str]]] = {}
    with open(path, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            rows.setdefault((row["Task"], row["Model"]), []).append(row)
    fitted, whole = [], []
    for (task, model), of_curve in rows.items():
        name = f"{task}, {model}"
        for into, kept in ((fitted, [row for row in of_curve if row["Training"] == "1"]), (whole, of_curve)):
            seen, loss = ([float(row[key]) for row in kept] for key in ("Seen Examples", "Loss"))
            into.append(LossCurve(name=name, compute=np.array(seen), loss=np.array(loss)))
    return fitted, whole, [model for _, model in rows]


def tails(fitted: Sequence[LossCurve], whole: Sequence[LossCurve], candidate: LawForm) -> list[Extrapolation]:
    """The held-out tails under ``candidate``."""
    return [
        extrapolation(curve, part.compute[-1], found, candidate.form, math.nan)
        for part, curve, found in zip(fitted, whole, fit_curves(fitted, candidate), strict=True)
    ]


def leave_one_model_out(fitted: Sequence[LossCurve], whole: Sequence[LossCurve], models: Sequence[str]) -> float:
    """The mean error when each model's candidate is the best on the other models' tails."""
    scores = {c: np.array([tail.score for tail in tails(fitted, whole, c)]) for c in CANDIDATES}
    of_model, errors = np.array(models), np.empty(len(models))
    for model in set(models):
        others = of_model != model
        best = min(scores, key=lambda c: (scores[c][others].mean(), c.simplicity))
        errors[~others] = scores[best][~others]
    return float(errors.mean())


def main(path: str) -> None:
    fitted, whole, models = read_curves(path)
    choice = choose(fitted, worthwhile(fitted))
    if choice is None:
        raise SystemExit("no curve is long enough for a backtest")
    started = time.perf_counter()
    found = tails(fitted, whole, choice.chosen)
    seconds = time.perf_counter() - started
    scores = np.array([tail.score for tail in found])
    print(f"curves: {len(fitted)}; cells of backtests: {choice.num_cells}")
    print(f"chosen by backtests inside the fitting parts: {choice.chosen}; best there: {choice.best}")
    middle, late = np.quantile(scores, [0.5, 0.9])
    print(f"RMSLE of the tails: mean {scores.mean():.4f}, median {middle:.4f}, 90th percentile {late:.4f}")
    print(f"milliseconds a curve, chosen law: {1e3 * seconds / len(fitted):.1f}")
    spread = spread_of(choice.extrapolations)
    if spread is not None:
        inside = [np.mean(np.abs(tail.errors) <= half_width(spread, tail.distances)) for tail in found]
        half = [np.mean(half_width(spread, tail.distances)) for tail in found]
        print(f"nominal 90 % intervals: coverage {np.mean(inside):.1%}, mean half-width {np.mean(half):.4f} in ln")
    for challenger in CHALLENGERS:
        errors = [tail.score for tail in tails(fitted, whole, challenger)]
        print(f"challenger {challenger.form}: RMSLE of the tails {np.mean(errors):.4f}")
    won = challenged(choice, fitted)
    told = ", ".join(f"{who.form} {theirs:.4f} against {own:.4f}" for who, (theirs, own) in won.challenges.items())
    print(f"backtests inside the fitting parts: {told}; believed: {won.chosen.form}")
    print(f"leave one model out: RMSLE {leave_one_model_out(fitted, whole, models):.4f}")


if __name__ == "__main__":
    main(sys.argv[1])
