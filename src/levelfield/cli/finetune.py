"""``levelfield finetune``: a trained backbone on other data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from levelfield.cli.data import (
    AdaptChannels,
    Arch,
    DataPlace,
    IgnoreIndex,
    ImageColumn,
    Key,
    LabelColumn,
    MaskColumn,
    NumClasses,
    Report,
    ReportPlace,
    Resolution,
    Select,
    SequenceColumn,
    SplitColumn,
    Start,
    Stretch,
)
from levelfield.cli.run import CheckpointEvery, Device, TrialThreads

EXAMPLES = "Example:  levelfield finetune runs/STUDY/trials/NAME --data flowers --resolution 64 --length '20 epochs'"

NAMED_RECIPES = (
    "nfnet-jft, big-vision, paper-50-epochs, paper-50-epochs-repeated, short-probed, short-sgd or short-sam; left out: "
    "short-probed, and short-sgd for tasks other than classification."
)


def finetune(
    start: Start,
    data: DataPlace,
    resolution: Resolution,
    report_data: ReportPlace = None,
    arch: Arch = None,
    key: Key = None,
    adapt_channels: AdaptChannels = False,
    image_column: ImageColumn = None,
    label_column: LabelColumn = None,
    task: Annotated[str, typer.Option(help="What is learnt: classification, or segmentation.")] = "classification",
    mask_column: MaskColumn = None,
    split_column: SplitColumn = None,
    sequence_column: SequenceColumn = None,
    num_classes: NumClasses = None,
    ignore_index: IgnoreIndex = None,
    stretch: Stretch = None,
    test_resolution: Annotated[int | None, typer.Option(help="Judge at another image side.", min=1)] = None,
    recipe: Annotated[str | None, typer.Option(help=NAMED_RECIPES)] = None,
    lr: Annotated[float | None, typer.Option(help="Peak learning rate; the recipe's when left out.")] = None,
    length: Annotated[str | None, typer.Option(help="'20 epochs', '500 steps' or '1e5 examples'.")] = None,
    batch: Annotated[int | None, typer.Option(help="Examples an update.", min=1)] = None,
    change: Annotated[
        list[str] | None, typer.Option("--set", help="A field of the recipe, such as sam_rho=0.1; repeatable.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of order, augmentation and dropout.")] = 0,
    select: Select = 100,
    report: Report = None,
    augment: Annotated[str | None, typer.Option(help="none, flip, crop-flip or resized-crop-flip.")] = None,
    randaugment: Annotated[str | None, typer.Option(help="RandAugment in timm's words, such as rand-m9-n2.")] = None,
    directory: Annotated[Path | None, typer.Option("--dir", help="Where the run lives.")] = None,
    device: Device = "auto",
    threads: TrialThreads = 1,
    checkpoint_every: CheckpointEvery = 30.0,
    json: Annotated[bool, typer.Option("--json", help="Print JSON for a program.")] = False,
) -> None:
    """Fine-tune a trained backbone: new head, same weights, another resolution if asked. Run again to resume."""
    from levelfield.cli.console import say, say_json
    from levelfield.cli.data import masked_data, named_data
    from levelfield.data.sources import open_source, refuse_overruled_sizes
    from levelfield.records.errors import SpecError, TrialError
    from levelfield.records.execution import ExecutionSpec
    from levelfield.report.words.measures import in_words
    from levelfield.report.words.numbers import flops
    from levelfield.study.execute.backbones import backbone_at
    from levelfield.study.execute.finetune import finetune as run_finetune
    from levelfield.study.execute.finetune import finetune_spec
    from levelfield.tasks.registry import task_named
    from levelfield.train.device import resolve_device
    from levelfield.transfer.channels import suited
    from levelfield.transfer.recipes import default_recipe, transfer_recipe

    recipe = recipe or default_recipe(task)
    execution, where = ExecutionSpec(threads=threads), resolve_device(device)
    backbone = backbone_at(start, device=where, arch=arch, key=key)
    sizes = {"resolution": resolution, "select": select, "report": report, "augment": augment}
    of_masks = {
        "mask_column": mask_column,
        "split_column": split_column,
        "sequence_column": sequence_column,
        "num_classes": num_classes,
        "ignore_index": ignore_index,
        "stretch": stretch,
    }
    if "mask" in task_named(task).fields:
        if report_data is not None or label_column is not None:
            raise SpecError("--report-data and --label-column mean nothing of masks: --split-column names parts")
        if randaugment is not None:
            raise SpecError("--randaugment is of labelled images: crops and flips move a mask with its picture")
        said = masked_data(data, image_column=image_column, **sizes, **of_masks)
    else:
        for name, value in of_masks.items():
            if value is not None:
                raise SpecError(f"--{name.replace('_', '-')} is of masks, which task {task!r} does not learn from")
        said = named_data(
            data,
            report_data,
            image_column=image_column,
            label_column=label_column,
            randaugment=randaugment,
            **sizes,
        )
    source = open_source(said)
    refuse_overruled_sizes(source, report)
    backbone = suited(backbone, source.in_channels, adapt=adapt_channels)
    spec = finetune_spec(
        backbone,
        said,
        source,
        recipe=recipe,
        peak_lr=lr,
        length=length,
        global_batch_size=batch,
        test_resolution=test_resolution,
        override=dict(_changed(text) for text in change or ()),
        seed=seed,
        task=task,
    )
    path = directory or Path("runs") / "finetune" / spec.name
    if not json:
        say(f"{spec.architecture} from {backbone.identity}, {spec.steps} steps of {spec.global_batch_size}: {path}")
        for unsaid in transfer_recipe(recipe).unsaid:
            say(f"  not in the source of {recipe}: {unsaid}")
    result = run_finetune(
        spec, backbone, source, path, device=where, execution=execution, checkpoint_seconds=checkpoint_every
    )
    if json:
        say_json(result)
    if result.status == "diverged":
        raise TrialError(f"{path} has diverged: {result.reason}; try a lower --lr, in another --dir")
    if json:
        return
    held_out = result.held_out["report"]
    say(f"{in_words(result.measures, held_out)} on {held_out.num_examples} held-out images")
    before = "unknown" if result.start_flops is None else flops(result.start_flops)
    say(f"fine-tuning {flops(result.train_flops)}; pre-training {before}")


def _changed(text: str) -> tuple[str, Any]:
    """``sam_rho=0.1`` as a field and its value, read as JSON; what is no JSON is a word."""
    import json

    from levelfield.records.errors import SpecError

    field, equals, value = text.partition("=")
    if not equals:
        raise SpecError(f"--set takes FIELD=VALUE, saw {text!r}")
    try:
        return field, json.loads(value)
    except (ValueError, RecursionError):
        return field, value
