"""Did the order of pre-training losses foretell the order of transfers? A rank correlation with its interval."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from levelfield.records.codec import record
from levelfield.records.reason import Reason
from levelfield.scaling.laws import Floats, Numbers
from levelfield.scaling.results.intervals import Interval
from levelfield.scaling.results.reasons.verdicts import FewPairs

NUM_RESAMPLES = 2000
MIN_PAIRS = 10
"""Below this many pairs a resampled rank correlation says nothing of its spread."""


@record
class RankAgreement:
    """How often two backbones stand in the same order by pre-training loss and by transfer: Kendall's tau.

    1: always, 0: as often as not, -1: never. ``what`` is the arm, ``among`` says which pairs were looked at: those of a
    family over ``all rungs``, or of ``equal compute`` alone. ``tau`` is None where they are too few, as ``status``
    says.
    """

    what: str
    among: str
    num_backbones: int
    num_pairs: int
    tau: Interval | None
    status: Reason | None = None


def rank_agreement(
    pretraining: Numbers,
    transfer: Numbers,
    groups: Sequence[Hashable],
    *,
    what: str,
    among: str,
    level: float,
    generator: np.random.Generator,
) -> RankAgreement:
    """The agreement over pairs of backbones of one group; both measures are better when lower.

    The interval is the percentile one of resampled backbones; two draws of one backbone are no pair. Ties count as
    neither agreement nor disagreement.
    """
    x, y = np.asarray(pretraining, dtype=float), np.asarray(transfer, dtype=float)
    agreement = np.sign(x[:, None] - x) * np.sign(y[:, None] - y)
    codes = np.unique([str(group) for group in groups], return_inverse=True)[1] if len(x) else np.zeros(0, dtype=int)
    paired = ((codes[:, None] == codes) & ~np.eye(len(x), dtype=bool)).astype(float)
    num_pairs = int(paired.sum()) // 2
    found = RankAgreement(what=what, among=among, num_backbones=len(x), num_pairs=num_pairs, tau=None)
    if num_pairs < MIN_PAIRS:
        status = FewPairs(num_backbones=len(x), num_pairs=num_pairs, needed=MIN_PAIRS)
        return dataclasses.replace(found, status=status)
    (estimate,) = _tau(agreement * paired, paired, np.ones((1, len(x))))
    draws = _tau(agreement * paired, paired, generator.multinomial(len(x), [1 / len(x)] * len(x), NUM_RESAMPLES))
    low, high = np.nanquantile(draws, [(1 - level) / 2, (1 + level) / 2])
    low, high = min(float(low), float(estimate)), max(float(high), float(estimate))
    return dataclasses.replace(found, tau=Interval(estimate=float(estimate), low=low, high=high, level=level))


def _tau(agreement: Floats, paired: Floats, times: NDArray[np.integer] | Floats) -> Floats:
    """Kendall's tau of backbones drawn so many ``times`` [draws, backbones]; nan where no two of them are a pair."""
    pairs = np.sum((times @ paired) * times, axis=1)
    agreeing = np.sum((times @ agreement) * times, axis=1)
    return np.divide(agreeing, pairs, out=np.full(len(times), np.nan), where=pairs > 0)
