"""Which further columns of a table are results of its runs, not settings: what a run took, and what else it scored."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Sequence

from levelfield.records.observation import Observation

_WORDS = """
time walltime wall runtime duration elapsed hour hours h min minutes seconds secs sec s ms throughput speed memory mem
mfu energy kwh watts co2 cost usd acc accuracy top1 top5 loss error err nll ppl perplexity score auc auroc bleu miou iou
map ap f1 recall precision reward bits nats"""
_OUTCOMES = frozenset(_WORDS.split())
"""Words of a column's name that say what a run took or scored, where its cells are numbers."""
_FEWEST = 3


def outcomes(rows: Sequence[Observation]) -> set[str]:
    """The names of the traits of ``rows`` that are results: they differ between seeds of one cell, or say so by name.

    A trait of two or fewer values, or one that is no number, is a setting unless seeds of one cell differ in it.
    """
    cells: defaultdict[tuple[object, ...], list[Observation]] = defaultdict(list)
    for row in rows:
        cells[row.family, row.budget_flops, row.model, row.params, row.examples, row.base_lr, row.variant].append(row)
    values: defaultdict[str, list[str]] = defaultdict(list)
    varying: set[str] = set()
    for runs in cells.values():
        seen: defaultdict[str, list[str]] = defaultdict(list)
        for run in runs:
            for name, value in run.traits:
                seen[name].append(value)
                values[name].append(value)
        repeated = len({run.seed for run in runs}) == len(runs) > 1
        varying |= {name for name, own in seen.items() if repeated and len(set(own)) == len(own)}
    numeric = {
        name for name, own in values.items() if len(set(own)) >= _FEWEST and all(map(_is_number, filter(None, own)))
    }
    return {name for name in numeric if name in varying or _words(name) & _OUTCOMES}


def _words(name: str) -> set[str]:
    spelt = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return set(re.split(r"[^a-z0-9]+", spelt.lower()))


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
