"""Tables of runs as people have them, drawn from a planted world: which cells were run, how often, and what went wrong.

Cells are isoFLOP grids, clouds of sizes and lengths, ragged ones with holes, ladders or one learning curve. In a cell
rates, batches and seeds vary; some rows diverge, some lie near chance, pools of distinct examples differ.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from benchmarks.planted_worlds import INSIDE, OUTSIDE, REPEATING, WITHOUT_SIZE, Floats, World, draw_world

LAYOUTS = ("isoflop", "cloud", "ragged", "ladder", "curve")
_MOST_ROWS = 500
_CHANCE_SHARPNESS = 12.0
_MEMORY = 0.7
"""Correlation of neighbouring rows of one learning curve."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A planted table, how a user would have it read, and what is true at ``budget`` training FLOPs.

    ``log_loss`` is the mean of the best run's, ``measured`` what one more run of it measures; ``epochs`` its true
    number, where examples are counted.
    """

    world: World
    layout: str
    columns: dict[str, list[float | str]]
    reading: dict[str, str | bool]
    budget: float
    times: float
    log_loss: float
    measured: float
    epochs: float | None
    traits: tuple[str, ...]


@dataclass(kw_only=True)
class _Rows:
    """Cells as (params, examples, distinct examples or None), and what varies inside of them."""

    cells: list[tuple[float, float, float | None]]
    sd: float
    seeds: int = 1
    rates: tuple[float, ...] = ()
    batches: tuple[float, ...] = ()
    lost: float = 0.0
    chance: float | None = None
    traits: list[str] = field(default_factory=list)


def draw_table(key: Sequence[int]) -> Table:
    """The table of that ``key`` of a random generator: the same one again."""
    g = np.random.default_rng(key)
    layout = str(g.choice(LAYOUTS, p=[0.28, 0.22, 0.22, 0.2, 0.08]))
    names = INSIDE if g.random() < 0.5 else OUTSIDE
    sized = layout not in ("ladder", "curve")
    fitting = [n for n in names if (n in WITHOUT_SIZE) != sized or n in ("broken", "transient")]
    if sized and names is INSIDE:
        fitting = ["chinchilla", "chinchilla", "repeated"]
    world = draw_world(str(g.choice(fitting)), g)
    times = float(np.exp(g.uniform(math.log(30), math.log(300))))
    sd = float(np.exp(g.uniform(math.log(0.002), math.log(0.02))))
    if not sized:
        return _of_compute(world, layout, times, sd, g)
    rows = _Rows(cells=_CELLS[layout](world, g), sd=sd)
    pool = _repeat(rows, world, g) if world.name in REPEATING else None
    _vary(rows, world, g)
    columns, top = _columns(rows, world, g)
    told = {"compute": "flops", "loss": "loss", "params": "params", "examples": "examples"}
    told |= {"base_lr": "lr"} if rows.rates else {}
    told |= {"batch": "batch"} if rows.batches else {}
    told |= {"seed": "seed"} if rows.seeds > 1 else {}
    told |= {"unique": "unique"} if pool else {}
    told |= {"chance": "chance"} if rows.chance else {}
    budget = top * times
    best, _, examples = world.optimum(budget, pool)
    return Table(
        world=world,
        layout=layout,
        columns=columns,
        reading={**told, "drop_diverged": True} if rows.lost else {**told},
        budget=budget,
        times=times,
        log_loss=best,
        measured=best + sd * float(g.standard_normal()),
        epochs=examples / pool if pool else None,
        traits=tuple(rows.traits),
    )


def _isoflop(world: World, g: np.random.Generator) -> list[tuple[float, float, float | None]]:
    num_budgets, num_sizes = int(g.integers(4, 9)), int(g.integers(5, 10))
    reach = float(g.uniform(4.0, 8.0))  # ln of the largest budget over the smallest
    off = float(g.uniform(-0.5, 0.5))  # the grid's middle misses the optimum
    cells = []
    for place in np.linspace(-reach / 2, reach / 2, num_budgets):
        flops = world.flops * math.exp(place)
        _, middle, _ = world.optimum(flops, None)
        spread = float(g.uniform(1.2, 2.5))
        sizes = middle * np.exp(off + np.linspace(-spread, spread, num_sizes))
        cells += [(float(size), float(world.examples_of(flops, size)), None) for size in sizes]
    return cells


def _cloud(world: World, g: np.random.Generator) -> list[tuple[float, float, float | None]]:
    """Every size at every length: nearly every cell a compute of its own."""
    sizes = world.params * np.exp(np.linspace(-1, 1, int(g.integers(4, 8))) * g.uniform(1.5, 2.6))
    lengths = world.examples * np.exp(np.linspace(-1, 1, int(g.integers(4, 8))) * g.uniform(1.5, 2.6))
    return [(float(size), float(length), None) for size in sizes for length in lengths]


def _ragged(world: World, g: np.random.Generator) -> list[tuple[float, float, float | None]]:
    """Sizes of their own, each with lengths of its own, and holes."""
    cells = []
    for size in np.sort(g.uniform(-2.5, 2.5, int(g.integers(5, 11)))):
        for length in g.uniform(-2.2, 2.2, int(g.integers(2, 7))):
            ratio = 0.5 * size + length  # big nets were run longer
            cells.append((world.params * math.exp(size), world.examples * math.exp(ratio), None))
    return [cell for cell in cells if g.random() > 0.1]


_CELLS: dict[str, Callable[[World, np.random.Generator], list[tuple[float, float, float | None]]]] = {
    "isoflop": _isoflop,
    "cloud": _cloud,
    "ragged": _ragged,
}


def _repeat(rows: _Rows, world: World, g: np.random.Generator) -> float:
    """Give every cell a pool of distinct examples, unequal ones in half of the tables; the largest of them."""
    longest = max(examples for _, examples, _ in rows.cells)
    largest = longest / float(np.exp(g.uniform(math.log(0.8), math.log(12.0))))
    pools = [largest] if g.random() < 0.5 else [largest / 16, largest / 4, largest]
    rows.cells = [(size, seen, float(g.choice(pools))) for size, seen, _ in rows.cells]
    rows.traits.append("unequal pools" if len(pools) > 1 else "one pool")
    return max(pool for _, _, pool in rows.cells if pool)


def _vary(rows: _Rows, world: World, g: np.random.Generator) -> None:
    room = _MOST_ROWS // max(1, len(rows.cells))
    if g.random() < 0.5 and room >= 3:
        rows.rates = tuple(2.0 ** np.arange(-2, 3)) if room >= 5 and g.random() < 0.5 else (0.33, 1.0, 3.0)
    if g.random() < 0.3 and room >= 2 * max(1, len(rows.rates)):
        rows.batches = (256.0, 1024.0)
    if g.random() < 0.5 and room >= 2 * max(1, len(rows.rates)) * max(1, len(rows.batches)):
        rows.seeds = int(g.integers(2, 4))
    if g.random() < 0.2:
        rows.lost = float(g.uniform(0.02, 0.08))
    if g.random() < 0.12:
        worst = max(float(np.exp(world.log_loss(*cell))) for cell in rows.cells)
        rows.chance = worst * float(g.uniform(0.95, 1.2))
    told = {"rates": rows.rates, "batches": rows.batches, "seeds": rows.seeds > 1, "diverged": rows.lost}
    rows.traits += [name for name, has in {**told, "near chance": rows.chance}.items() if has]


def _columns(rows: _Rows, world: World, g: np.random.Generator) -> tuple[dict[str, list[float | str]], float]:
    """The table, and the largest compute in it."""
    names = ("flops", "loss", "params", "examples", "lr", "batch", "seed", "unique", "chance")
    columns: dict[str, list[float | str]] = {name: [] for name in names}
    rate_grows, batch_grows = float(g.uniform(-0.5, -0.1)), float(g.uniform(0.1, 0.4))
    bend, batch_bend = float(np.exp(g.uniform(math.log(0.008), math.log(0.04)))), float(g.uniform(0.004, 0.015))
    top = 0.0
    for size, seen, distinct in rows.cells:
        flops = float(world.flops_of(size, seen))
        best_rate = rate_grows * math.log(size / world.params)
        best_batch = math.log(512.0) + batch_grows * math.log(seen / world.examples)
        for rate in rows.rates or (None,):
            for batch in rows.batches or (None,):
                off = bend * (math.log(rate) - best_rate) ** 2 if rate else 0.0
                off += batch_bend * (math.log(batch) - best_batch) ** 2 if batch else 0.0
                for seed in range(rows.seeds):
                    log_loss = float(world.log_loss(size, seen, distinct)) + off + rows.sd * g.standard_normal()
                    lost = rows.lost and g.random() < rows.lost * (2.0 if rate and rate > 1 else 0.7)
                    row = (flops, _capped(log_loss, rows.chance), size, seen, rate, batch, seed, distinct, rows.chance)
                    for name, value in zip(names, row, strict=True):
                        columns[name].append(math.nan if name == "loss" and lost else "" if value is None else value)
        top = max(top, flops)
    kept = {name: cells for name, cells in columns.items() if any(cell != "" for cell in cells)}
    return kept, top


def _capped(log_loss: float, chance: float | None) -> float:
    """The loss, which chance bounds from above as it bounds that of a net that has learnt next to nothing."""
    if chance is None:
        return math.exp(log_loss)
    return chance * (1 + (chance / math.exp(log_loss)) ** _CHANCE_SHARPNESS) ** (-1 / _CHANCE_SHARPNESS)


def _of_compute(world: World, layout: str, times: float, sd: float, g: np.random.Generator) -> Table:
    """A ladder of best runs, or the rows of one learning curve, whose errors have a memory."""
    if layout == "ladder":
        num, apart = int(g.integers(5, 10)), float(g.uniform(math.log(2), math.log(4)))
        places = (np.arange(num) - (num - 1) / 2) * apart
        seeds = int(g.integers(1, 4))
    else:
        num, seeds, sd = int(g.integers(15, 60)), 1, sd / 2
        places = np.linspace(-0.5, 0.5, num) * float(g.uniform(3.5, 7.0))
    budgets = world.flops * np.exp(places)
    best = np.array([world.optimum(float(flops), None)[0] for flops in budgets])
    noise = _remembering(num, sd, g) if layout == "curve" else None
    rows: list[tuple[float, float, int]] = []
    for place, flops in enumerate(budgets):
        for seed in range(seeds):
            error = sd * g.standard_normal() if noise is None else noise[place]
            rows.append((float(flops), math.exp(best[place] + error), seed))
    budget = float(budgets[-1]) * times
    truth, _, _ = world.optimum(budget, None)
    names = ("flops", "loss", "seed")[: 3 if seeds > 1 else 2]
    return Table(
        world=world,
        layout=layout,
        columns={name: [row[place] for row in rows] for place, name in enumerate(names)},
        reading={name if name != "flops" else "compute": name for name in names},
        budget=budget,
        times=times,
        log_loss=truth,
        measured=truth + sd * float(g.standard_normal()),
        epochs=None,
        traits=("seeds",) if seeds > 1 else (),
    )


def _remembering(num: int, sd: float, g: np.random.Generator) -> Floats:
    errors = np.empty(num)
    errors[0] = g.standard_normal()
    for place in range(1, num):
        errors[place] = _MEMORY * errors[place - 1] + math.sqrt(1 - _MEMORY**2) * g.standard_normal()
    return sd * errors
