"""What the verbs that read anybody's table share: options that say what its columns mean and which rows count."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer

_COLUMNS = {
    "compute": ("compute", "training compute ('flops' if left out), or 6ND"),
    "budget": ("budget", "nominal budgets, where measured compute differs a little from run to run"),
    "loss": ("loss", "held-out loss ('loss' if left out)"),
    "family": ("family", "names of families; A,B joins two columns"),
    "model": ("model", "names of models"),
    "params": ("params", "parameter counts"),
    "examples": ("examples", "examples or tokens seen; needed, with --params, for the optimum"),
    "unique": ("unique", "distinct examples, from which epochs follow"),
    "epochs": ("epochs", "epochs"),
    "base_lr": ("rate", "peak learning rates, at one batch size"),
    "batch": ("batch", "batch sizes, where a search varies them"),
    "seed": ("seed", "seeds"),
    "role": ("role", "roles (search, winner, control)"),
    "cluster": ("cluster", "what rows share: variants of a run, branches of a trunk"),
    "device_seconds": ("seconds", "device-seconds"),
    "device": ("device", "names of devices"),
    "chance": ("chance", "the loss of chance"),
}
"""What a column may mean to :func:`levelfield.scaling.tables.runs.read_runs`: its option, and its help."""
_WITH_SUFFIX = ("budget", "device")
"""Options that some verb has for something else: everywhere they may be written --budget-column, --device-column."""


@dataclass(frozen=True, kw_only=True)
class TableOptions:
    """How a table is to be read: ``reading`` is what :func:`levelfield.scaling.tables.runs.read_runs` is told."""

    reading: Mapping[str, Any]

    @property
    def given(self) -> bool:
        """Whether the command line says anything of a table."""
        return any(self.reading.values())


def reads_table(verb: Callable[..., None]) -> Callable[..., None]:
    """``verb`` with the options of a table on the command line where it has its parameter ``table``."""
    own = inspect.signature(verb, eval_str=True).parameters
    columns = {f"{meaning}_column": _column(name, said, own) for meaning, (name, said) in _COLUMNS.items()}
    rows = {
        "axis": _AXIS,
        "where": _WHERE,
        "drop_diverged": _DROP_DIVERGED,
        "drop_incomplete": _DROP_INCOMPLETE,
        "ends": _ENDS,
    }
    parameters = []
    for name, parameter in own.items():
        shared = {**columns, **rows} if name == "table" else {name: parameter}
        parameters.extend(each.replace(name=given, kind=each.KEYWORD_ONLY) for given, each in shared.items())

    @functools.wraps(verb)
    def with_table(**given: Any) -> None:
        named = {meaning: given.pop(f"{meaning}_column") for meaning in _COLUMNS}
        named["axes"] = ",".join(given.pop("axis") or ())
        reading = {name: given.pop(name) for name in ("drop_diverged", "drop_incomplete", "ends")}
        reading["columns"] = {meaning: name for meaning, name in named.items() if name}
        reading["where"] = _conditions(given.pop("where") or ())
        verb(table=TableOptions(reading=reading), **given)

    with_table.__signature__ = inspect.Signature(parameters)  # pyright: ignore[reportAttributeAccessIssue]
    return with_table


def _column(name: str, said: str, own: Mapping[str, Any]) -> inspect.Parameter:
    flags = [f"--{name}"] * (name not in own) + [f"--{name}-column"] * (name in _WITH_SUFFIX)
    return _option(str | None, typer.Option(*flags, metavar="COLUMN", help=f"Table: column of {said}."), None)


def _option(kind: Any, option: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(
        "option", inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, option]
    )


_AXIS = _option(
    list[str] | None,
    typer.Option(
        "--axis",
        metavar="COLUMN",
        help="Table: column of another setting that a search varies (repeatable): its rows are no seeds of a cell.",
    ),
    None,
)
_WHERE = _option(
    list[str] | None,
    typer.Option(
        "--where",
        metavar="COLUMN=VALUE",
        help="Table: keep rows with this value (repeatable; of a column, any), or by !=, <, <=, > or >=.",
    ),
    None,
)
_DROP_DIVERGED = _option(
    bool,
    typer.Option("--drop-diverged", help="Table: leave out rows whose loss is empty, nan or inf, and say how many."),
    False,
)

_DROP_INCOMPLETE = _option(
    bool,
    typer.Option("--drop-incomplete", help="Table: leave out rows that do not state their compute, and say how many."),
    False,
)
_ENDS = _option(
    str | None,
    typer.Option(
        "--ends", metavar="COLUMN", help="Table: column that names runs; of each the row of the most compute is kept."
    ),
    None,
)


def _conditions(texts: Sequence[str]) -> list[tuple[str, ...]]:
    if not texts:
        return []
    from levelfield.scaling.tables.kept import condition_of

    return [condition_of(text) for text in texts]
