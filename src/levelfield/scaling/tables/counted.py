"""How compute was counted, where it is a constant times parameters times examples: six FLOPs, or another number.

A column that somebody computed has that constant to rounding. Two FLOPs are forward passes alone; six times a thousand
is a unit too many. Compute that was counted layer by layer has no such constant, and nothing is said of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from levelfield.scaling.tables.rows import Rows

FORWARD_ALONE = 1 / 3
"""Of training: two FLOPs a parameter and example forward, four backward."""
_CONSTANT, _NEAR = 0.01, 0.01
"""In ln: how little the ratio varies inside a family where it is a constant, and how near a named one it then lies."""
_FEWEST = 4


def counted(rows: Rows) -> dict[str, float]:
    """Compute over 6 x parameters x examples of every family in which it is one number."""
    return dict(_constants(rows))


def _constants(rows: Rows) -> Iterator[tuple[str, float]]:
    for family, own in rows.grouped_by("family").items():
        known = np.flatnonzero(
            [bool(n and d) for n, d in zip(own.column("params"), own.column("examples"), strict=True)]
        )
        if known.size < _FEWEST:
            continue
        told = own.at(known)
        ratio = np.log(told.numbers("train_flops") / (6.0 * told.numbers("params") * told.numbers("examples")))
        if np.ptp(np.quantile(ratio, [0.05, 0.95])) < _CONSTANT:
            yield family, math.exp(float(np.median(ratio)))


def wrongly_counted(constants: dict[str, float]) -> str:
    """Why ``constants`` cannot be right: families of which some count forward passes alone, or a unit too many."""
    for family, ratio in constants.items():
        thousands = math.log(ratio) / math.log(1e3)
        if round(thousands) and abs(thousands - round(thousands)) < _NEAR / math.log(1e3):
            return (
                f"compute of {family!r} is {ratio:.4g} times 6 x parameters x examples in every run: one of the three "
                "columns is in another unit (thousands for ones); give plain FLOPs, parameters and examples"
            )
    forward = [family for family, ratio in constants.items() if _is(ratio, FORWARD_ALONE)]
    whole = [family for family, ratio in constants.items() if _is(ratio, 1.0)]
    if forward and whole:
        return (
            f"compute is 6 x parameters x examples for {whole[0]!r}, and 2 x for {forward[0]!r}, which is that of "
            "forward passes alone: at equal numbers they did not cost the same; count both alike"
        )
    return ""


def perhaps_wrongly_counted(constants: dict[str, float]) -> Iterator[str]:
    """What may be wrong with all of ``constants``."""
    if constants and all(_is(ratio, FORWARD_ALONE) for ratio in constants.values()):
        yield (
            "compute is 2 x parameters x examples in every run, which is that of forward passes alone: training costs "
            "three times that, and so does every budget that is asked about here"
        )


def _is(ratio: float, named: float) -> bool:
    return abs(math.log(ratio / named)) < _NEAR
