"""Differences between families as linear contrasts of cells, and the critical values that hold for all of them at once.

A statement is a weighted sum of the cells' mean ln losses. Because every verdict of a study is such a sum, one critical
value makes all its intervals simultaneous: the chance that any misses, anywhere in the study, is the stated one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from levelfield.scaling.analysis import Interval
from levelfield.scaling.laws import Floats
from levelfield.scaling.uncertainty import Noise

NUM_DRAWS = 6000


@dataclass(frozen=True, kw_only=True)
class Statement:
    """ln(loss of a / loss of b) at one place (a budget, a time, or a mean of several).

    ``weights`` are over cells' ln losses; ``seconds_weights`` over the errors of their ln device-seconds.
    ``a_edges`` and ``b_edges`` name axes on which a family's best loss is only an upper bound. ``undecidable`` says why
    no verdict is possible; ``set_apart`` why the place is no part of the overall verdict.
    """

    a: str
    b: str
    place: float
    weights: Floats
    seconds_weights: Floats
    a_edges: tuple[str, ...] = ()
    b_edges: tuple[str, ...] = ()
    undecidable: tuple[str, ...] = ()
    set_apart: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Seconds:
    """The noise of ln device-seconds: the pooled sd of one run, and how many runs each cell has."""

    sd: float
    num_runs: Floats

    def variances(self, weights: Floats) -> Floats:
        return np.sum(weights**2 * self.sd**2 / self.num_runs, axis=-1)


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A statement with its estimate, standard error, and half-widths at the two simultaneous levels."""

    statement: Statement
    estimate: float
    standard_error: float
    inner: float
    outer: float
    level: float

    @property
    def interval(self) -> Interval:
        return Interval(
            estimate=self.estimate,
            low=self.estimate - self.inner,
            high=self.estimate + self.inner,
            level=self.level,
        )


@dataclass(frozen=True, kw_only=True)
class Band:
    """Everything needed to give a statement its simultaneous intervals.

    ``inner_critical`` belongs to ``level`` (shown; decides "equivalent"), ``outer_critical`` to the level halfway from
    there to certainty (decides "better" and "worse"): 90 % and 95 %.
    """

    log_losses: Floats
    noise: Noise
    seconds: Seconds
    level: float
    inner_critical: float = field(default=np.nan)
    outer_critical: float = field(default=np.nan)

    def judge(self, statement: Statement) -> Judged:
        error = float(self._errors([statement])[0])
        return Judged(
            statement=statement,
            estimate=float(statement.weights @ self.log_losses),
            standard_error=error,
            inner=self.inner_critical * error,
            outer=self.outer_critical * error,
            level=self.level,
        )

    def _errors(self, statements: Sequence[Statement]) -> Floats:
        weights, timed = _stacked(statements)
        return np.sqrt(self.noise.standard_errors(weights) ** 2 + self.seconds.variances(timed))


def simultaneous_band(
    statements: Sequence[Statement],
    *,
    log_losses: Floats,
    noise: Noise,
    seconds: Seconds,
    level: float,
    generator: np.random.Generator,
) -> Band:
    """The band whose intervals hold for all ``statements`` at once: quantiles of the largest |t| among them.

    Plausible errors are drawn for all cells together, so that what statements share makes the price of many smaller.
    """
    weights, timed = _stacked(statements)
    pooled = np.sum(weights**2 * (noise.seed_sd or 0.0) ** 2 / noise.num_seeds, axis=-1)
    errors = np.sqrt(pooled + noise.example_variances(weights) + seconds.variances(timed))
    drawn = noise.draws(generator, NUM_DRAWS) @ weights.T
    if seconds.sd > 0 and np.any(timed):
        clocks = generator.standard_normal((NUM_DRAWS, len(log_losses))) * seconds.sd / np.sqrt(seconds.num_runs)
        drawn += clocks @ timed.T
    largest = np.max(np.abs(drawn) / np.maximum(errors, 1e-15), axis=-1)
    inner, outer = np.quantile(largest, [level, (1 + level) / 2])
    return Band(
        log_losses=log_losses,
        noise=noise,
        seconds=seconds,
        level=level,
        inner_critical=float(inner),
        outer_critical=float(outer),
    )


def mean_statement(statements: Sequence[Statement], shares: Floats | None = None) -> Statement:
    """The weighted mean of ``statements`` (equal shares unless given), with the edges of all of them."""
    if shares is None:
        shares = np.full(len(statements), 1 / len(statements))
    weights, timed = _stacked(statements)
    return Statement(
        a=statements[0].a,
        b=statements[0].b,
        place=max(statement.place for statement in statements),
        weights=shares @ weights,
        seconds_weights=shares @ timed,
        a_edges=_union(statement.a_edges for statement in statements),
        b_edges=_union(statement.b_edges for statement in statements),
    )


def trend_ends(statements: Sequence[Statement]) -> tuple[Statement, ...]:
    """The straight line through the differences against ln place at its two ends; below 3 the statements."""
    if len(statements) < 3:
        return tuple(statements)
    x = np.log([statement.place for statement in statements])
    design = np.stack([np.ones_like(x), x - x.mean()], axis=-1)
    hat = design @ np.linalg.pinv(design)
    return tuple(mean_statement(statements, hat[end]) for end in (int(np.argmin(x)), int(np.argmax(x))))


def _stacked(statements: Sequence[Statement]) -> tuple[Floats, Floats]:
    return np.stack([s.weights for s in statements]), np.stack([s.seconds_weights for s in statements])


def _union(edges) -> tuple[str, ...]:
    return tuple(sorted({edge for some in edges for edge in some}))
