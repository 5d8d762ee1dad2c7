"""Foretold against measured: what a plan says that trials and studies take, and what they then take.

    python -m benchmarks.foretold_time [trials] [studies]

"trials": twelve, of both families, on the quickstart's digits and on a folder of JPEGs made on the spot. The plan's own
calibration foretells each (with nothing kept from before, so that it is paid and counted), then they run one after
another in one worker, as in a study. A trial's seconds are those that it records: steps, data and evaluation. The first
of each study also pays for pictures that are decoded once, and is foretold so.

"studies": whole small ones are planned and run; expected and at most against what the system charged their worker.

CPU seconds stretch with what else a machine does, which no plan can know. So a yardstick is taken, a fixed piece of
work of half a second, before and after the calibration and before every trial (of a study: after every third):
"machine" is how much slower it ran then than while speeds were measured.
"""

from __future__ import annotations

import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.short_trials import STUDIES
from levelfield.records.store import StudyDirectory
from levelfield.records.study import StudySpec
from levelfield.study.bill.bill import bill
from levelfield.study.bill.calibrate import calibrate
from levelfield.study.bill.foretold import Speeds
from levelfield.study.bill.supposed import supposed_courses
from levelfield.study.launch.local import LocalLauncher
from levelfield.study.plan.plan import plan
from levelfield.study.planned import PlannedTrial
from levelfield.study.run import RunProgress, run_study, study_facts
from levelfield.study.spec_file import load_study, quickstart_text

PICTURES = """
name = "pictures"
question = "How long do trials on JPEGs take?"
[data]
source = "folder"
path = "photos"
resolution = 32
augment = "resized-crop-flip"
select_examples = 200
report_examples = 400
[ladder]
budgets = [1.2e10, 3e10]
batch_coefficient = 0.15
max_epochs = 100
[[families]]
name = "nfnet"
recipe = "nfnet-short"
sizes = ["nfnet:w8-d1x1-s4", "nfnet:w16-d1x1-s4"]
base_lr = { low = 0.1, start = 0.2, high = 0.4 }
lr_batch_exponent = 0.0
[[families]]
name = "vit"
recipe = "vit-short"
sizes = ["vit:w16-d1-p8", "vit:w32-d1-p8"]
base_lr = { low = 0.032, start = 0.064, high = 0.128 }
lr_batch_exponent = 0.5
"""
MOST_SECONDS = 25.0
EACH_FAMILY = 3


def write_photographs(folder: Path, number: int = 2400) -> None:
    """JPEGs of 128 x 96 pixels in four classes."""
    rng = np.random.default_rng(0)
    for place in range(number):
        small = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
        file = folder / "abcd"[place % 4] / f"{place}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        small.resize((128, 96), Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)


def studies(folder: Path) -> Iterator[StudySpec]:
    write_photographs(folder / "photos")
    (folder / "pictures.toml").write_text(PICTURES)
    (folder / "digits.toml").write_text(quickstart_text())
    yield load_study(folder / "digits.toml", ["ladder.budgets=[4.75e9, 1.52e10]", "data.report_examples=4000"])
    yield load_study(folder / "pictures.toml")


def children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def yardstick() -> float:
    """CPU seconds of a fixed piece of work: what networks of convolutions do, in small."""
    begin = time.process_time()
    torch.manual_seed(0)
    images, kernel = torch.randn(32, 16, 24, 24), torch.randn(16, 16, 3, 3, requires_grad=True)
    for _ in range(24):
        found = images
        for _ in range(4):
            found = torch.nn.functional.gelu(torch.nn.functional.conv2d(found, kernel / 12, padding=1))
        found.square().mean().backward()
    return time.process_time() - begin


