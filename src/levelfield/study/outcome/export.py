"""A study as one table for others: a row a trial, and a dictionary of its columns."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from levelfield.records.data import num_folds
from levelfield.records.measure import Measure
from levelfield.records.transfer import TransferRow
from levelfield.records.writing import make_directory, write_atomically
from levelfield.study.outcome.costs import costs_of
from levelfield.study.outcome.outcome import Outcome
from levelfield.study.outcome.table import fold_of
from levelfield.study.outcome.transfer_table import transfer_rows

COLUMNS: dict[str, str] = {
    "trial": "identity of the trial: the fingerprint that 'code' gave its content (of an imported row, its name)",
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
    "fold": "the part of the images that judged it, where they judge in folds: those of one seed are one run",
    "split": "held-out split that the measures are of: select chooses, report judges",
    "train_loss": "training loss over the last tenth of the steps",
    "floor": "the least value of the first measure that any model can reach, where the data's is known",
    "device_seconds": "seconds of the training steps: process CPU time on a CPU, synchronised wall time on a GPU",
    "examples_per_second": "training examples a device-second",
    "mfu": "share of the device's dense peak in the trial's precision; empty where no source states the peak",
    "waited": "share of the time of its steps that it waited for data",
    "memory_bytes": "the most that its process held, on a GPU its tensors",
    "device": "device that the seconds were measured on",
    "code": "version of Levelfield and commit that finished the trial",
    "torch": "version of torch that trained it, 'A then B' where it was resumed under another",
    "threads": "threads that it computed with on a CPU",
    "masked_examples": "corrupt training images that weighed nothing",
    "data": "fingerprint of the images, or of what draws them; of an imported row, that of its table",
    "seen_digest": "digest of the examples seen, each how often and how augmented",
}


TRANSFER_COLUMNS: dict[str, str] = {
    "run": "fingerprint of the trial on the target, or of the probe and which one it is",
    "transfer": "the target",
    "arm": "fine-tuned, from scratch, linear, knn, or so many shots",
    "ranked": "True where the backbone is one of the search: it takes part in the comparison of ranks alone",
    "family": "architecture family",
    "model": "architecture in the text form of its family",
    "budget_flops": "the rung: FLOPs that pre-training was given",
    "allowed_flops": "what pre-training and transfer, or training from scratch, could spend in all",
    "pretrain_flops": "what pre-training spent; empty from scratch",
    "transfer_flops": "what was spent on the target, an ascent's second pass included",
    "num_report": "images that judged it",
    "chances": "what guessing gives there, by measure",
    "seed": "seed of the backbone, and of training from scratch",
    "pretraining": "fingerprint of the trial that it starts from",
    "pretrain_loss": "held-out loss of that trial, in nats",
    "base_lr": "peak learning rate scaled to a batch of 256",
    "spend": "share of its allowance that the arm spends",
    "edges": "searched axes whose optimum is only a bound",
    "device_seconds": "seconds of the training steps on the target",
    "pretrain_seconds": "those of pre-training",
    "device": "device that the seconds were measured on",
    "data": "fingerprint of the target's images, or of what draws them",
}


def export_study(outcome: Outcome, folder: Path) -> tuple[Path, ...]:
    """Write ``trials.csv`` and ``columns.csv`` into ``folder``; equal studies give equal bytes.

    A study that transfers has ``transfers.csv`` and ``transfer_columns.csv`` as well.

    Raises:
        StoreError: the folder cannot be written.
    """
    make_directory(folder)
    trials, columns = folder / "trials.csv", folder / "columns.csv"
    meanings = column_meanings(outcome)
    write_atomically(trials, _csv(list(meanings), (row.values() for row in rows(outcome))))
    write_atomically(columns, _csv(["column", "meaning"], meanings.items()))
    if not outcome.spec.transfer:
        return trials, columns
    transfers, told_columns = folder / "transfers.csv", folder / "transfer_columns.csv"
    lines = sorted(transfer_rows(outcome), key=lambda row: (row.transfer, row.family, row.budget_flops, row.run))
    meanings = transfer_column_meanings(outcome)
    told = [_transfer_line(row, outcome.facts.target(row.transfer).fingerprint, meanings) for row in lines]
    write_atomically(transfers, _csv(list(meanings), told))
    write_atomically(told_columns, _csv(["column", "meaning"], meanings.items()))
    return trials, columns, transfers, told_columns


def column_meanings(outcome: Outcome) -> dict[str, str]:
    """The columns of a study's table, with those of what its task measures behind "split"."""
    found: dict[str, str] = {}
    for name, meaning in COLUMNS.items():
        found[name] = meaning
        if name == "split":
            found |= {measure.name: _meaning(measure) for measure in outcome.facts.measures}
    return found


def transfer_column_meanings(outcome: Outcome) -> dict[str, str]:
    """The columns of the table of transfers, with those of what their tasks measure behind "transfer_flops"."""
    found: dict[str, str] = {}
    for name, meaning in TRANSFER_COLUMNS.items():
        found[name] = meaning
        if name == "transfer_flops":
            measures = (measure.falling for target in outcome.facts.targets for measure in target.measures)
            found |= {measure.name: _transfer_meaning(measure) for measure in measures}
    return found


def _transfer_meaning(measure: Measure) -> str:
    unit = f" in {measure.unit}" if measure.unit else ""
    return f"{measure.name}{unit} on the target's report split, lower is better; empty where the arm does not give it"


def _meaning(measure: Measure) -> str:
    unit = f" in {measure.unit}" if measure.unit else ""
    return f"held-out {measure.name}{unit}, {measure.better} is better; empty where the trial has none"


def _transfer_line(row: TransferRow, data: str, columns: Iterable[str]) -> list[Any]:
    plain = dataclasses.asdict(row) | {"edges": " ".join(row.edges), "data": data, "chances": _chances(row)}
    return [row.values.get(name) if name not in plain else plain[name] for name in columns]


def _chances(row: TransferRow) -> str:
    return " ".join(f"{name}={chance:.6g}" for name, chance in row.chances.items() if chance is not None)


def rows(outcome: Outcome) -> Iterator[dict[str, Any]]:
    """Every trial, finished or not, keyed by :func:`column_meanings`; None where a number is absent."""
    names = list(column_meanings(outcome))
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
            "fold": fold_of(spec) if spec.held_out == "report" and num_folds(spec.data) > 1 else None,
            "split": spec.held_out,
        }
        if result:
            found |= {
                name: getattr(result, name) for name in ("train_flops", "params", "epochs", "steps", "train_loss")
            }
            found |= {"examples": result.examples_seen, "device": result.execution.device}
            found |= {"torch": _in_order(each.torch_version for each in result.executions)}
            found |= {"threads": _in_order(str(each.threads) for each in result.executions)}
            found |= {"masked_examples": result.masked_examples, "seen_digest": result.seen_digest}
            found |= {"data": result.data_fingerprint, "floor": result.measure().falling.floor}
        if held_out:
            found |= held_out.values
        if timing:
            found |= {"device_seconds": timing.device_seconds, "code": timing.code_version}
        if timing and result:
            found |= costs_of(spec, result, timing)
        yield {name: found.get(name) for name in names}
    for runs in outcome.imported:
        for row in runs.rows:
            plain = dataclasses.asdict(row) | {"trial": row.run, "status": "imported", "data": runs.table}
            yield {name: plain.get(name) for name in names}


def _in_order(values: Iterable[str]) -> str:
    return " then ".join(dict.fromkeys(values))


def _csv(header: list[str], lines: Any) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(["" if value is None else value for value in line] for line in lines)
    return text.getvalue().encode()
