"""The face of the laws for a notebook: what the command line says of a table, of one that lies in memory, too.

Each answer prints itself in a few lines and holds the whole records.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, TypedDict, Unpack

from levelfield.records.errors import InputError, did_you_mean
from levelfield.records.observation import Observation
from levelfield.scaling.analyse import analyse
from levelfield.scaling.ladder.belief import NOTHING_ASKED, Asked
from levelfield.scaling.laws import LAWS
from levelfield.scaling.next.predict import Prediction
from levelfield.scaling.next.predict import predict as predictions_at
from levelfield.scaling.results.analysis import Analysis
from levelfield.scaling.results.intervals import Interval
from levelfield.scaling.results.laws import LawFit, SizeLaw
from levelfield.scaling.results.optima import Optimum
from levelfield.scaling.results.refusals import LawOf, Refusal, VerdictOn
from levelfield.scaling.results.verdicts import Comparison, Control
from levelfield.scaling.tables.axes import refuse_unnamed_axes
from levelfield.scaling.tables.file import IN_MEMORY
from levelfield.scaling.tables.plausible import implausible
from levelfield.scaling.tables.pooled import refuse_pooled
from levelfield.scaling.tables.rows import Rows
from levelfield.scaling.tables.runs import Runs, read_runs

AnyRuns: TypeAlias = str | Path | Sequence[Observation] | Mapping[str, Sequence[Any]] | Any
"""A path (CSV or Parquet), observations, columns by name, a table of Arrow, or a frame of pandas or Polars."""


MOST_COMPARED = 5000
"""Of families that are compared at once: those of 100. More are runs, or nobody's question."""
_BUDGET = "budget_column"
_OF_ROWS = ("where", "drop_diverged", "drop_incomplete", "ends")


class TableReading(TypedDict, total=False):
    """How a table is read: the name of the column of each meaning, and which rows count, as :func:`read_runs` says.

    ``compute`` may be "6ND". The column of nominal budgets is ``budget_column``, since a budget is also asked about.
    """

    compute: str
    budget_column: str
    loss: str
    family: str
    model: str
    params: str
    examples: str
    unique: str
    epochs: str
    base_lr: str
    batch: str
    axes: str
    seed: str
    role: str
    variant: str
    cluster: str
    run: str
    optimizer: str
    device: str
    device_seconds: str
    chance: str
    where: Sequence[tuple[str, ...]]
    drop_diverged: bool
    drop_incomplete: bool
    ends: str


@dataclass(frozen=True, repr=False)
class FittedLaws:
    """The laws of every family of a table, the optimum of a budget, and what was refused."""

    analysis: Analysis
    runs: Sequence[Observation]

    @property
    def laws(self) -> tuple[LawFit, ...]:
        return self.analysis.laws

    @property
    def size_laws(self) -> tuple[SizeLaw, ...]:
        return self.analysis.size_laws

    @property
    def optima(self) -> tuple[Optimum, ...]:
        return self.analysis.optima

    @property
    def refusals(self) -> tuple[Refusal, ...]:
        return self.analysis.refusals

    def predict(self, *, budget: float, unique_examples: float | None = None, level: float = 0.9) -> Predictions:
        """What ``budget`` training FLOPs should give every family, by these laws as they were fitted.

        ``unique_examples`` are the distinct ones that the run may draw on: the table's largest pool where left out.

        Raises:
            InputError: the budget is no number of FLOPs that anybody could spend, or no number of examples.
            RefusedError: no family has a law.
        """
        return Predictions(predictions_at(self.analysis, budget=budget, unique_examples=unique_examples, level=level))

    def __repr__(self) -> str:
        told = [_law(law) for law in self.laws if law.chosen and law.currency == "flops"]
        held = {"laws": self.laws, "size_laws": self.size_laws, "optima": self.optima, "refusals": self.refusals}
        return "\n".join((*(told or ["no law of loss against training FLOPs"]), _holds(held)))


