"""From a table of runs to cells and rungs: who was best at each budget, and which seeds measured it."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from operator import attrgetter
from typing import NamedTuple

import numpy as np

from levelfield.records.errors import InputError
from levelfield.records.observation import Observation
from levelfield.records.reason import Reason
from levelfield.records.study import PROTOCOL_MAX_EPOCHS
from levelfield.scaling.fitting.fit import NEAR_CHANCE
from levelfield.scaling.results.laws import Currency
from levelfield.scaling.results.reasons.laws import BestOfRuns, LowerEnvelope, OneRunEach
from levelfield.scaling.tables.rows import Places, Rows, having, numbered


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
    def capped(self) -> bool:
        """Whether its budget was a cap, of which it spends less by choice."""
        return any(run.capped for run in self.runs)

    @property
    def limiting_images(self) -> float | None:
        """The images that its runs were trained on, where these limit them; None where they do not, or nobody knows."""
        first = self.first
        if not self.data_limited or first.epochs is None:
            return None
        return first.images or (first.examples / first.epochs if first.examples else None)

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
    rows = Rows.of(observations)
    if not rows:
        raise InputError("the table has no rows: give at least one finished run")
    if not _all_plain(rows):
        _refuse_first(rows)
    return _in_order(rows)


def _all_plain(rows: Rows) -> bool:
    """Whether every run is there once and every number positive and finite, seen column by column."""
    if len(rows.coded("run").present) < len(rows):
        return False
    columns = [rows.coded(name).present for name in _NEEDED]
    columns += [[value for value in rows.coded(name).present if value is not None] for name in _OPTIONAL]
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


def _in_order(rows: Rows) -> Rows:
    """Sorted by family, budget, role, size, model, seed and run."""
    runs = rows.column("run")
    by_run = np.asarray(sorted(range(len(rows)), key=runs.__getitem__), dtype=np.intp)
    size = rows.coded("params").mapped(lambda params: params or 0)
    columns = [*map(rows.coded, ("seed", "model")), size, *map(rows.coded, ("role", "budget_flops", "family"))]
    return rows.at(by_run[np.lexsort([column.ranks[by_run] for column in columns])])


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


class SeedGroup(NamedTuple):
    """The ln losses of a search cell that was run with several seeds, one a seed."""

    family: str
    budget_flops: float
    log_losses: tuple[float, ...]


def seed_groups(rows: Sequence[Observation]) -> list[SeedGroup]:
    """Search cells that were run with several seeds; of a seed that was run twice, the last run."""
    searched = having(rows, "role", "search", "audit")
    return searched.once("seed groups", lambda: _seed_groups(searched))


def _seed_groups(searched: Rows) -> list[SeedGroup]:
    cells, _ = searched.groups(*_CELL)
    seeds, first = searched.groups(*_CELL, "seed")
    last = np.empty_like(first)
    last[seeds] = np.arange(len(seeds))  # of places named twice the later one stays
    of_cell = cells[first]
    order, counts = np.argsort(of_cell, kind="stable"), np.bincount(of_cell)
    losses = searched.log_losses[last[order]].tolist()
    ends = np.cumsum(counts).tolist()
    several = [(end - count, end) for end, count in zip(ends, counts.tolist(), strict=True) if count > 1]
    begins = np.array([begin for begin, _ in several], dtype=np.intp)
    where = searched.at(first[order[begins]])
    places = zip(where.column("family"), where.column("budget_flops"), several, strict=True)
    return [SeedGroup(family, budget, tuple(losses[begin:end])) for family, budget, (begin, end) in places]


def tuned_cells(rows: Iterable[Observation]) -> tuple[Observation, ...]:
    """The search runs of known size and length at their best settings: one a (family, budget, size, examples, epochs).

    Runs that differ by their seed alone count by their mean ln loss: the luckiest of them would be too good.
    """
    known = Rows.of(rows)
    return known.once("tuned cells", lambda: _tuned_cells(having(known, "role", "search")))


def _tuned_cells(searched: Rows) -> tuple[Observation, ...]:
    stated = searched.coded("params").where(bool) & searched.coded("examples").where(bool)
    usable = searched.at(np.flatnonzero(stated & ~searched.coded("variant").where(bool)))
    return _at_best(usable, *_SIZED)


_SIZED = ("family", "budget_flops", "model", "params", "examples", "epochs")
_SIZE = ("model", "params", "examples", "epochs")
_SETTINGS = ("variant", "base_lr", "global_batch_size", "axes")
"""What a search varies inside a cell."""
_CELL = ("family", "budget_flops", "model", *_SETTINGS, "examples", "params")


def _at_best(rows: Rows, *cell: str) -> tuple[Observation, ...]:
    """The run at the best settings of every ``cell``, with the mean ln loss of its seeds: the lowest of those means.

    Of equal ones it is the first by the name of its run.
    """
    if not rows:
        return ()
    codes, first = replicates(rows, *dict.fromkeys((*cell, *_SIZE)))
    counts, losses = np.bincount(codes), rows.at(first).numbers("loss")
    means = np.where(counts == 1, losses, np.exp(rows.means(codes)))
    of, _ = rows.groups(*cell)
    least = np.full(int(of.max()) + 1, np.inf)
    np.minimum.at(least, of[first], means)
    places = np.flatnonzero(means == least[of[first]])
    runs = rows.at(first[places]).column("run")
    best: dict[int, tuple[str, int]] = {}
    for which, run, place in zip(of[first[places]].tolist(), runs, places.tolist(), strict=True):
        if which not in best or run < best[which][0]:
            best[which] = run, place
    chosen = [best[which][1] for which in range(len(least))]
    found = ((rows[int(first[place])], float(means[place]), int(counts[place])) for place in chosen)
    return tuple(row if count == 1 else replace(row, loss=mean) for row, mean, count in found)


def replicates(rows: Rows, *cell: str) -> tuple[Places, Places]:
    """Of every row the number of those that differ from it by their seed alone, and where each such group is first.

    They are of one ``cell`` and setting. Rows of which neither a seed, nor a size, nor a rate is told may differ by
    anything: each stands for itself.
    """
    together = (*cell, *_SETTINGS, "cluster")
    codes, _ = rows.groups(*together)
    told = rows.coded("base_lr").where(_stated) | rows.coded("params").where(_stated)
    told |= rows.coded("cluster").where(bool)
    if told.all():
        return rows.groups(*together)
    _, seeds = rows.groups(*together, "seed")
    counts = np.bincount(codes)
    apart = np.bincount(codes[seeds], minlength=len(counts)) == counts
    alone = ~(told | apart[codes])
    return numbered(np.where(alone, len(counts) + np.arange(len(rows)), codes))


def _stated(value: float | None) -> bool:
    return value is not None


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
    sizes = len(own.groups("model", "params")[1])
    cells = len(own.groups("budget_flops", *_SIZE)[1]) if sizes > 1 else len(own)
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
