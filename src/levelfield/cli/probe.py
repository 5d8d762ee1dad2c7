"""``levelfield probe``: what frozen features are worth on other data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from levelfield.cli.data import (
    AdaptChannels,
    Arch,
    DataPlace,
    ImageColumn,
    Key,
    LabelColumn,
    Report,
    ReportPlace,
    Resolution,
    Select,
    Start,
)
from levelfield.cli.run import Device, TrialThreads

EXAMPLES = "Example:  levelfield probe runs/STUDY/trials/NAME --data flowers --resolution 64 --probes linear,knn"


def probe(
    start: Start,
    data: DataPlace,
    resolution: Resolution,
    report_data: ReportPlace = None,
    arch: Arch = None,
    key: Key = None,
    adapt_channels: AdaptChannels = False,
    image_column: ImageColumn = None,
    label_column: LabelColumn = None,
    probes: Annotated[str, typer.Option(help="Some of linear, few-shot and knn.")] = "linear,few-shot,knn",
    examples: Annotated[int | None, typer.Option(help="Training images to fit on; all when left out.", min=1)] = None,
    select: Select = 100,
    report: Report = None,
    directory: Annotated[Path, typer.Option("--dir", help="Where results and features live.")] = Path("runs/probe"),
    device: Device = "auto",
    threads: TrialThreads = 1,
    json: Annotated[bool, typer.Option("--json", help="Print JSON for a program.")] = False,
) -> None:
    """Probe frozen features: logistic regression, ridge regression of a few shots, nearest neighbours."""
    from levelfield.cli.console import say, say_json, say_table
    from levelfield.cli.data import named_data
    from levelfield.data.sources import open_source, refuse_overruled_sizes
    from levelfield.records.codec import from_plain
    from levelfield.records.data import data_content
    from levelfield.records.execution import ExecutionSpec
    from levelfield.records.probe import ProbeSpec
    from levelfield.records.probe_store import ProbeDirectory
    from levelfield.report.words.numbers import flops, percent
    from levelfield.study.execute.backbones import backbone_at
    from levelfield.study.execute.probe import run_probe
    from levelfield.train.device import resolve_device
    from levelfield.transfer.channels import suited

    execution, where = ExecutionSpec(threads=threads), resolve_device(device)
    backbone = backbone_at(start, device=where, arch=arch, key=key)
    said = named_data(
        data,
        report_data,
        resolution=resolution,
        select=select,
        report=report,
        image_column=image_column,
        label_column=label_column,
    )
    source = open_source(said)
    refuse_overruled_sizes(source, report)
    backbone = suited(backbone, source.in_channels, adapt=adapt_channels)
    plain = {"probes": [name.strip() for name in probes.split(",")], "num_train": examples, "data": said}
    plain |= {"data_content": data_content(said, source.fingerprint)}
    named = {"architecture": backbone.facts.architecture, "start": backbone.identity}
    spec = from_plain(ProbeSpec, plain | named, where="--probes")
    kept = ProbeDirectory(directory / spec.name)
    features = directory / "features"
    result = run_probe(spec, kept, source, backbone, features_folder=features, device=where, execution=execution)
    if json:
        say_json(result)
        return
    say(f"{spec.architecture} from {spec.start}: {result.num_features} features, {result.num_report} held-out images")
    rows = [
        (
            score.probe,
            "" if score.shots is None else str(score.shots),
            "" if score.seed is None else str(score.seed),
            percent(score.top1),
            "" if score.loss is None else f"{score.loss:.4f}",
            score.setting,
        )
        for score in result.scores
    ]
    say_table("Probes", ("probe", "shots", "seed", "top-1", "loss", "setting"), rows)
    say(f"features {flops(result.train_flops)}, solver {flops(result.solver_flops)}")
    say(f"chance {percent(result.chance_top1)}")