class Predictions(tuple[Prediction, ...]):
    """What a budget should give every family: one record each."""

    def __repr__(self) -> str:
        return "\n".join(map(_prediction, self))


@dataclass(frozen=True, repr=False)
class ComparedFamilies:
    """The verdicts on every pair of families of a table at equal compute, and what was refused."""

    analysis: Analysis
    runs: Sequence[Observation]

    @property
    def comparisons(self) -> tuple[Comparison, ...]:
        return self.analysis.comparisons

    @property
    def controls(self) -> tuple[Control, ...]:
        return self.analysis.controls

    @property
    def refusals(self) -> tuple[Refusal, ...]:
        return self.analysis.refusals

    def __repr__(self) -> str:
        held = {"comparisons": self.comparisons, "controls": self.controls, "refusals": self.refusals}
        return "\n".join((*map(_comparison, self.comparisons), _holds(held)))


def fit(
    runs: AnyRuns,
    *,
    level: float = 0.9,
    form: str | None = None,
    recency: float | None = None,
    delta: float | None = None,
    **reading: Unpack[TableReading],
) -> FittedLaws:
    """The laws of loss against compute, and of size and examples where those are known, of every family of ``runs``.

    ``level`` is that of the intervals; ``form``, ``recency`` and ``delta`` decide a law instead of the backtests (see
    :class:`Asked`).

    Raises:
        InputError: the table cannot be read as it was said to be. Weak data never raises: see ``refusals``.
    """
    asked = Asked(form=form, recency=recency, delta=delta)
    read = rows_of(runs, **reading)
    return FittedLaws(analysed(read, level=level, asked=asked, compared=False), read.rows)


def predict(
    runs: AnyRuns,
    *,
    budget: float,
    unique_examples: float | None = None,
    level: float = 0.9,
    **reading: Unpack[TableReading],
) -> Predictions:
    """What ``budget`` training FLOPs should give every family of ``runs``: loss, size, examples and learning rate.

    ``unique_examples`` are the distinct ones that the run may draw on: the table's largest pool where left out.

    Raises:
        InputError: the table cannot be read as it was said to be, or nobody could spend such a budget.
        RefusedError: no family has a law.
    """
    return fit(runs, level=level, **reading).predict(budget=budget, unique_examples=unique_examples, level=level)


def compare(
    runs: AnyRuns,
    *,
    margin: float = 0.05,
    level: float = 0.9,
    named_confounds: Sequence[str] = (),
    **reading: Unpack[TableReading],
) -> ComparedFamilies:
    """Which family of ``runs`` has the lower loss at equal compute: better, worse, equivalent or cannot tell.

    ``margin`` is that of "equivalent" in ln loss, fixed in advance; ``named_confounds`` are columns that are listed as
    confounds even where balanced.

    Raises:
        InputError: the table cannot be read as it was said to be. Weak data never raises: see ``refusals``.
    """
    read = rows_of(runs, **reading)
    return ComparedFamilies(analysed(read, margin=margin, level=level, named_confounds=named_confounds), read.rows)


def analysed(
    read: Runs,
    *,
    margin: float = 0.05,
    level: float = 0.9,
    named_confounds: Sequence[str] = (),
    compared: bool = True,
    asked: Asked = NOTHING_ASKED,
) -> Analysis:
    """Everything that :func:`analyse` says of the rows of anybody's table.

    Raises:
        InputError: the table has no column that is named a confound, or one that nobody named varies inside cells
            or splits the rows into curves of their own.
    """
    told_apart(read)
    num = len(read.rows.coded("family").present)
    if compared and num * (num - 1) > 2 * MOST_COMPARED:
        raise InputError(
            f"{read.where}: {num} families make {num * (num - 1) // 2:,} pairs, and at most {MOST_COMPARED:,} are "
            "compared: does --family name a column of single runs? --where keeps the families in question"
        )
    traits = [name for name, _ in (*read.rows[0].traits, *read.rows[0].axes)]
    for name in named_confounds:
        if name not in traits:
            raise InputError(f"{read.where}: no column {name!r} to be named a confound{did_you_mean(name, traits)}")
    analysis = analyse(
        read.rows,
        measure=read.measure,
        sizes_counted=False,
        margin=margin,
        level=level,
        data=read.where.name if isinstance(read.where, Path) else "not stated",
        named_confounds=named_confounds,
        compared=compared,
        asked=asked,
    )
    analysis = dataclasses.replace(analysis, notices=read.notices)
    return analysis if any(read.rows.coded("device_seconds").present) else _by_flops_alone(analysis)