def foretold_and_measured(spec: StudySpec, folder: Path) -> list[float]:
    """Print a row a trial; foretold over measured of each."""
    facts = study_facts(spec)
    planned = plan(spec, facts, {})
    courses = supposed_courses(spec, facts, planned, at_most=100)
    sticks, before = [yardstick()], children_seconds()
    speeds = calibrate(spec, facts, planned, courses, device="cpu", anew=True)
    sticks.append(yardstick())
    calibrated = children_seconds() - before
    held = {"select": spec.data.select_examples, "report": facts.num_report or 0}
    chosen = [*_chosen(courses[0], speeds, held)]
    before = children_seconds()
    launcher = LocalLauncher(folder, num_workers=1, device="cpu", execution=spec.execution, checkpoint_seconds=1e6)
    slower = []
    for trial in chosen:
        slower.append(yardstick() / statistics.mean(sticks))
        launcher.submit(trial)
        while (event := launcher.next_event()) is None or event.kind in ("started", "progress"):
            pass
        assert event.kind == "finished", event
    launcher.close()
    charged = children_seconds() - before
    ratios, sums = [], [0.0, 0.0]
    first = speeds.first_seconds(train_examples=chosen[0].spec.examples, held_examples=held[chosen[0].spec.held_out])
    start = speeds.first_seconds(train_examples=0, held_examples=0)
    for number, trial in enumerate(chosen):
        told, timing = (
            speeds.of(trial.spec, held_examples=held[trial.spec.held_out]),
            StudyDirectory(folder).trial(trial.spec).timing(),
        )
        assert timing is not None
        once = first - start if number == 0 else 0.0
        a = told.step + told.data + told.evaluate + once
        b = timing.device_seconds + timing.data_seconds + timing.evaluate_seconds
        ratios.append(a / b)
        sums = [sums[0] + a + told.around, sums[1] + b]
        print(
            f"| {spec.name} | {trial.spec.architecture}, {trial.spec.steps} x {trial.spec.global_batch_size}, "
            f"{trial.spec.held_out} | {told.step:.2f} + {told.data + once:.2f} + {told.evaluate:.2f} | "
            f"{timing.device_seconds:.2f} + {timing.data_seconds:.2f} + {timing.evaluate_seconds:.2f} | "
            f"{a / b:.2f} | {slower[number]:.2f} |",
            flush=True,
        )
    whole = sums[0] + start
    print(
        f"| {spec.name} | all, the worker's start and what is around trials with them | {whole:.1f} | {charged:.1f} | "
        f"{whole / charged:.2f} | |"
    )
    print(f"| {spec.name} | the calibration took | | {calibrated:.1f} | | |", flush=True)
    return ratios


def _chosen(course: list[PlannedTrial], speeds: Speeds, held: dict[str, int]) -> Iterator[PlannedTrial]:
    """Of both families trials of different shapes or splits, none of them long."""
    taken: dict[str, set[tuple[str, int, str]]] = {}
    for trial in course:
        spec = trial.spec
        kind, known = (spec.architecture, spec.global_batch_size, spec.held_out), taken.setdefault(trial.family, set())
        seconds = speeds.of(spec, held_examples=held[spec.held_out]).total
        if kind not in known and len(known) < EACH_FAMILY and seconds < MOST_SECONDS:
            known.add(kind)
            yield trial


def whole_study(name: str, folder: Path) -> None:
    text, options = STUDIES[name]
    (folder / "study.toml").write_text(text)
    spec = load_study(folder / "study.toml", options[1::2])
    facts = study_facts(spec)
    planned = plan(spec, facts, {})
    courses = supposed_courses(spec, facts, planned, at_most=100)
    sticks = [yardstick()]
    speeds = calibrate(spec, facts, planned, courses, device="cpu", anew=True)
    sticks.append(yardstick())
    told, before, during = bill(spec, facts, planned, courses, speeds), children_seconds(), sticks[-1:]

    def on_progress(progress: RunProgress) -> None:
        if progress.event.kind == "finished" and progress.done % 3 == 0:
            during.append(yardstick())

    done = run_study(spec, folder / "run", device="cpu", on_progress=on_progress)
    charged, slower = children_seconds() - before, statistics.mean(during) / statistics.mean(sticks)
    expected, most = told.seconds_expected() or 0.0, told.seconds_at_most() or 0.0
    print(
        f"| {name} | {told.trials_expected:.0f}, {told.trials_at_most} | {done.num_wanted} | {expected:.1f} | "
        f"{most:.1f} | {charged:.1f} | {expected / charged:.2f} | {most / charged:.2f} | "
        f"{slower:.2f} |",
        flush=True,
    )


def main() -> None:
    asked = sys.argv[1:] or ["trials", "studies"]
    print(f"torch {torch.__version__}; load {os.getloadavg()[0]:.1f} on {len(os.sched_getaffinity(0))} cores")
    with tempfile.TemporaryDirectory() as place:
        if "trials" in asked:
            print(
                "\n| study | trial | foretold s: steps + data + evaluation | measured | foretold / measured | machine |"
            )
            print("|---|---|---|---|---|---|")
            ratios = []
            for spec in studies(Path(place)):
                ratios += foretold_and_measured(spec, Path(place) / spec.name)
            low, middle, high = statistics.quantiles(ratios, n=4)
            print(
                f"\n{len(ratios)} trials: median {middle:.2f}, quartiles {low:.2f} to {high:.2f}, "
                f"from {min(ratios):.2f} to {max(ratios):.2f}"
            )
        if "studies" in asked:
            print(
                "\n| study | trials expected, at most | run | expected s | at most | charged | expected / charged "
                "| at most / charged | machine |\n|---|---|---|---|---|---|---|---|---|"
            )
            for name in STUDIES:
                folder = Path(place) / f"whole-{name}"
                folder.mkdir()
                whole_study(name, folder)


if __name__ == "__main__":
    main()
