"""Anybody's CSV of training runs, as observations."""

from __future__ import annotations

import csv
import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import get_args

from levelfield.records.errors import InputError, did_you_mean
from levelfield.records.observation import Observation, Role

DEFAULT_COLUMNS: Mapping[str, str] = {"compute": "flops", "loss": "loss"}
_POSITIVE = ("compute", "loss", "params", "examples", "epochs", "base_lr", "device_seconds", "chance_loss")
_TEXT = ("family", "model", "run", "role", "variant", "device", "cluster", "optimizer")
KNOWN_COLUMNS = (*_POSITIVE, *_TEXT, "seed")
"""What a column may mean. Only compute (training FLOPs) and loss are needed."""
SIX_N_D = "6ND"
"""Stands for a column of compute: six FLOPs a parameter and example (Kaplan et al., 2001.08361, section 2.1), right for
dense transformers whose examples are tokens. A convolution or a patch uses its parameters many times: count those."""


def read_runs_csv(path: str | Path, *, columns: Mapping[str, str] | None = None) -> tuple[Observation, ...]:
    """The rows of the CSV at ``path``, one finished run each.

    ``columns`` maps a meaning ("compute", "loss", "family", "params", "seed", ...; see ``KNOWN_COLUMNS``) to the name
    of a column, where it differs from ``DEFAULT_COLUMNS``. A table without a family column is one family, "all";
    without a role column its rows are taken as search results: laws are fitted to the best of them, verdicts are
    refused. Rows of one "cluster" (variants of a run, branches of a trunk) err together. Columns without a meaning
    become traits, which may be confounded with the family. Empty cells of columns other than compute and loss are
    absent. Compute may be "6ND" where the table states parameters and tokens but no FLOPs. A winner whose size or rate
    lies at the end of what the table's search rows tried gets that edge.

    Raises:
        InputError: no such file, no rows, a column that is not there, a cell that is no number or not positive.
    """
    meant = {**DEFAULT_COLUMNS, **(columns or {})}
    unknown = [meaning for meaning in meant if meaning not in KNOWN_COLUMNS]
    if unknown:
        raise InputError(f"columns: no column can mean {unknown[0]!r}{did_you_mean(unknown[0], KNOWN_COLUMNS)}")
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            names = [name.strip() for name in reader.fieldnames or ()]
            reader.fieldnames = names
            for meaning, name in meant.items():
                if name not in names and not (meaning == "compute" and name == SIX_N_D):
                    raise InputError(f"{path}: no column {name!r} for {meaning}{_hint(meaning, name, names, meant)}")
            if meant["compute"] == SIX_N_D and not {"params", "examples"} <= meant.keys():
                raise InputError(f"{path}: compute {SIX_N_D} needs the columns of params and of examples to be named")
            rows = tuple(_observation(path, line, row, meant) for line, row in enumerate(reader, start=2))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: is no CSV text: {error}") from None
    if not rows:
        raise InputError(f"{path}: has a header but no rows")
    return tuple(dataclasses.replace(row, edges=_edges(row, rows)) for row in rows)


def _hint(meaning: str, name: str, names: Sequence[str], meant: Mapping[str, str]) -> str:
    if not names:
        return " (the file is empty)"
    others = [other for other in names if other not in meant.values()]
    instead = f"; {SIX_N_D} would be six FLOPs a parameter and token" if meaning == "compute" else ""
    return f"{did_you_mean(name, others)}{instead}"


def _observation(path: str | Path, line: int, row: Mapping[str, str | None], meant: Mapping[str, str]) -> Observation:
    numbers = {
        meaning: _number(path, line, row, name, meaning)
        for meaning, name in meant.items()
        if meaning in _POSITIVE and name in row
    }
    if "compute" not in numbers:
        numbers["compute"] = 6.0 * math.prod(_stated(path, line, numbers, name) for name in ("params", "examples"))
    texts = {meaning: (row[meant[meaning]] or "").strip() for meaning in meant if meaning in _TEXT}
    role = texts.get("role") or "search"
    if role not in get_args(Role):
        raise InputError(f"{path}, line {line}: role must be one of {', '.join(get_args(Role))}, saw {role!r}")
    seed = (row[meant["seed"]] or "").strip() if "seed" in meant else ""
    family = texts.get("family") or "all"
    params = numbers.get("params")
    flops, loss = numbers["compute"] or 0.0, numbers["loss"] or 0.0
    return Observation(
        run=texts.get("run") or f"line {line}",
        family=family,
        model=texts.get("model") or (f"{family}, {params:.4g} parameters" if params else family),
        role=role,  # pyright: ignore[reportArgumentType]
        loss=loss,
        budget_flops=flops,
        train_flops=flops,
        params=params,
        examples=numbers.get("examples"),
        epochs=numbers.get("epochs"),
        base_lr=numbers.get("base_lr"),
        seed=_seed(path, line, seed, meant.get("seed", "")),
        device_seconds=numbers.get("device_seconds"),
        device=texts.get("device") or None,
        chance_loss=numbers.get("chance_loss"),
        variant=texts.get("variant", ""),
        optimizer=texts.get("optimizer", ""),
        cluster=texts.get("cluster", ""),
        traits=tuple((name, (text or "").strip()) for name, text in row.items() if name and name not in meant.values()),
    )


def _stated(path: str | Path, line: int, numbers: Mapping[str, float | None], meaning: str) -> float:
    if (value := numbers.get(meaning)) is None:
        raise InputError(f"{path}, line {line}: compute {SIX_N_D} needs {meaning}, saw an empty cell")
    return value


def _edges(row: Observation, rows: Sequence[Observation]) -> tuple[str, ...]:
    """The axes on which a winner lies at the end of what the search rows at its budget tried: only a bound there."""
    if row.role not in ("winner", "control"):
        return ()
    beside = [r for r in rows if r.role == "search" and (r.family, r.budget_flops) == (row.family, row.budget_flops)]
    rates = [r.base_lr for r in beside if r.base_lr and r.model == row.model]
    if len(set(rates)) < 2:  # its shape was moved after its rate had been found
        rates = [r.base_lr for r in beside if r.base_lr]
    sizes = [r.params for r in beside if r.params]
    axes = (("base_lr", row.base_lr, rates), ("size", row.params, sizes))
    return tuple(axis for axis, own, tried in axes if own and tried and not min(tried) < own < max(tried))


def _number(path: str | Path, line: int, row: Mapping[str, str | None], name: str, meaning: str) -> float | None:
    text = (row[name] or "").strip()
    needed = meaning in ("compute", "loss")
    if not text and not needed:
        return None
    try:
        value = float(text)
    except ValueError:
        raise InputError(f"{path}, line {line}, column {name!r}: expected a number, saw {text!r}") from None
    if not (math.isfinite(value) and value > 0):
        raise InputError(f"{path}, line {line}, column {name!r}: {meaning} must be positive and finite, saw {text!r}")
    return value


def _seed(path: str | Path, line: int, text: str, name: str) -> int:
    try:
        return int(text) if text else 0
    except ValueError:
        raise InputError(f"{path}, line {line}, column {name!r}: expected a whole number, saw {text!r}") from None
