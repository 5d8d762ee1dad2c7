"""What a shelf loses by a screen of frozen probes, on fine-tunes that were all run.

    python -m benchmarks.probe_screen                 # studies/results/0003: 47 backbones, two targets
    python -m benchmarks.probe_screen --out probe_screen.md

Of the backbones of study 0003 every one was probed and fine-tuned. Shelves are drawn from them at random; of each the
best few probes (by loss) are kept, as ``levelfield race --weights`` does, and the best fine-tune among those is held
against the best of the shelf. A fine-tune is the mean of its seeds, so some of what is lost is their noise.
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np

TRANSFERS = Path(__file__).parent.parent / "studies/results/0003/transfers.csv"
SHELVES, SIZES, KEPT = 4000, (5, 10, 20), (2, 3, 4)


def measured() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """By target: the losses of probes, and ln losses of fine-tunes, of the same backbones."""
    probes: dict[tuple[str, str], float] = {}
    tuned: dict[tuple[str, str], list[float]] = defaultdict(list)
    with TRANSFERS.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            key = row["transfer"], row["pretraining"]
            if row["arm"] == "linear":
                probes[key] = float(row["loss"])
            elif row["arm"] == "fine-tuned":
                tuned[key].append(float(row["loss"]))
    found = {}
    for target in sorted({target for target, _ in probes}):
        keys = [key for key in probes if key[0] == target and tuned[key]]
        losses = np.array([probes[key] for key in keys])
        found[target] = losses, np.log([np.mean(tuned[key]) for key in keys])
    return found


def page() -> Iterator[str]:
    yield "| target | backbones | of a shelf of | kept | best kept % | lost on average, % of loss | 95 % lose at most |"
    yield "|---|---|---|---|---|---|---|"
    draw = np.random.default_rng(2035)
    for target, (probed, tuned) in measured().items():
        for size in SIZES:
            shelves = [draw.choice(len(probed), size, replace=False) for _ in range(SHELVES)]
            for kept in KEPT:
                lost = np.array(
                    [tuned[shelf[np.argsort(probed[shelf])[:kept]]].min() - tuned[shelf].min() for shelf in shelves]
                )
                yield (
                    f"| {target} | {len(probed)} | {size} | {kept} | {100 * np.mean(lost == 0):.0f} "
                    f"| {100 * np.expm1(lost.mean()):.2f} | {100 * np.expm1(np.quantile(lost, 0.95)):.1f} |"
                )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    told = "\n".join(page()) + "\n"
    if options.out:
        options.out.write_text(told)
    print(told, end="")
