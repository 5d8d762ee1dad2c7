"""From a table of runs to cells and rungs: who was best at each budget, and which seeds measured it."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import compress, pairwise
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np

from levelfield.records.errors import InputError
from levelfield.records.observation import Observation
from levelfield.records.reason import Reason
from levelfield.records.study import PROTOCOL_MAX_EPOCHS
from levelfield.scaling.fitting.fit import NEAR_CHANCE
from levelfield.scaling.results.laws import Currency
from levelfield.scaling.results.reasons.laws import BestOfRuns, LowerEnvelope, OneRunEach


@dataclass(frozen=True, kw_only=True)
class Rung:
    """The seeds of a family's winner (or of its control) at one budget, all of one cell."""

    family: str
    budget_flops: float
    runs: tuple[Observation, ...]

    @property
    def first(self) -> Observation:
        return self.runs[0]

    @property
    def num_seeds(self) -> int:
        return len(self.runs)

    @property
    def log_losses(self) -> tuple[float, ...]:
        return tuple(math.log(run.loss) for run in self.runs)

    @property
    def log_loss(self) -> float:
        """The mean over seeds of ln loss."""
        return sum(self.log_losses) / self.num_seeds

    @property
    def train_flops(self) -> float:
        return sum(run.train_flops for run in self.runs) / self.num_seeds

    @property
    def log_seconds(self) -> tuple[float, ...] | None:
        """ln device-seconds of every seed; None unless all were timed."""
        timed = [run.device_seconds for run in self.runs]
        return None if not all(timed) else tuple(math.log(seconds) for seconds in timed if seconds)

    @property
    def device_seconds(self) -> float | None:
        """The mean over seeds (geometric, as losses are)."""
        seconds = self.log_seconds
        return math.exp(sum(seconds) / len(seconds)) if seconds else None

    @property
    def devices(self) -> frozenset[str | None]:
        return frozenset(run.device for run in self.runs)

    @property
    def near_chance(self) -> bool:
        chance = self.first.chance
        return chance is not None and bool(math.exp(self.log_loss) > NEAR_CHANCE * chance)

    @property
    def data_limited(self) -> bool:
        return self.first.epochs is not None and bool(self.first.epochs > PROTOCOL_MAX_EPOCHS)

    @property
    def edges(self) -> tuple[str, ...]:
        return tuple(sorted({edge for run in self.runs for edge in run.edges}))

    def cost(self, currency: Currency) -> float | None:
        return self.budget_flops if currency == "flops" else self.device_seconds


_NEEDED = ("loss", "budget_flops", "train_flops")
_OPTIONAL = ("params", "examples", "epochs", "base_lr", "device_seconds", "chance")


def checked(observations: Iterable[Observation]) -> Rows:
    """The rows in an order of their own, so that nothing depends on the order they came in.

    Raises:
        InputError: no rows, a run twice, or a loss or compute that is not positive and finite.
    """
    rows = tuple(observations)
    if not rows:
        raise InputError("the table has no rows: give at least one finished run")
    if not _all_plain(rows):
        _refuse_first(rows)
    return _in_order(rows)


def _all_plain(rows: Sequence[Observation]) -> bool:
    """Whether every run is there once and every number positive and finite, seen column by column."""
    columns = [list(map(attrgetter(name), rows)) for name in _NEEDED]
    columns += [[value for value in map(attrgetter(name), rows) if value is not None] for name in _OPTIONAL]
    if len(set(map(attrgetter("run"), rows))) < len(rows):
        return False
    values = (np.asarray(column, dtype=float) for column in columns)
    return all(bool(np.all(np.isfinite(column) & (column > 0))) for column in values)


