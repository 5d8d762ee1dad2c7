"""Columns that nobody named and that split the rows of near-equal compute into curves of their own.

Where few columns are named, rows of several data sets, splits or families look like one cloud, and the best of each
budget is the easiest data set's. A column is found here in either of two ways: among rows that agree in every other
column its values differ; or, where few rows agree in those, about a smooth curve of all rows they do. Over numbers that
a search varies (a size, a rate) the best of a budget is rightly taken: those are told by their names, or since their
best value moves with compute or lies between others. A column whose every row has a value of its own names runs, and
one that is a result says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from levelfield.records.errors import InputError
from levelfield.records.observation import Observation
from levelfield.scaling.laws import Floats
from levelfield.scaling.tables.outcomes import outcomes
from levelfield.scaling.tables.rows import CodedColumn, Places, Rows

MOST_ROWS = 4000
"""So many are looked at, spread over the table."""
NO_EFFECT = 0.001
"""An F test says at this level that the values of a column have losses of their own."""
LEAST_EFFECT = 0.003
"""ln loss by which they differ at least: less moves no law."""
_MOST_VALUES, _MOST_NUMBERS = 64, 16
_ROWS_A_VALUE = 3
_FEWEST_FREE = 8
"""Degrees of freedom of the smooth curves, with fewer of which their misfit passes for an effect."""
_NAMES = re.compile(
    r"(^|[^a-z])(runs?|uu?id|exp|experiment|job|wandb|seed|repeat|replica|trial)($|[^a-z])",
    re.IGNORECASE,
)
_SETTINGS = re.compile(
    r"(^|[^a-z])(lr|rate|batch|bs|wd|decay|width|depth|layers?|heads|hidden|d_?model|params?|parameters|size|tokens|"
    r"examples|samples|steps|epochs?|momentum|beta\d?|dropout|temperature)($|[^a-z])",
    re.IGNORECASE,
)
"""Numbers of which a search takes the best, as the best of a budget does."""


class _Column(NamedTuple):
    """A column that comes again: of every row the code of its value; ``numbers`` are those values, if any.

    One that a search varies ``is_setting``, and splits no rows.
    """

    name: str
    codes: Places
    num: int
    numbers: Floats | None
    is_setting: bool


def refuse_pooled(rows: Rows, where: object) -> None:
    """Refuse a table whose rows are of several curves that nobody told apart.

    Raises:
        InputError: a column splits them.
    """
    name, *others = [*pooled_columns(rows), ""]
    if not name:
        return
    further = f" (and by {', '.join(map(repr, filter(None, others)))})" if any(others) else ""
    raise InputError(
        f"{where}: rows of near-equal compute fall into curves of their own by the column {name!r}{further}, which "
        f"nobody named: pooled, the best of a budget is the easiest curve's. Tell them apart (--family {name}), keep "
        f"one (--where {name}=VALUE), or name what the column is (--params, --unique, --role, --rate, --batch, or "
        f"--axis {name} for a setting whose best value counts)"
    )


def pooled_columns(rows: Rows) -> Iterator[str]:
    """The names of those columns of finished ``rows``, the one that explains most of their loss first."""
    if not len(rows) or not rows[0].traits:
        return
    seen = rows.at(np.unique(np.linspace(0, len(rows) - 1, min(len(rows), MOST_ROWS)).astype(int)))
    runs = list(seen)
    columns = _columns(runs)
    found: dict[str, float] = {}
    for own in seen.grouped_by("family", "role").values():
        places = np.flatnonzero(np.isin(seen.column("run"), own.column("run")))
        log_loss, log_compute = own.log_losses, np.log(own.numbers("budget_flops"))
        settings, known = _settings(own), _smooth(own)
        for column in columns:
            if column.is_setting:
                continue
            codes = column.codes[places]
            others = [each.codes[places] for each in columns if each is not column]
            effect = _matched(column, codes, np.column_stack([settings, *others]), log_loss, log_compute)
            if effect is None:
                effect = _apart(column, codes, known, log_loss, log_compute)
            if effect >= LEAST_EFFECT:
                found[column.name] = max(effect, found.get(column.name, 0.0))
    yield from sorted(found, key=lambda name: -found[name])


def _columns(runs: Sequence[Observation]) -> list[_Column]:
    """Those that come again often enough to split rows, and are neither names of runs nor their results."""
    results, found = outcomes(runs), []
    for place, (name, _) in enumerate(runs[0].traits):
        cells = [run.traits[place][1] for run in runs]
        coded = CodedColumn.of(cells)
        numbers = _numbers(coded.values)
        most = _MOST_VALUES if numbers is None else _MOST_NUMBERS
        if name in results or _NAMES.search(name) or not 1 < len(coded.values) <= most:
            continue
        if len(coded.values) * _ROWS_A_VALUE <= len(runs):
            is_setting = numbers is not None and bool(_SETTINGS.search(name))
            found.append(_Column(name, coded.codes, len(coded.values), numbers, is_setting))
    return found


def _numbers(values: Sequence[str]) -> Floats | None:
    try:
        return np.array([float(value) for value in values])
    except ValueError:
        return None


def _settings(rows: Rows) -> Places:
    """(rows, settings): what was named of every row, in codes."""
    fields = ("budget_flops", "model", "params", "examples", "epochs", "base_lr", "variant", "axes", "optimizer")
    return np.column_stack([rows.coded(field).codes for field in fields])


def _smooth(rows: Rows) -> Floats:
    """(rows, terms): a smooth curve of compute, of size and length, and of the rate, as far as they are named."""
    terms = [np.ones(len(rows))]
    given = [rows.column(field) for field in ("params", "examples", "base_lr")]
    told = [np.log(np.array(column, dtype=float)) for column in given if all(column)]
    sized = all(given[0]) and all(given[1])
    for axis in [*([] if sized else [np.log(rows.numbers("budget_flops"))]), *told]:
        spread = axis.std() or 1.0
        scaled = (axis - axis.mean()) / spread
        terms += [scaled**power for power in range(1, 4)]
    if sized:
        terms.append(terms[1] * terms[4])
    axes = rows.coded("axes")
    terms.extend((axes.codes == code).astype(float) for code in range(1, min(len(axes.values), _MOST_NUMBERS)))
    return np.column_stack(terms)


def _matched(column: _Column, codes: Places, others: Places, log_loss: Floats, log_compute: Floats) -> float | None:
    """By how much the values differ among rows that agree in all ``others``: 0 where an F test sees nothing.

    None where too few rows agree in them.
    """
    _, group = np.unique(others, axis=0, return_inverse=True)
    group = group.ravel()
    values = np.zeros((int(group.max()) + 1, column.num), dtype=bool)
    values[group, codes] = True
    kept = np.flatnonzero(values.sum(axis=1)[group] > 1)
    if len(np.unique(group[kept])) < _ROWS_A_VALUE:
        return None
    group, codes = group[kept], codes[kept]
    dummies = (codes[:, None] == np.arange(column.num)).astype(float)
    within = np.column_stack([log_loss[kept], dummies])
    counts = np.bincount(group)
    for term in range(within.shape[1]):
        within[:, term] -= (np.bincount(group, weights=within[:, term]) / np.maximum(counts, 1))[group]
    y, x = within[:, 0], within[:, 1:]
    effect = _effect(y, np.zeros((len(y), 0)), x, lost=int((counts > 0).sum()), free=3)
    return 0.0 if column.numbers is not None and _is_sought(y, codes, log_compute[kept], column) else effect


def _apart(column: _Column, codes: Places, known: Floats, log_loss: Floats, log_compute: Floats) -> float:
    """By how much the curves of the values lie apart where their compute overlaps; 0 where an F test sees nothing."""
    spans = [(log_compute[codes == code].min(), log_compute[codes == code].max()) for code in np.unique(codes)]
    if len(spans) < 2:
        return 0.0
    ends = np.sort(np.array(spans), axis=0)
    low, high = ends[1, 0], ends[-2, 1]  # where the compute of two values at least overlaps
    kept = np.flatnonzero((log_compute >= low) & (log_compute <= high))
    counts = np.bincount(codes[kept], minlength=column.num)
    kept = kept[counts[codes[kept]] >= _ROWS_A_VALUE]
    levels = np.unique(codes[kept])
    if len(levels) < 2:
        return 0.0
    codes, y, x = codes[kept], log_loss[kept], log_compute[kept]
    dummies = (codes[:, None] == levels[1:]).astype(float)
    slope = (x - x.mean()) / (x.std() or 1.0)
    tilted = np.column_stack([dummies, dummies * slope[:, None]])
    effect = _effect(y, known[kept], tilted, lost=0, free=_FEWEST_FREE)
    if not effect or column.numbers is None:
        return effect
    base = known[kept]
    left = y - base @ np.linalg.lstsq(base, y)[0]
    return 0.0 if _is_sought(left, codes, x, column) else effect


def _effect(y: Floats, base: Floats, further: Floats, *, lost: int, free: int) -> float:
    """The sd of what ``further`` explains of ``y`` beyond ``base`` where an F test sees it, else 0.

    ``lost`` degrees of freedom were spent before; fewer than ``free`` can tell nothing.
    """
    from scipy.special import fdtrc

    whole = np.column_stack([base, further])
    left = y if not base.shape[1] else y - base @ np.linalg.lstsq(base, y)[0]
    rest = y - whole @ np.linalg.lstsq(whole, y)[0]
    rank = int(np.linalg.matrix_rank(whole) - (np.linalg.matrix_rank(base) if base.shape[1] else 0))
    degrees = len(y) - lost - int(np.linalg.matrix_rank(whole))
    explained, unexplained = float(left @ left - rest @ rest), float(rest @ rest)
    if rank < 1 or degrees < free or explained <= 0:
        return 0.0
    ratio = explained / rank / max(unexplained / degrees, 1e-300)
    return float(np.sqrt(explained / len(y))) if fdtrc(rank, degrees, ratio) < NO_EFFECT else 0.0


def _is_sought(left: Floats, codes: Places, log_compute: Floats, column: _Column) -> bool:
    """Whether the best value of a column of numbers lies between others, or is another one for the dear rows."""
    order = np.argsort(log_compute, kind="stable")
    best = []
    for part in (order[: len(order) // 3], order[-(len(order) // 3) :]):
        counts = np.bincount(codes[part], minlength=column.num)
        means = np.bincount(codes[part], weights=left[part], minlength=column.num) / np.maximum(counts, 1)
        best.append(int(np.argmin(np.where(counts > 0, means, np.inf))))
    assert column.numbers is not None
    ends = np.argmin(column.numbers), np.argmax(column.numbers)
    return best[0] != best[1] or best[0] not in ends
