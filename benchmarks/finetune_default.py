"""The default fine-tune against a linear probe of the same backbone, and against what it replaced, at equal compute.

``python -m benchmarks.finetune_default runs/STUDY/trials/NAME … --data digits flowers`` prints a row for each backbone,
data set and length; every arm of a row may spend what the old default took, the fitting of the head included.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch

from levelfield.cli.data import named_data
from levelfield.compute.analytic import count
from levelfield.compute.head_fit import head_fit_flops
from levelfield.data.arranged import examples_an_epoch
from levelfield.data.sources import Source, open_source
from levelfield.records.data import DataSpec, data_content
from levelfield.records.probe import ProbeSpec
from levelfield.records.probe_store import ProbeDirectory
from levelfield.study.execute.backbones import backbone_at
from levelfield.study.execute.finetune import finetune, finetune_spec
from levelfield.study.execute.probe import run_probe
from levelfield.transfer.backbone import PretrainedBackbone
from levelfield.transfer.channels import suited

CPU = torch.device("cpu")
ARMS: dict[str, dict[str, Any]] = {
    "short-sgd": {"recipe": "short-sgd"},
    "short-sgd at 0.1": {"recipe": "short-sgd", "peak_lr": 0.1},
    "short-probed": {"recipe": "short-probed"},
}
BATCH = 64


class Row(NamedTuple):
    """Held-out error and training FLOPs of one arm."""

    backbone: str
    data: str
    length: int
    arm: str
    error: float
    loss: float | None
    flops: float
    seconds: float


def rows(
    backbone: PretrainedBackbone, name: str, said: DataSpec, data: str, lengths: list[int], seeds: int
) -> Iterator[Row]:
    """The linear probe, and every arm at every length, of one backbone on one data set."""
    source = open_source(said)
    backbone = suited(backbone, source.in_channels, adapt=True)
    with tempfile.TemporaryDirectory() as scratch:
        spec = ProbeSpec(
            architecture=backbone.facts.architecture,
            start=backbone.identity,
            data=said,
            probes=("linear",),
            data_content=data_content(said, source.fingerprint),
        )
        begun = time.process_time()
        probed = run_probe(
            spec, ProbeDirectory(Path(scratch) / spec.name), source, backbone, features_folder=Path(scratch), device=CPU
        )
        (score,) = probed.scores
        taken = time.process_time() - begun
        yield Row(name, data, 0, "linear probe", 1 - score.top1, score.loss, probed.train_flops, taken)
    for length in lengths:
        for arm, asked in ARMS.items():
            for seed in range(seeds):
                yield _tuned(backbone, name, said, source, data, length, arm, asked, seed)


def _tuned(
    backbone: PretrainedBackbone,
    name: str,
    said: DataSpec,
    source: Source,
    data: str,
    length: int,
    arm: str,
    asked: dict[str, Any],
    seed: int,
) -> Row:
    counted = count(
        backbone.facts.architecture, resolution=source.resolution, num_outputs=len(source.class_names),
        in_channels=source.in_channels,
    )  # fmt: skip
    steps = length
    if asked["recipe"] == "short-probed":
        fitted = head_fit_flops(counted, examples_an_epoch(source))
        steps = max(1, int(length - fitted / (BATCH * counted.train_flops_per_example)))
    spec = finetune_spec(backbone, said, source, length=f"{steps} steps", global_batch_size=BATCH, seed=seed, **asked)
    begun = time.process_time()
    with tempfile.TemporaryDirectory() as scratch:
        result = finetune(spec, backbone, source, Path(scratch) / "run", device=CPU)
    taken = time.process_time() - begun
    held = result.held_out.get("report")
    error, loss = (1.0, None) if held is None else (held.values["error"], held.values["loss"])
    return Row(name, data, length, arm, error, loss, result.train_flops, taken)


def main() -> None:
    """Print the rows as they come."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("backbones", nargs="+", type=Path, help="Directories of trials, or files of weights.")
    parser.add_argument("--data", nargs="+", default=["digits"], help="As `levelfield finetune` takes it.")
    parser.add_argument("--resolution", type=int, default=32)
    parser.add_argument("--report", type=int, default=500)
    parser.add_argument(
        "--lengths", nargs="+", type=int, default=[60, 500], help="Steps of 64 that the old default has."
    )
    parser.add_argument("--seeds", type=int, default=1)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    print(
        "| backbone | data | steps | arm | error | loss | training FLOPs | CPU s |\n|---|---|---|---|---|---|---|---|"
    )
    for path in asked.backbones:
        backbone = backbone_at(path, device=CPU)
        name = backbone.facts.architecture
        for data in asked.data:
            said = named_data(data, None, resolution=asked.resolution, select=100, report=asked.report)
            for row in rows(backbone, name, said, Path(data).stem, asked.lengths, asked.seeds):
                loss = "-" if row.loss is None else f"{row.loss:.3f}"
                told = (row.backbone, row.data, row.length or "-", row.arm, f"{100 * row.error:.1f} %", loss)
                print("|", *(f"{each} |" for each in (*told, f"{row.flops:.2g}", f"{row.seconds:.0f}")), flush=True)


if __name__ == "__main__":
    main()
