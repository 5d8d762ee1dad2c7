"""What a fractal costs: pictures a second of one CPU core, and of a GPU where there is one.

    python -m benchmarks.fractals > benchmarks/results/fractals_cpu_202611.md
    python -m benchmarks.fractals --sheet sheet.png      # a row an instance, a column a class

Process time, so that what else the machine does counts less. Beside it: the digit strings, by the same clock.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from PIL import Image

from levelfield.data.generated.fractals import Fractals
from levelfield.data.source import Source
from levelfield.data.sources import open_source
from levelfield.records.drawn import DigitPairsSpec, FractalsSpec

NUM_CLASSES = 1000
BATCH = 256


def rate(source: Source, batches: int = 4) -> float:
    """Pictures a CPU second, of classes that were drawn before."""
    source.batch("train", np.arange(NUM_CLASSES))
    start = time.process_time()
    for number in range(batches):
        source.batch("train", np.arange(BATCH) + 10**6 + number * BATCH)
    return batches * BATCH / (time.process_time() - start)


def sheet(path: str, side: int = 64, classes: int = 16, instances: int = 8) -> None:
    """A contact sheet."""
    source = Fractals(FractalsSpec(num_classes=NUM_CLASSES, resolution=side))
    ids = (np.arange(instances)[:, None] * NUM_CLASSES + np.arange(classes)).ravel()
    pictures = source.batch("train", ids).fields["image"][:, 0].reshape(instances, classes, side, side)
    Image.fromarray(pictures.transpose(0, 2, 1, 3).reshape(instances * side, classes * side)).save(path)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sheet")
    asked = parser.parse_args()
    if asked.sheet:
        sheet(asked.sheet)
        return
    print("| pictures | px | a CPU second |")
    print("|---|---|---|")
    for side in (32, 64, 128):
        for pattern in ("point", "patch"):
            spec = FractalsSpec(num_classes=NUM_CLASSES, resolution=side, pattern=pattern)
            print(f"| fractals, {pattern} | {side} | {rate(open_source(spec)):,.0f} |")
    print(f"| digit pairs | 32 | {rate(open_source(DigitPairsSpec())):,.0f} |")
    fresh = Fractals(FractalsSpec(num_classes=NUM_CLASSES))
    start = time.process_time()
    fresh.batch("train", np.arange(NUM_CLASSES))
    print(f"\n{NUM_CLASSES} classes are found and drawn once each in {time.process_time() - start:.2f} CPU seconds.")


if __name__ == "__main__":
    main()
