"""What share of a trial's time passes waiting for data, by threads that render ahead; and whether its result is equal.

    python -m benchmarks.waiting [STEPS]

Trials of the quickstart's data (digit pairs drawn by index) and of a folder of JPEGs, on a CPU, one thread that trains.
The share is of the time from the first step to the last by the clock on the wall; the result is compared whole.
"""

from __future__ import annotations

import dataclasses
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from levelfield.data.sources import open_source
from levelfield.records.data import DataSpec, DigitPairsSpec, ImagesSpec, data_content
from levelfield.records.execution import ExecutionSpec
from levelfield.records.head import LinearHead
from levelfield.records.store import TrialDirectory
from levelfield.records.trial import TrialResult, TrialSpec
from levelfield.study.execute.trial import run_trial
from levelfield.study.launch.environment import worker_environment
from levelfield.study.plan.recipes import preset

THREADS = (0, 1, 2)


def photographs(folder: Path) -> ImagesSpec:
    """400 JPEGs of 96 x 80 pixels in four classes."""
    rng = np.random.default_rng(0)
    for number in range(400):
        small = Image.fromarray(rng.integers(0, 256, (6, 5, 3), dtype=np.uint8))
        file = folder / "abcd"[number % 4] / f"{number}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        small.resize((96, 80), Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
    return ImagesSpec(
        path=str(folder), resolution=64, augment="resized-crop-flip", select_examples=40, report_examples=40
    )


def trial(data: DataSpec, architecture: str, steps: int) -> TrialSpec:
    source = open_source(data)
    recipe = preset("nfnet-short", peak_lr=0.2)
    return TrialSpec(
        architecture=architecture,
        data=data,
        recipe=recipe,
        head=LinearHead(num_outputs=source.fields.num_classes or 0),
        budget_flops=1e12,
        global_batch_size=32,
        steps=steps,
        weights="raw" if recipe.ema_fraction == 0 else "ema",
        data_content=data_content(data, source.fingerprint),
    )


def main() -> None:
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 150
    if os.environ.get("OMP_NUM_THREADS") != "1" or "MALLOC_MMAP_THRESHOLD_" not in os.environ:
        os.execve(sys.executable, [sys.executable, "-m", "benchmarks.waiting", *sys.argv[1:]], worker_environment(1))
    print(f"{steps} steps of 32 examples; torch {torch.__version__}; load {os.getloadavg()[0]:.1f}")
    print("\n| data | network | threads ahead | waits | device-seconds | data-seconds | result |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        small = DigitPairsSpec(select_examples=512, report_examples=512)
        for data, architecture in ((small, "nfnet:w8-d1x1-s4"), (photographs(Path(folder)), "nfnet:w32-d1x1")):
            spec, first = trial(data, architecture, steps), None
            for threads in THREADS:
                with tempfile.TemporaryDirectory() as place:
                    directory, execution = TrialDirectory(Path(place)), ExecutionSpec(prefetch=threads)
                    source = open_source(data)
                    result = run_trial(spec, directory, source, device=torch.device("cpu"), execution=execution)
                    timing = directory.timing()
                first = first or result
                assert timing is not None
                print(
                    f"| {data.source} | {architecture} | {threads} | {100 * (timing.waited or 0):.1f} % | "
                    f"{timing.device_seconds:.2f} | {timing.data_seconds:.2f} | {_compared(first, result)} |",
                    flush=True,
                )


def _compared(first: TrialResult, result: TrialResult) -> str:
    same = dataclasses.replace(result, executions=first.executions) == first
    return "the same bits" if same else "OTHER"


if __name__ == "__main__":
    main()
