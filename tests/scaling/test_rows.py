"""Rows by their columns say what a loop over observations says, to the bit and in the same order."""

import math
import random
from collections import defaultdict
from dataclasses import fields, replace

import pytest

from levelfield.records.observation import Observation
from levelfield.scaling.noise.luck import cell_means
from levelfield.scaling.optimum.tuning import learning_rate_cells
from levelfield.scaling.tables.rows import Column, Rows, having
from levelfield.scaling.tables.rungs import checked, seed_groups, tuned_cells

CELL = ("family", "budget_flops", "model", "variant", "base_lr", "global_batch_size", "examples", "params")
SIZED = ("family", "budget_flops", "model", "params", "examples", "epochs")


def drawn(seed, num=300):
    """Observations with few values a field, so that much is equal and much is absent."""
    draw = random.Random(seed)
    return [
        Observation(
            run=f"line {number}",
            family=draw.choice(("vit", "nfnet")),
            model=draw.choice(("a", "b")),
            role=draw.choice(("search", "search", "search", "audit", "winner")),
            loss=draw.choice((2.0, 2.5, draw.uniform(1, 3))),
            budget_flops=draw.choice((1e9, 1e10)),
            train_flops=1e9,
            params=draw.choice((None, 1e6, 2e6)),
            examples=draw.choice((None, 1e5, 1e5)),
            base_lr=draw.choice((None, 0.1, 0.2)),
            global_batch_size=draw.choice((None, 64)),
            seed=draw.randrange(3),
            variant=draw.choice(("", "", "beta2=0.9")),
            cluster=draw.choice(("", "", "trunk")),
        )
        for number in range(num)
    ]


def by_columns(rows):
    return Rows.of_columns(
        {field.name: Column.of([getattr(row, field.name) for row in rows]) for field in fields(Observation)}
    )


def groups(rows, *names):
    found = defaultdict(list)
    for row in rows:
        found[tuple(getattr(row, name) for name in names)].append(row)
    return dict(found)


def mean(rows):
    return sum(math.log(row.loss) for row in rows) / len(rows)


@pytest.fixture(params=range(3))
def both(request):
    """The same rows, as columns and one by one."""
    rows = drawn(request.param)
    keys = ("family", "budget_flops", "role", "params", "model", "seed", "run")
    ordered = sorted(rows, key=lambda row: tuple(getattr(row, key) or 0 for key in keys))
    return checked(by_columns(rows)), ordered


def test_rows_made_of_columns_are_the_observations_and_are_put_in_the_same_order(both):
    rows, ordered = both
    assert rows == ordered == checked(random.Random(0).sample(ordered, len(ordered)))
    assert rows[3:5] == ordered[3:5]
    assert rows[-1] is rows[-1]
    assert rows.column("params") == [row.params for row in ordered]
    assert having(rows, "role", "search") == [row for row in ordered if row.role == "search"]


def test_groups_come_in_order_of_their_first_row(both):
    rows, ordered = both
    expected = groups(ordered, "model", "seed", "params")
    assert list(rows.grouped_by("model", "seed", "params").items()) == list(expected.items())


def test_seeds_of_a_cell_are_told_once_each_by_their_last_run(both):
    rows, ordered = both
    searched = groups((row for row in ordered if row.role in ("search", "audit")), *CELL)
    expected = []
    for (family, budget, *_), runs in searched.items():
        seeds = {run.seed: math.log(run.loss) for run in runs}
        if len(seeds) > 1:
            expected.append((family, budget, tuple(seeds.values())))
    assert list(map(tuple, seed_groups(rows))) == expected


def test_a_size_counts_by_its_best_rate_and_a_cell_by_its_mean(both):
    rows, ordered = both
    usable = [r for r in ordered if r.role == "search" and not r.variant and r.params and r.examples]
    best = {}
    for own in groups(usable, *SIZED, "base_lr", "global_batch_size").values():
        size = tuple(getattr(own[0], name) for name in SIZED)
        known = own[0].loss if len(own) == 1 else math.exp(mean(own))
        if size not in best or (known, own[0].run) < (best[size].loss, best[size].run):
            best[size] = replace(own[0], loss=known)
    assert list(tuned_cells(rows)) == list(best.values())


def test_tuning_curves_and_cells_have_the_means_of_their_runs(both):
    rows, ordered = both
    tuned = groups(
        (r for r in ordered if r.role in ("search", "audit") and r.base_lr),
        "family",
        "budget_flops",
        "model",
        "variant",
    )
    told = {(c.family, c.budget_flops, c.model, c.variant): c for c in learning_rate_cells(rows)}
    for key, own in tuned.items():
        rates = sorted(groups(own, "base_lr").items())
        if key[3] and len(rates) < 2:
            assert key not in told
            continue
        assert told[key].tried == tuple((rate, math.exp(mean(same))) for (rate,), same in rates)
        assert told[key].audited == any(row.role == "audit" for row in own)
    cells = defaultdict(list)
    names = (*CELL[2:], "cluster")
    alike = groups(ordered, *names)
    for row in ordered:
        key = tuple(getattr(row, name) for name in names)
        seeds = [other.seed for other in alike[key]]
        untold = row.base_lr is None and row.params is None and not row.cluster and len(set(seeds)) < len(seeds)
        cells[row.run if untold else key].append(row)
    means, counts = cell_means(ordered)
    assert means.tolist() == [mean(own) for own in cells.values()]
    assert counts.tolist() == [len(own) for own in cells.values()]


def test_no_rows_are_no_groups_and_no_cells():
    rows = having(by_columns(drawn(0, 5)), "family", "none")
    assert len(rows) == 0
    assert not rows.grouped_by("family", "seed")
    assert seed_groups(rows) == []
    assert tuned_cells(rows) == learning_rate_cells(rows) == ()
