"""Rows of several curves that nobody told apart are refused by the column that does; sound tables are not."""

from __future__ import annotations

import math

import numpy as np
import pytest
from benchmarks.planted_layouts import draw_table

from levelfield.records.errors import InputError
from levelfield.scaling import face
from levelfield.scaling.tables.pooled import pooled_columns
from tests.scaling.planted import binomial_bounds

Columns = dict[str, list]
WORSE = {"web": 0.0, "books": 0.06, "code": -0.1}


def isoflop(*, sd: float = 0.003, **kinds: dict[str, float]) -> Columns:
    """Five budgets of six sizes for every value of ``kinds``, each of which lifts ln loss by so much."""
    generator = np.random.default_rng(0)
    rows = []
    choices = [{}]
    for name, worse in kinds.items():
        choices = [{**choice, name: value} for choice in choices for value in worse]
    for choice in choices:
        off = sum(kinds[name][value] for name, value in choice.items())
        for flops in np.geomspace(1e18, 1e21, 5):
            for away in np.linspace(-1.2, 1.2, 6):
                params = 0.3 * math.sqrt(flops / 6) * math.exp(away)
                examples = flops / 6 / params
                loss = 1.5 + 400 * params**-0.34 + 2000 * examples**-0.36
                noisy = loss * math.exp(off + sd * generator.standard_normal())
                rows.append({"flops": flops, "loss": noisy, "N": params, "D": examples} | choice)
    return {name: [row[name] for row in rows] for name in rows[0]}


def found(columns: Columns, **reading) -> list[str]:
    return list(pooled_columns(face.rows_of(columns, **reading).rows))


ROLES = [{}, {"params": "N"}, {"params": "N", "examples": "D"}]


@pytest.mark.parametrize("roles", ROLES)
def test_data_sets_are_not_pooled_in_silence_however_few_columns_are_named(roles):
    columns = isoflop(dataset=WORSE)
    assert found(columns, **roles) == ["dataset"]
    for verb in (face.fit, face.compare, lambda rows, **named: face.predict(rows, budget=1e22, **named)):
        with pytest.raises(InputError, match="column 'dataset'"):
            verb(columns, **roles)
    assert found(columns, family="dataset", **roles) == []


def test_several_columns_are_named_the_one_that_explains_most_first():
    with pytest.raises(InputError, match=r"column 'dataset' \(and by 'split'\).*--family dataset.*--where dataset="):
        face.fit(isoflop(dataset=WORSE, split={"train": 0.0, "val": 0.02}))


def test_two_architectures_with_sizes_of_their_own_are_not_pooled_in_silence():
    columns = isoflop(arch={"conv": 0.0, "vit": 0.08})
    columns["N"] = [
        size * (1.3 if arch == "vit" else 1) for size, arch in zip(columns["N"], columns["arch"], strict=True)
    ]
    columns["D"] = [flops / 6 / size for flops, size in zip(columns["flops"], columns["N"], strict=True)]
    for roles in ROLES:
        assert found(columns, **roles) == ["arch"]


def test_a_number_that_tells_splits_apart_is_found_and_one_that_a_search_varies_is_not():
    columns = isoflop(part={"0": 0.0, "1": 0.03}, x={"0.1": 0.02, "0.3": 0.0, "1.0": 0.03}, lr={"1": 0.0, "2": 0.03})
    assert found(columns) == ["part"]


def test_sizes_lengths_names_of_runs_results_and_what_moves_nothing_are_no_curves_of_their_own():
    generator = np.random.default_rng(1)
    columns = isoflop()
    num = len(columns["loss"])
    columns["N"] = [round(10 * math.exp(place % 6)) for place in range(num)]
    columns["run"] = [f"run {place // 4}" for place in range(num)]
    columns["id"] = [str(place) for place in range(num)]
    columns["host"] = generator.choice(["a", "b"], num).tolist()
    columns["error"] = [round(loss, 1) for loss in columns["loss"]]
    columns["rung"] = [f"rung {place // 6}" for place in range(num)]
    assert found(columns) == []


@pytest.mark.parametrize("name", ["State", "run_status"])
def test_runs_that_did_not_finish_are_refused_by_the_column_that_says_so(name):
    columns = isoflop()
    columns[name] = ["crashed" if place == 7 else "finished" for place in range(len(columns["loss"]))]
    with pytest.raises(InputError, match=rf"row 8: .*{name!r}.*'crashed'.*--where {name}=finished"):
        face.fit(columns)
    assert face.fit(columns, where=[(name, "finished")]).laws
    columns[name] = ["California" if place % 2 else "Texas" for place in range(len(columns["loss"]))]
    assert face.fit(columns).laws


def told_of_sound_tables(num: int) -> float:
    """The share of planted tables, read by compute alone or with all their columns, of which some column is named.

    Unequal pools of distinct examples do make curves of their own, where nobody says that they are pools.
    """
    named = []
    for place in range(num):
        table = draw_table([77, place])
        reading = {name: own for name, own in table.reading.items() if name in face.TableReading.__annotations__}
        few = {name: own for name, own in reading.items() if name in ("compute", "loss", "drop_diverged")}
        named.extend(found(table.columns, **each) not in ([], ["unique"]) for each in (reading, few))
    return float(np.mean(named))


def test_of_a_few_sound_tables_no_column_is_named():
    assert told_of_sound_tables(6) == 0


@pytest.mark.acceptance
def test_of_sound_tables_no_column_is_named():
    assert told_of_sound_tables(150) == 0


def effect_seen(num: int, worse: float) -> int:
    """Of how many tables a column is named whose two values differ by so much ln loss, noise being 0.3 %."""
    return sum(
        found(isoflop(kind={"a": 0.0, "b": worse * (1 + place / num)}), params="N") == ["kind"] for place in range(num)
    )


@pytest.mark.parametrize("worse", [0.02])
def test_a_difference_of_several_sds_is_seen(worse):
    assert effect_seen(5, worse) >= binomial_bounds(0.9, 5)[0] * 5
