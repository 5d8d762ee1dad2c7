"""A study as one table for others: a row a trial, and a dictionary of its columns."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from levelfield.records.store import make_directory, write_atomically
from levelfield.study.outcome import Outcome

COLUMNS: dict[str, str] = {
    "trial": "identity of the trial: the fingerprint of its content (of an imported row, its name)",
    "family": "architecture family",
    "model": "architecture in the text form of its family",
    "role": "search, winner, control, audit, swap-search, swap, prediction or imported (docs/reference/study.md)",
    "variant": "searched axes that differ from the recipe, with their values",
    "status": "finished, diverged, failed or imported",
    "budget_flops": "the rung: training FLOPs that the trial was given",
    "train_flops": "training FLOPs spent: forward and backward, 1 multiply-accumulate = 2 FLOPs",
    "params": "parameters",
    "examples": "training examples seen",
    "epochs": "passes over the training split",
    "steps": "optimiser updates",
    "global_batch_size": "examples an update",
    "optimizer": "sgd (Nesterov momentum) or adamw",
    "recipe": "recipe preset",
    "peak_lr": "peak learning rate",
    "base_lr": "peak learning rate scaled to a batch of 256 by the family's exponent",
    "seed": "seed of weights and order",
    "split": "held-out split that loss and top1 are measured on: select chooses, report judges",
    "loss": "held-out cross-entropy in nats; empty where the trial has none",
    "top1": "held-out top-1 accuracy",
    "train_loss": "training loss over the last tenth of the steps, in nats",
    "floor_loss": "the loss that no model can beat, where the data's is known, in nats",
    "device_seconds": "seconds of the training steps: process CPU time on a CPU, synchronised wall time on a GPU",
    "device": "device that the seconds were measured on",
    "code": "version of Levelfield and commit that finished the trial",
    "torch": "version of torch",
    "masked_examples": "corrupt training images that weighed nothing",
    "seen_digest": "digest of the examples seen, each how often and how augmented",
}


def export_study(outcome: Outcome, folder: Path) -> tuple[Path, Path]:
    """Write ``trials.csv`` and ``columns.csv`` into ``folder``; equal studies give equal bytes.

    Raises:
        StoreError: the folder cannot be written.
    """
    make_directory(folder)
    trials, columns = folder / "trials.csv", folder / "columns.csv"
    write_atomically(trials, _csv(list(COLUMNS), (row.values() for row in rows(outcome))))
    write_atomically(columns, _csv(["column", "meaning"], COLUMNS.items()))
    return trials, columns


def rows(outcome: Outcome) -> Iterator[dict[str, Any]]:
    """Every trial, finished or not, keyed by ``COLUMNS``; None where a number is absent."""
    for trial in sorted(outcome.planned.trials, key=lambda t: (t.family, t.budget_flops, t.role, t.spec.name)):
        spec, key = trial.spec, trial.spec.fingerprint
        result, timing = outcome.results.get(key), outcome.timings.get(key)
        held_out = result.held_out.get(spec.held_out) if result else None
        found = {
            "trial": key,
            "family": trial.family,
            "model": spec.architecture,
            "role": trial.role,
            "variant": trial.variant,
            "status": result.status if result else "failed" if key in outcome.failed else "wanted",
            "budget_flops": trial.budget_flops,
            "global_batch_size": spec.global_batch_size,
            "optimizer": spec.recipe.optimizer,
            "recipe": spec.recipe.preset,
            "peak_lr": spec.recipe.peak_lr,
            "base_lr": trial.base_lr,
            "seed": spec.seed,
            "split": spec.held_out,
        }
        if result:
            found |= {
                name: getattr(result, name)
                for name in ("train_flops", "params", "epochs", "steps", "train_loss", "floor_loss")
            }
            found |= {"examples": result.examples_seen, "torch": result.torch_version, "device": result.device}
            found |= {"masked_examples": result.masked_examples, "seen_digest": result.seen_digest}
        if held_out:
            found |= {"loss": held_out.loss, "top1": held_out.top1}
        if timing:
            found |= {"device_seconds": timing.device_seconds, "code": timing.code_version}
        yield {name: found.get(name) for name in COLUMNS}
    for row in (row for row in outcome.table if row.role == "imported"):
        plain = dataclasses.asdict(row) | {"trial": row.run, "status": "imported"}
        yield {name: plain.get(name) for name in COLUMNS}


def _csv(header: list[str], lines: Any) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(["" if value is None else value for value in line] for line in lines)
    return text.getvalue().encode()
