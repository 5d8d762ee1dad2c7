"""How wrong each form of law is beyond its rows on other people's runs: the figures of scaling/next/shipped.py.

    python -m benchmarks.law_errors --porian isoflop_points.csv --kyo df.csv --language benchmark.lang.csv \\
        --isoflops data/isoflops/transform/isoflops.csv

Tables: isoFLOP sweeps of Porian et al. (2406.19146, formll/resolving-scaling-law-discrepancies); those of Chinchilla,
Llama 3, three Marin data sets and "(Mis)fitting" as collected by Open-Athena/scaling-law-analysis (3e0656e); the cloud
of kyo-takano/chinchilla (examples/llm/df.csv); the language curves of Alabdulmohsin et al. (2209.06640,
google-research/revisiting_neural_scaling_laws). Its vision curves are left out: benchmarks/learning_curves.py judges by
them.

Every law is cut short at every budget that leaves four. Its error at what came after, in ln loss at ln distance d, is
taken for t with 4 degrees of freedom and a squared scale of noise^2 + d^2 (least^2 + (own x slope)^2), slope being what
the same table's earlier cuts had shown by then; least and own are those of the greatest likelihood, each study counting
alike, since curves of one study share what they were trained by. ``untested`` is the same with one number for all.
"""

from __future__ import annotations

import argparse
import csv
import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from levelfield.records.reason import Reason
from levelfield.scaling.face import rows_of
from levelfield.scaling.ladder.backtest import LawForm
from levelfield.scaling.ladder.forms import Belief, Points, laws_of
from levelfield.scaling.ladder.misses import Miss, excess_slope, misses_of
from levelfield.scaling.optimum.best_run import best_run_laws
from levelfield.scaling.tables.rungs import checked, frontier
from levelfield.scaling.tables.sized import sized_cells

TAIL_DEGREES = 4.0
"""Of the errors: a study here and there is far off, which should not set the scale for all."""
_SCALES = np.concatenate([[0.0], np.geomspace(5e-4, 0.2, 60)])
_OWN = np.linspace(0.0, 3.0, 61)
FORMS = ("saturating", "log-log")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("porian", "kyo", "language", "isoflops"):
        parser.add_argument(f"--{name}", required=True)
    given = parser.parse_args()
    found: dict[str, dict[str, tuple[Miss, ...]]] = defaultdict(dict)
    for name, columns in (*_porian(given.porian), *_kyo(given.kyo), *_isoflops(given.isoflops)):
        told = rows_of(columns, compute="flops", loss="loss", params="params", examples="tokens")
        rows = checked(told.rows)
        (cells,) = sized_cells(rows, ["all"])
        for law in best_run_laws(cells, np.random.default_rng(0)):
            found[law.form][name] = law.misses
        best = frontier(rows, "all")
        if not best.envelope:  # a cloud's envelope is no sequence of best runs
            _of_compute(found, name, [row.train_flops for row in best.runs], [row.loss for row in best.runs])
    for name, compute, loss in _language(given.language):
        _of_compute(found, name, compute, loss)
    print("| form | curves | errors | least | own | untested | farthest |\n|---|---|---|---|---|---|---|")
    for form, curves in found.items():
        _show(form, curves)


def _of_compute(
    found: dict[str, dict[str, tuple[Miss, ...]]], name: str, compute: Sequence[float], loss: Sequence[float]
) -> None:
    points = Points(
        family=name,
        currency="flops",
        compute=tuple(compute),
        loss=tuple(loss),
        chance=None,
        covariance=None,
        degrees_of_freedom=0.0,
    )
    for form in FORMS:
        laws = laws_of(points, Belief(candidate=LawForm(form)), level=0.9, generator=np.random.default_rng(0))
        if not isinstance(laws, Reason):
            found[form][name] = misses_of(next(law for law in laws if law.form == form))


def _show(form: str, curves: dict[str, tuple[Miss, ...]]) -> None:
    studies = Counter(name.split(":")[0] for name, misses in curves.items() if misses)
    rows = np.array(
        [
            (*row, 1 / len(misses) / studies[name.split(":")[0]])
            for name, misses in curves.items()
            for row in _judged(misses)
        ]
    )
    if not len(rows):
        print(f"| {form} | {len(curves)} | 0 | | | | |")
        return
    error, noise, distance, slope, weight = rows.T
    known = ~np.isnan(slope)

    def likelihood(scale: np.ndarray, among: np.ndarray) -> float:
        squares = noise[among] ** 2 + (distance[among] * scale) ** 2 + 1e-10
        free = TAIL_DEGREES
        logs = -0.5 * np.log(squares) - (free + 1) / 2 * np.log1p(error[among] ** 2 / squares / free)
        return float(weight[among] @ logs)

    alone = max(_SCALES, key=lambda least: likelihood(np.full(len(rows), least), np.full(len(rows), True)))
    pairs = [(least, own) for least in _SCALES for own in _OWN]
    least, own = max(pairs, key=lambda p: likelihood(np.hypot(p[0], p[1] * slope[known]), known))
    print(f"| {form} | {len(curves)} | {len(rows)} | {least:.4f} | {own:.2f} | {alone:.4f} | {distance.max():.2f} |")


def _judged(misses: Sequence[Miss]) -> Iterator[tuple[float, float, float, float]]:
    """(error, noise, distance, own slope by then) of every miss of one curve."""
    for each in misses:
        earlier = [other for other in misses if other.cut + other.distance <= each.cut + 1e-9]
        own = excess_slope(earlier)
        yield each.error, each.noise_sd, each.distance, math.nan if own is None else own


def _porian(path: str) -> Iterator[tuple[str, dict[str, list[str]]]]:
    settings: defaultdict[str, list[dict[str, str]]] = defaultdict(list)
    with open(path, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            names = ("dataset", "hparams", "warmup", "decay", "param_count", "split")
            settings["porian: " + "/".join(row[name] for name in names)].append(row)
    for name, rows in settings.items():
        yield name, {column: [row[column] for row in rows] for column in ("flops", "loss", "params", "tokens")}


def _kyo(path: str) -> Iterator[tuple[str, dict[str, list[str]]]]:
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    meant = {"flops": "C", "loss": "loss", "params": "N", "tokens": "D"}
    yield "kyo-takano", {column: [row[name] for row in rows] for column, name in meant.items()}


def _isoflops(path: str) -> Iterator[tuple[str, dict[str, list[str]]]]:
    """One sweep of every source but those that others hold better: Chinchilla twice, Llama 3 in another unit."""
    sweeps: defaultdict[str, list[dict[str, str]]] = defaultdict(list)
    with open(path, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["source"] != "epochai_chinchilla" and row["condition"] != "raw_loss":
                sweeps[f"{row['source']}: {row['dataset']}"].append(row)
    meant = {"flops": "budget", "loss": "loss", "params": "params", "tokens": "tokens"}
    for name, rows in sweeps.items():
        yield name, {column: [row[own] for row in rows] for column, own in meant.items()}


def _language(path: str) -> Iterator[tuple[str, list[float], list[float]]]:
    curves: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    with open(path, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            curves[f"{row['Domain']}: {row['Task']}, {row['Model']}"].append(
                (float(row["Seen Examples"]), float(row["Loss"]))
            )
    for name, rows in curves.items():
        compute, loss = zip(*sorted(rows), strict=True)
        yield name, list(compute), list(loss)


if __name__ == "__main__":
    main()