def told_apart(read: Runs) -> Runs:
    """``read``, whose columns tell its settings and curves apart as far as they matter.

    Raises:
        InputError: one that nobody named varies inside cells, or splits the rows into curves of their own.
    """
    refuse_unnamed_axes(read.rows, read.where)
    refuse_pooled(read.rows, read.where)
    return read


def rows_of(runs: AnyRuns, **reading: Unpack[TableReading]) -> Runs:
    """The rows of anybody's ``runs``, read as ``reading`` says.

    Raises:
        InputError: the table cannot be read as it was said to be.
    """
    if isinstance(runs, Sequence) and runs and all(isinstance(row, Observation) for row in runs):
        if any(reading.values()):
            raise InputError(f"observations have no columns to be read by; leave out {', '.join(reading)}")
        rows = Rows.of(runs)
        doubts = implausible(rows, where=IN_MEMORY, loss="loss", place_of=lambda row: f"run {rows[row].run!r}")
        return Runs(rows, doubts, IN_MEMORY)
    columns = {name: column for name, column in reading.items() if name not in (*_OF_ROWS, _BUDGET)}
    if _BUDGET in reading:
        columns["budget"] = reading[_BUDGET]
    chosen: Any = {name: given for name, given in reading.items() if name in _OF_ROWS}
    return read_runs(runs, columns=columns, **chosen)  # pyright: ignore[reportArgumentType]


def _by_flops_alone(analysis: Analysis) -> Analysis:
    """The analysis of a table that states no timings, without the rows that would say so once a pair of families."""
    return dataclasses.replace(
        analysis,
        comparisons=tuple(each for each in analysis.comparisons if each.currency == "flops"),
        refusals=tuple(
            each
            for each in analysis.refusals
            if not (isinstance(each.what, LawOf | VerdictOn) and each.what.currency == "device_seconds")
        ),
    )


def _law(law: LawFit) -> str:
    parameters = ", ".join(f"{name} = {_interval(value)}" for name, value in law.parameters.items())
    span = f"{law.num_budgets} budgets from {law.fitted_low:.3g} to {law.fitted_high:.3g} FLOPs"
    return f"{law.family}: {LAWS[law.form].equation}: {parameters}; {span}"


def _prediction(found: Prediction) -> str:
    sizes = {"parameters": found.params, "examples": found.examples, "base learning rate": found.base_lr}
    told = [f"loss {_interval(found.loss)}"] if found.loss else []
    told += [f"{value:.3g} {name}" for name, value in sizes.items() if value is not None]
    return f"{found.family} at {found.budget_flops:.3g} FLOPs: {', '.join(told) or 'nothing'}"


def _comparison(found: Comparison) -> str:
    overall = found.overall
    seen = "" if overall.difference is None else f", ln loss lies {_interval(overall.difference)} apart"
    return f"{found.a} against {found.b} in {found.currency}: {overall.verdict}{seen}"


def _interval(found: Interval) -> str:
    return f"{found.estimate:.4g} [{found.low:.4g}, {found.high:.4g}]"


def _holds(records: Mapping[str, Sequence[Any]]) -> str:
    return "(" + ", ".join(f"{len(found)} in .{name}" for name, found in records.items()) + ")"
