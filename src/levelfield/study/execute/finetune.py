"""Fine-tuning one backbone: a trial like any other, with a start and another recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from levelfield.compute.analytic import count
from levelfield.compute.head_fit import head_fit_flops
from levelfield.data.arranged import examples_an_epoch
from levelfield.data.sources import Source, open_source
from levelfield.records.data import DataSpec, data_content
from levelfield.records.execution import DEFAULT_EXECUTION, ExecutionSpec
from levelfield.records.sharing import refuse_other_sharing
from levelfield.records.store import TrialDirectory
from levelfield.records.trial import CLASSIFICATION, TrialResult, TrialSpec, Weights
from levelfield.study.execute.training import OnStep
from levelfield.study.execute.trial import run_trial
from levelfield.tasks.base import refuse_missing_fields
from levelfield.tasks.registry import task_named
from levelfield.transfer.backbone import PretrainedBackbone
from levelfield.transfer.channels import suited
from levelfield.transfer.recipes import steps_of, transfer_preset, transfer_recipe


def finetune_spec(
    backbone: PretrainedBackbone,
    data: DataSpec,
    source: Source,
    *,
    recipe: str,
    peak_lr: float | None = None,
    length: str | None = None,
    global_batch_size: int | None = None,
    test_resolution: int | None = None,
    override: dict[str, Any] | None = None,
    seed: int = 0,
    weights: Weights | None = None,
    task: str = CLASSIFICATION,
) -> TrialSpec:
    """The trial that fine-tunes ``backbone`` for ``task`` on ``data``, judged on its report split; what is not said is
    the recipe's.

    Weights are judged averaged where the recipe averages them. The budget of the trial is what it costs.

    Raises:
        SpecError: there is no such recipe, field or task, the data lacks what that needs, the length is none, the
            backbone takes images of other channels, or the recipe would cut what shares statistics of BatchNorm.
    """
    backbone = suited(backbone, source.in_channels)
    published = transfer_recipe(recipe)
    batch = global_batch_size or published.global_batch_size
    made = transfer_preset(recipe, peak_lr=peak_lr or published.peak_lr, override=override)
    steps = steps_of(length or published.length, made, num_train=examples_an_epoch(source), global_batch_size=batch)
    refuse_missing_fields(task_named(task), source.fields, name=task)
    head = task_named(task).head(source.fields)
    counted = count(
        backbone.facts.architecture,
        resolution=source.resolution,
        head=head,
        in_channels=source.in_channels,
        frozen=made.frozen,
    )
    refuse_other_sharing(made, backbone.facts.architecture, shares=counted.has_batch_norm)
    examples = steps * (batch + made.ascent_examples(batch))
    fitted_flops = head_fit_flops(counted, examples_an_epoch(source)) if made.head_fit else 0.0
    return TrialSpec(
        architecture=backbone.facts.architecture,
        data=data,
        recipe=made,
        head=head,
        budget_flops=float(examples * counted.train_flops_per_example + counted.statistics_flops) + fitted_flops,
        global_batch_size=batch,
        steps=steps,
        seed=seed,
        task=task,
        held_out="report",
        weights=weights or ("ema" if made.ema_fraction > 0 else "raw"),
        start=backbone.identity,
        test_resolution=test_resolution,
        data_content=data_content(data, source.fingerprint),
    )


def finetune(
    spec: TrialSpec,
    backbone: PretrainedBackbone,
    source: Source,
    path: Path,
    *,
    device: torch.device,
    execution: ExecutionSpec = DEFAULT_EXECUTION,
    checkpoint_seconds: float = 30.0,
    on_step: OnStep = lambda report: None,
) -> TrialResult:
    """Run ``spec`` in directory ``path``, keeping its weights; the same call resumes, and a finished one is read back.

    Raises:
        StoreError: the directory holds another trial or one on other data, is in use, or cannot be written.
        DataError: an image is corrupt.
    """
    return run_trial(
        spec,
        TrialDirectory(path),
        source,
        device=device,
        execution=execution,
        backbone=backbone,
        test_source=open_source(spec.held_out_data) if spec.test_resolution is not None else None,
        keeps_weights=True,
        checkpoint_seconds=checkpoint_seconds,
        on_step=on_step,
    )
