"""How planning, status, the page and a fit grow: studies of 100 to 10,000 trials, tables of 1e4 to 1e6 rows.

    uv run python -m benchmarks.growth

Nothing is trained: the losses of a study come from a formula, and its directory is written as running it would have.
"replanned" is what happens between a finished trial and the next that is handed out: the plan, what of it waits, and
how much is done; the median and the worst of 15, in the middle of the study and at its end, CPU time. "status",
"report" and "fit" are the commands as a user types them, from start to exit: seconds of the wall, and in brackets CPU
seconds.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import math
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from levelfield.compute.analytic import count
from levelfield.records.execution import Execution
from levelfield.records.fields import FieldFacts
from levelfield.records.fingerprint import digest
from levelfield.records.head import LinearHead
from levelfield.records.sealed import write_record
from levelfield.records.store import StudyDirectory
from levelfield.records.study import StudySpec
from levelfield.records.trial import HeldOutMeans, TrialResult, TrialTiming
from levelfield.study.facts import DataFacts
from levelfield.study.outcome.fixed import fix
from levelfield.study.plan.plan import Planner, plan
from levelfield.study.planned import Plan, PlannedTrial
from levelfield.study.spec_file import study_from_plain
from levelfield.tasks.classification import Classification

SHAPES = {100: (2, 2), 1_000: (8, 12), 10_000: (34, 60)}
"""Sizes a family and rungs that make a study of about so many trials."""
ROWS = (10_000, 100_000, 1_000_000)
REPLANNED, REFUSED = 15, 3
_REPORT_EXAMPLES = 20_000
_MEASURES = Classification().measures(FieldFacts(num_classes=100))
_FACTS = DataFacts(
    head=LinearHead(num_outputs=100),
    measures=_MEASURES,
    in_channels=1,
    resolution=32,
    num_train=2**40,
    fingerprint="synthetic",
    num_report=_REPORT_EXAMPLES,
)


def study(sizes: int, rungs: int) -> StudySpec:
    """Two families of so many sizes on so many rungs from 1e12 to 1e15 FLOPs, two axes beside the rate,
    every rung audited."""
    batch = {"field": "batch_factor", "values": [0.25, 0.5, 1, 2, 4]}
    widths = [8 + 4 * place for place in range(sizes)]
    budgets = [float(f"{budget:.4g}") for budget in np.geomspace(1e12, 1e15, rungs)]
    nfnets = sorted((f"nfnet:w{width}-d1x1-s4" for width in widths), key=_params)
    return study_from_plain(
        {
            "name": "growth",
            "question": "How does it grow?",
            "data": {"source": "digit-pairs"},
            "ladder": {"budgets": budgets},
            "search": {"audit_budgets": budgets},
            "verdict": {"seeds": 5},
            "families": [
                {
                    "name": "nfnet",
                    "recipe": "nfnet-short",
                    "sizes": nfnets,
                    "base_lr": {"low": 0.0125, "start": 0.2, "high": 6.4},
                    "lr_batch_exponent": 0.0,
                    "axes": {
                        "batch": batch,
                        "stabiliser": {"field": "recipe.agc_lambda", "values": [0.04, 0.08, 0.16, 0.32, 0.64]},
                    },
                },
                {
                    "name": "vit",
                    "recipe": "vit-short",
                    "sizes": [f"vit:w{2 * width}-d2-p8" for width in widths],
                    "base_lr": {"low": 0.002, "start": 0.032, "high": 1.024},
                    "lr_batch_exponent": 0.5,
                    "axes": {
                        "batch": batch,
                        "stabiliser": {"field": "recipe.beta2", "values": [0.8, 0.9, 0.95, 0.98, 0.99]},
                    },
                },
            ],
        }
    )


def _params(architecture: str) -> int:
    return count(architecture, resolution=32, num_outputs=100, in_channels=1).params


def outcome(trial: PlannedTrial) -> TrialResult:
    """A finished trial: a law of size and examples, a bowl along the rate, a hundredth of noise."""
    spec = trial.spec
    params = _params(spec.architecture)
    off_rate = math.log2(trial.base_lr / {"nfnet": 0.2, "vit": 0.032}[trial.family]) + 0.2 * math.log10(spec.examples)
    law = 0.5 + 40.0 / params**0.35 + 60.0 / spec.examples**0.35
    noise = random.Random(spec.fingerprint).gauss(0, 0.01) + 0.03 * bool(trial.variant)
    loss = law * math.exp(0.02 * (off_rate - 1) ** 2 + noise)
    return TrialResult(
        fingerprint=spec.fingerprint,
        status="finished",
        params=params,
        steps=spec.steps,
        examples_seen=spec.examples,
        epochs=spec.examples / _FACTS.num_train,
        train_flops=trial.budget_flops,
        evaluate_flops=1.0,
        train_loss=loss,
        held_out={
            spec.held_out: HeldOutMeans(values={"loss": loss, "error": loss / 10}, num_examples=_REPORT_EXAMPLES)
        },
        measures=_MEASURES,
        seen_digest="0" * 32,
        data_fingerprint=_FACTS.fingerprint,
        executions=(Execution(device="none", torch_version="0"),),
        levelfield_version="0",
    )


def finished(spec: StudySpec) -> tuple[Plan, dict[str, TrialResult]]:
    """The study run to its end, everything that waits at a time."""
    results: dict[str, TrialResult] = {}
    while pending := (planned := plan(spec, _FACTS, results)).pending(results):
        results |= {trial.spec.fingerprint: outcome(trial) for trial in pending if isinstance(trial, PlannedTrial)}
    return planned, results


def replanned(spec: StudySpec, results: dict[str, TrialResult], share: float) -> tuple[float, float]:
    """Median and worst seconds from one result more to what is to be run next, with a ``share`` of ``results`` known.

    Results come in the order in which a plan asks for them.
    """
    order = list(results)
    begin = min(int(share * len(order)), len(order) - REPLANNED)
    planner = Planner(spec, _FACTS, {key: results[key] for key in order[:begin]})
    planner.newly_wanted()
    seconds = []
    for key in order[begin : begin + REPLANNED]:
        begun = time.process_time()
        planner.learn(key, results[key])
        new, done = planner.newly_wanted(), planner.num_wanted - planner.num_waiting
        seconds.append(time.process_time() - begun)
        assert done + len(new) > 0
    return statistics.median(seconds), max(seconds)


def written(path: Path, spec: StudySpec, planned: Plan, results: dict[str, TrialResult]) -> None:
    """The directory that running such a study leaves."""
    directory = StudyDirectory(path)
    directory.save_spec(spec)
    write_record(directory.facts_path, _FACTS)
    fix(directory, spec, num_results=0)
    draw = np.random.default_rng(0)
    hard = draw.lognormal(size=_REPORT_EXAMPLES)
    for trial in planned.trials:
        result, held = results[trial.spec.fingerprint], directory.trial(trial.spec)
        held.open(trial.spec)
        kept = {}
        if trial.spec.held_out == "report":
            examples = hard * draw.lognormal(sigma=0.3, size=_REPORT_EXAMPLES)
            text = io.BytesIO()
            np.save(text, (examples * result.loss("report") / examples.mean()).astype(np.float32))
            held.report_path("loss").write_bytes(text.getvalue())
            kept = {held.report_path("loss").name: digest(text.getvalue())}
        timing = TrialTiming(
            fingerprint=result.fingerprint,
            device="none",
            device_seconds=result.train_flops / 1e9,
            data_seconds=0.0,
            evaluate_seconds=0.0,
            wall_seconds=1.0,
        )
        held.finish(dataclasses.replace(result, kept=kept), timing)
        held.tell(result, timing)


def table(path: Path, rows: int) -> None:
    """A table of training runs: two families, 20 budgets, 10 sizes, five rates, a seed a row, a law and its noise."""
    draw = np.random.default_rng(1)
    with open(path, "w", newline="", encoding="utf-8") as file:
        told = csv.writer(file)
        told.writerow(("arch", "flops", "params", "examples", "lr", "seed", "val_loss", "optimizer_name"))
        budgets = np.geomspace(1e18, 1e21, 20)
        for row in range(rows):
            family, budget = ("convnet", "vit")[row % 2], budgets[row // 2 % 20]
            params = 1e6 * 2 ** (row // 40 % 10)
            rate = 0.05 * 2 ** (row // 400 % 5)
            examples = budget / (6 * params)
            off = math.log2(rate / 0.2)
            loss = (1.5 + 400 / params**0.34 + 410 / examples**0.28) * math.exp(0.02 * off**2 + draw.normal(0, 0.01))
            told.writerow(
                (family, f"{budget:.6g}", f"{params:.0f}", f"{examples:.6g}", rate, row // 2000, f"{loss:.6f}", "sgd")
            )


def command(*arguments: str | Path) -> str:
    """How long ``levelfield …`` took, by the wall and by the CPU."""
    begun, spent = time.perf_counter(), _cpu_of_children()
    given = [sys.executable, "-m", "levelfield", *map(str, arguments)]
    done = subprocess.run(given, capture_output=True, text=True, check=False)
    if done.returncode not in (0, REFUSED):
        raise SystemExit(f"{' '.join(given)} ended with {done.returncode}: {done.stderr}")
    return f"{time.perf_counter() - begun:.1f} s ({_cpu_of_children() - spent:.1f})"


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def studies(folder: Path, counts: Sequence[int]) -> None:
    print("| trials | planned from nothing | replanned in the middle | at the end | status | report | page |")
    print("|---|---|---|---|---|---|---|", flush=True)
    for about in counts:
        spec = study(*SHAPES[about])
        planned, results = finished(spec)
        begun = time.process_time()
        plan(spec, _FACTS, results)
        whole = time.process_time() - begun
        middle, end = replanned(spec, results, 0.5), replanned(spec, results, 1.0)
        path = folder / str(about)
        written(path, spec, planned, results)
        status, report = command("status", path), command("report", path)
        page = (path / "report.html").stat().st_size
        print(
            f"| {len(results):,} | {whole:.3f} s | {_told(middle)} | {_told(end)} | {status} | {report} | "
            f"{page / 1e6:.1f} MB |",
            flush=True,
        )


def _told(seconds: tuple[float, float]) -> str:
    return ", ".join(f"{1e3 * each:.1f} ms" for each in seconds)


def tables(folder: Path, counts: Sequence[int]) -> None:
    print("\n| rows | bytes | fit: family, compute and loss | and size, examples, rate and seed |")
    print("|---|---|---|---|", flush=True)
    for rows in counts:
        path = folder / f"{rows}.csv"
        table(path, rows)
        few = ("fit", path, "--family", "arch", "--loss", "val_loss")
        plain = command(*few)
        whole = command(*few, "--params", "params", "--examples", "examples", "--rate", "lr", "--seed", "seed")
        print(f"| {rows:,} | {path.stat().st_size / 1e6:.1f} MB | {plain} | {whole} |", flush=True)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        studies(Path(folder), tuple(SHAPES))
        tables(Path(folder), ROWS)


if __name__ == "__main__":
    main()