def _refuse_first(rows: Sequence[Observation]) -> None:
    """Say what is wrong with the first row that is."""
    seen: set[str] = set()
    for row in rows:
        if row.run in seen:
            raise InputError(f"run {row.run!r} is in the table twice")
        seen.add(row.run)
        for name in _NEEDED:
            value = getattr(row, name)
            if not (math.isfinite(value) and value > 0):
                easy = (
                    "; images that are all told apart for certain judge no network: take harder ones, or more of them"
                )
                hint = easy if name == "loss" and value == 0 else ""
                raise InputError(f"run {row.run!r}: {name} must be positive and finite, saw {value!r}{hint}")
        for name in _OPTIONAL:
            value = getattr(row, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise InputError(f"run {row.run!r}: {name} must be positive and finite or absent, saw {value!r}")


def _in_order(rows: Sequence[Observation]) -> Rows:
    """Sorted by family, budget, role, size, model, seed and run: by one after another, from the last."""
    found = list(rows)
    for name in ("run", "seed", "model"):
        found.sort(key=attrgetter(name))
    found.sort(key=lambda row: row.params or 0)
    for name in ("role", "budget_flops", "family"):
        found.sort(key=attrgetter(name))
    return Rows(found)


def rungs(rows: Sequence[Observation], role: str) -> tuple[Rung, ...]:
    """The seeds of every (family, budget) with ``role``, by family and rising budget.

    Raises:
        InputError: two different cells claim to be the winner of one rung, or a seed is there twice.
    """
    found = []
    for (family, budget), runs in grouped(having(rows, "role", role), attrgetter("family", "budget_flops")).items():
        cells = {(r.model, r.variant, r.base_lr, r.global_batch_size, r.axes, r.examples) for r in runs}
        if len(cells) > 1:
            raise InputError(f"{family} at {budget:.3g} FLOPs has {len(cells)} different cells with role {role!r}")
        seeds = [run.seed for run in runs]
        if len(set(seeds)) < len(seeds):
            raise InputError(f"{family} at {budget:.3g} FLOPs: role {role!r} repeats a seed, saw {seeds}")
        found.append(Rung(family=family, budget_flops=budget, runs=tuple(runs)))
    return tuple(found)


def seed_groups(rows: Sequence[Observation]) -> list[Rung]:
    """Search cells that were run with several seeds."""
    cells = grouped_by(
        having(rows, "role", "search", "audit"),
        *("family", "budget_flops", "model", "variant", "base_lr", "global_batch_size", "axes", "examples", "params"),
    )
    groups = [tuple({run.seed: run for run in runs}.values()) for runs in cells.values() if len(runs) > 1]
    return [
        Rung(family=runs[0].family, budget_flops=runs[0].budget_flops, runs=runs) for runs in groups if len(runs) > 1
    ]


def tuned_cells(rows: Iterable[Observation]) -> tuple[Observation, ...]:
    """The search runs of known size and length at their best settings: one a (family, budget, size, examples, epochs).

    Runs that differ by their seed alone count by their mean ln loss: the luckiest of them would be too good.
    """
    return _at_best([r for r in rows if r.role == "search" and not r.variant and r.params and r.examples], *_SIZED)


_SIZED = ("family", "budget_flops", "model", "params", "examples", "epochs")
_SIZE = ("model", "params", "examples", "epochs")
_SETTINGS = ("variant", "base_lr", "global_batch_size", "axes")
"""What a search varies inside a cell."""


def _at_best(rows: Sequence[Observation], *cell: str) -> tuple[Observation, ...]:
    """The run at the best settings of every ``cell``, with the mean ln loss of its seeds: the lowest of those means."""
    tuned: dict[Hashable, Observation] = {}
    which = attrgetter(*cell)
    for runs in replicates(rows, *dict.fromkeys((*cell, *_SIZE))):
        mean = runs[0].loss if len(runs) == 1 else math.exp(sum(math.log(run.loss) for run in runs) / len(runs))
        known = tuned.get(which(runs[0]))
        if known is None or (mean, runs[0].run) < (known.loss, known.run):
            tuned[which(runs[0])] = replace(runs[0], loss=mean)
    return tuple(tuned.values())


def replicates(rows: Sequence[Observation], *cell: str) -> list[list[Observation]]:
    """The runs of every ``cell`` and setting that differ by their seed alone.

    Rows of which neither a seed, nor a size, nor a rate is told may differ by anything: each stands for itself.
    """
    found: list[list[Observation]] = []
    for runs in grouped_by(rows, *cell, *_SETTINGS, "cluster").values():
        first = runs[0]
        alike = first.base_lr is not None or first.params is not None or first.cluster
        if alike or len({run.seed for run in runs}) == len(runs):
            found.append(runs)
        else:
            found.extend([run] for run in runs)
    return found


class Frontier(NamedTuple):
    """The best search runs of a family in rising budget, and how they were found; ``envelope`` where from a cloud."""

    runs: tuple[Observation, ...]
    how: Reason
    envelope: bool


def frontier(rows: Sequence[Observation], family: str) -> Frontier:
    """The best search run of ``family`` at each budget.

    A table on rungs gives the best cell of each budget, by the mean of its seeds. A cloud (nearly every cell its own
    compute, sizes competing) gives its lower envelope: cells that no cheaper one beats. A cell is a size and a length:
    its seeds, rates and batches make it no rung. Where size only ever grows with compute nothing competes: an envelope
    would hide the rise of a double descent that the fit has to refuse.
    """
    own = having(having(rows, "family", family), "role", "search")
    best = list(_at_best(own, "budget_flops"))
    best.sort(key=attrgetter("budget_flops"))
    sizes = len(set(zip(own.column("model"), own.column("params"), strict=True)))
    cells = len(grouped_by(own, "budget_flops", "model", "params", "examples", "epochs")) if sizes > 1 else len(own)
    if cells < 1.5 * len(best) and sizes > 1 and not _grows_with_compute(own):
        envelope: list[Observation] = []
        for row in best:
            if not envelope or row.loss < envelope[-1].loss:
                envelope.append(row)
        return Frontier(tuple(envelope), LowerEnvelope(num_runs=len(own)), True)
    if len(own) == len(best):
        return Frontier(tuple(best), OneRunEach(num_budgets=len(best)), False)
    return Frontier(tuple(best), BestOfRuns(num_budgets=len(best)), False)


def _grows_with_compute(rows: Sequence[Observation]) -> bool:
    """Whether every row states its size, and none is smaller than that of a cheaper one."""
    sizes = [row.params for row in sorted(rows, key=lambda r: (r.budget_flops, r.params or 0.0))]
    known = [size for size in sizes if size is not None]
    return len(known) == len(sizes) and all(small <= large for small, large in pairwise(known))


def grouped(rows: Iterable[Observation], key: Callable[[Observation], Hashable]) -> dict:
    """Rows by ``key``, in order of first appearance."""
    groups: defaultdict[Hashable, list[Observation]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return dict(groups)


class Rows(tuple[Observation, ...]):
    """Rows that remember the columns and the choices that they were asked for: a million are walked through once."""

    _columns: dict[str, list[Any]]
    _chosen: dict[tuple[str, frozenset[str]], Rows]

    def __new__(cls, rows: Iterable[Observation]) -> Rows:
        made = super().__new__(cls, rows)
        made._columns, made._chosen = {}, {}
        return made

    def column(self, field: str) -> list[Any]:
        """``field`` of every row."""
        if field not in self._columns:
            self._columns[field] = list(map(attrgetter(field), self))
        return self._columns[field]

    def having(self, field: str, wanted: frozenset[str]) -> Rows:
        """The rows whose ``field`` is among the ``wanted``, in their order."""
        column, key = self.column(field), (field, wanted)
        if wanted.issuperset(column):
            return self
        if key not in self._chosen:
            self._chosen[key] = Rows(compress(self, map(wanted.__contains__, column)))
        return self._chosen[key]


def rows_of(rows: Sequence[Observation]) -> Rows:
    """The same rows, such that they remember."""
    return rows if isinstance(rows, Rows) else Rows(rows)


def having(rows: Sequence[Observation], field: str, *values: str) -> Rows:
    """The rows whose ``field`` is one of ``values``, in their order."""
    return rows_of(rows).having(field, frozenset(values))


def grouped_by(rows: Sequence[Observation], *fields: str) -> dict:
    """Rows by their ``fields``, in order of first appearance."""
    columns = [rows_of(rows).column(field) for field in fields]
    groups: defaultdict[Hashable, list[Observation]] = defaultdict(list)
    for key, row in zip(columns[0] if len(fields) == 1 else zip(*columns, strict=True), rows, strict=True):
        groups[key].append(row)
    return dict(groups)
