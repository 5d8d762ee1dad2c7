"""How wrong each form of law was on other people's runs, far beyond what it was fitted to.

Pooled by benchmarks/law_errors.py over public tables, cut short at every budget and held against what came: the sd of
the error of ln loss that noise does not explain is ``slope`` x ln distance, where slope^2 = ``least``^2 + (``own`` x
the table's own slope)^2; ``untested`` stands for the slope where a table is too short for a backtest of its own.
"""

from __future__ import annotations

from typing import NamedTuple


class FormError(NamedTuple):
    """The error of a form an e-fold beyond its rows; ``farthest`` is the ln distance that the tables reach."""

    least: float
    own: float
    untested: float
    farthest: float
    num_curves: int


SHIPPED = {
    "size-and-examples": FormError(least=0.0021, own=1.3, untested=0.0078, farthest=5.55, num_curves=18),
    "repeated": FormError(least=0.0021, own=1.3, untested=0.0078, farthest=5.55, num_curves=18),
    "saturating": FormError(least=0.0028, own=0.65, untested=0.0042, farthest=5.55, num_curves=32),
    "log-log": FormError(least=0.0129, own=1.05, untested=0.0237, farthest=5.55, num_curves=30),
}
"""Found by benchmarks/law_errors.py; none of its tables has repeated examples, so their law is taken to be as wrong as
the one that it extends."""
UNLISTED = "saturating"
"""The forms of more parameters are no better known than this one."""


def form_error(form: str) -> FormError:
    return SHIPPED.get(form, SHIPPED[UNLISTED])
