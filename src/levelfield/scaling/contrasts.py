"""Differences between families as linear contrasts of cells, and the critical values that hold for all of them at once.

A statement is a weighted sum of the cells' mean ln losses. Because every verdict of a study is such a sum, one critical
value makes all its intervals simultaneous: the chance that any misses, anywhere in the study, is the stated one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from levelfield.scaling.analysis import Interval
from levelfield.scaling.choice import Choice, no_choice
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
class Evidence:
    """What all statements of a study rest on: the cells' mean ln losses, how they may err, and draws of their errors.

    ``loss_errors`` and ``clock_errors`` are (draws, cells) plausible errors of ln losses and ln device-seconds. They
    are drawn once for all cells together, so that what statements share makes the price of many smaller.
    """

    log_losses: Floats
    noise: Noise
    seconds: Seconds
    choice: Choice
    loss_errors: Floats
    clock_errors: Floats

    def standard_errors(self, weights: Floats, timed: Floats) -> Floats:
        """Of contrasts with (contrasts, cells) ``weights`` of ln losses and ``timed`` of clocks."""
        beyond_runs = self.seconds.variances(timed) + self.choice.variances(weights)
        return np.sqrt(self.noise.standard_errors(weights) ** 2 + beyond_runs)

    def drawn(self, weights: Floats, timed: Floats) -> Floats:
        """(draws, contrasts) plausible errors of the contrasts."""
        return self.loss_errors @ weights.T + self.clock_errors @ timed.T

    def critical(self, weights: Floats, timed: Floats, levels: Sequence[float]) -> tuple[float, ...]:
        """How many standard errors hold for all contrasts at once at each of ``levels``: ranks of the largest |t|.

        The rank is that of an exact Monte Carlo test (Barnard 1963), so few draws cost width, not validity.
        """
        errors = self.noise.pooled_variances(weights) + self.noise.example_variances(weights)
        errors = np.sqrt(errors + self.seconds.variances(timed) + self.choice.pooled_variances(weights))
        largest = np.sort(np.max(np.abs(self.drawn(weights, timed)) / np.maximum(errors, 1e-15), axis=-1))
        ranks = (min(len(largest), math.ceil(level * (len(largest) + 1))) for level in levels)
        return tuple(float(largest[rank - 1]) for rank in ranks)


def evidence_of(
    log_losses: Floats,
    noise: Noise,
    seconds: Seconds,
    generator: np.random.Generator,
    *,
    choice: Choice | None = None,
    num_draws: int = NUM_DRAWS,
) -> Evidence:
    """The evidence of cells, with ``num_draws`` draws of their errors."""
    choice = choice or no_choice(len(log_losses))
    clocks = generator.standard_normal((num_draws, len(log_losses))) if seconds.sd > 0 else np.zeros((1, 1))
    return Evidence(
        log_losses=log_losses,
        noise=noise,
        seconds=seconds,
        choice=choice,
        loss_errors=noise.draws(generator, num_draws) + choice.draws(generator, num_draws),
        clock_errors=np.broadcast_to(clocks * seconds.sd / np.sqrt(seconds.num_runs), (num_draws, len(log_losses))),
    )


@dataclass(frozen=True, kw_only=True)
class Band:
    """Everything needed to give a statement its simultaneous intervals.

    ``inner_critical`` belongs to ``level`` (shown; decides "equivalent"), ``outer_critical`` to the level halfway from
    there to certainty (decides "better" and "worse"): 90 % and 95 %.
    """

    evidence: Evidence
    level: float
    inner_critical: float
    outer_critical: float

    def judge(self, statement: Statement) -> Judged:
        error = float(self.evidence.standard_errors(*stacked([statement]))[0])
        return Judged(
            statement=statement,
            estimate=float(statement.weights @ self.evidence.log_losses),
            standard_error=error,
            inner=self.inner_critical * error,
            outer=self.outer_critical * error,
            level=self.level,
        )


def simultaneous_band(statements: Sequence[Statement], evidence: Evidence, *, level: float) -> Band:
    """The band whose intervals hold for all ``statements`` at once."""
    inner, outer = evidence.critical(*stacked(statements), (level, (1 + level) / 2))
    return Band(evidence=evidence, level=level, inner_critical=inner, outer_critical=outer)


def mean_statement(statements: Sequence[Statement], shares: Floats | None = None) -> Statement:
    """The weighted mean of ``statements`` (equal shares unless given), with the edges of all of them."""
    if shares is None:
        shares = np.full(len(statements), 1 / len(statements))
    weights, timed = stacked(statements)
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


def stacked(statements: Sequence[Statement]) -> tuple[Floats, Floats]:
    """The weights of ``statements`` over cells' ln losses and over their clocks, each (statements, cells)."""
    return np.stack([s.weights for s in statements]), np.stack([s.seconds_weights for s in statements])


def _union(edges) -> tuple[str, ...]:
    return tuple(sorted({edge for some in edges for edge in some}))
