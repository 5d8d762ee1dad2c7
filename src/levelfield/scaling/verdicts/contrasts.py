"""Differences between families as linear contrasts of cells, and the critical values that hold for all of them at once.

A statement is a weighted sum of the cells' mean ln losses. Because every verdict of a study is such a sum, one critical
value makes all its intervals simultaneous: the chance that any misses, anywhere in the study, is the stated one.

Estimated: δ = w·μ, the difference in expected ln loss of two families, each at its best, by w·ȳ. Three sources of
error, assumed independent of one another: seeds and examples (noise/uncertainty.py) and the choice of each cell
(noise/regret.py):

    SE(w)² = V(w) + w' Γ w + R(w),    interval: w·ȳ ± t(z, ν_w) SE(w).

z is one number for all statements: the quantile of the largest |deviate| among them over joint draws of all errors,
each t of ν_w degrees being turned into the normal deviate z that is as rare. Source: the largest of several t, Dunnett,
"A multiple comparison procedure for comparing several treatments with a control", JASA 50, 1955, here drawn instead of
tabled, because variances and degrees differ. Symbols: docs/explanation/notation.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from levelfield.records.reason import Reason
from levelfield.scaling.laws import Floats
from levelfield.scaling.noise.regret import SearchRegret, no_regret
from levelfield.scaling.noise.uncertainty import Noise
from levelfield.scaling.results.intervals import Interval

NUM_BAND_DRAWS = 6000
_FEWEST_DRAWS, _MOST_DRAWN = 600, 12_000_000
"""Draws at least, and drawn errors at most: few draws cost a little width, not validity."""
_FEWEST = 4.0
"""Degrees of freedom below which rarity is not balanced: tails so heavy would widen that contrast beyond all use."""


@dataclass(frozen=True, kw_only=True)
class Statement:
    """δ = ln(loss of a / loss of b) at one place (a budget, a time, or a mean of several).

    ``weights`` are w, over cells' ln losses; ``seconds_weights`` over the errors of their ln device-seconds.
    ``a_edges`` and ``b_edges`` name axes on which a family's best loss is only an upper bound, ``unlearnt`` a family
    that is near chance. ``undecidable`` says why no verdict is possible; ``set_apart`` why the place is no part of the
    overall verdict.
    """

    a: str
    b: str
    place: float
    weights: Floats
    seconds_weights: Floats
    a_edges: tuple[str, ...] = ()
    b_edges: tuple[str, ...] = ()
    unlearnt: tuple[str, ...] = ()
    undecidable: tuple[Reason, ...] = ()
    set_apart: tuple[Reason, ...] = ()


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
class Errors:
    """SE(w) of some contrasts, and those ``expected`` without what the contrasts' own cells and searches show, with
    their degrees of freedom.

    Draws are held against the expected ones, as errors are drawn from what all cells show together.
    """

    standard: Floats
    expected: Floats
    degrees: Floats

    def half_widths(self, critical: float) -> Floats:
        """Of their intervals at ``critical`` normal deviates (see :meth:`Evidence.critical`)."""
        return _student(critical, self.degrees) * self.standard


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What all statements of a study rest on: the cells' mean ln losses, how they may err, and draws of their errors.

    ``loss_errors`` and ``clock_errors`` are (draws, cells) plausible errors of ln losses and ln device-seconds. They
    are drawn once for all cells together, so that what statements share makes the price of many smaller.
    """

    log_losses: Floats
    noise: Noise
    seconds: Seconds
    regret: SearchRegret
    loss_errors: Floats
    clock_errors: Floats

    def errors(self, weights: Floats, timed: Floats) -> Errors:
        """Of contrasts with (contrasts, cells) ``weights`` of ln losses and ``timed`` of clocks.

        The degrees are ν_w SE⁴ / V²: of the sources only V(w) counts as uncertain (Satterthwaite 1946).
        """
        seeds, degrees = self.noise.seed_variances(weights)
        rest = self.noise.example_variances(weights) + self.seconds.variances(timed)
        expected = np.maximum(seeds + rest + self.regret.pooled_variances(weights), 1e-30)
        total = self.noise.larger(seeds, weights) + rest + self.regret.variances(weights)
        return Errors(
            standard=np.sqrt(total),
            expected=np.sqrt(expected),
            degrees=degrees * (expected / np.maximum(seeds, 1e-30)) ** 2,
        )

    def drawn(self, weights: Floats, timed: Floats) -> Floats:
        """(draws, contrasts) plausible errors of the contrasts."""
        used = np.any(weights != 0, axis=0)
        drawn = self.loss_errors[:, used] @ weights[:, used].T
        return drawn + self.clock_errors @ timed.T if timed.any() else drawn

    def critical(self, weights: Floats, timed: Floats, levels: Sequence[float]) -> tuple[float, ...]:
        """The normal deviates z that hold for all contrasts at once at each of ``levels``: ranks of the largest |z|.

        Every |t| is turned into the normal deviate that is as rare, so that a contrast whose noise few seeds measured
        widens its own interval and not all others'. The rank is that of an exact Monte Carlo test, so few draws cost
        width, not validity. Source: Barnard, discussion of Bartlett, Journal of the Royal Statistical Society B 25,
        1963.
        """
        errors = self.errors(weights, timed)
        deviates = _normal(np.abs(self.drawn(weights, timed)) / errors.expected, errors.degrees)
        largest = np.sort(np.max(deviates, axis=-1))
        ranks = (min(len(largest), math.ceil(level * (len(largest) + 1))) for level in levels)
        return tuple(float(largest[rank - 1]) for rank in ranks)


def _normal(t: Floats, degrees: Floats) -> Floats:
    """The normal deviate z as rare as ``t`` of so many degrees of freedom, nearly.

    z = (8 ν + 1) / (8 ν + 3) (ν ln(1 + t² / ν))^½. Source: Wallace, "Bounds on normal approximations to Student's and
    the chi-square distributions", Annals of Mathematical Statistics 30, 1959.
    """
    known = np.maximum(degrees, _FEWEST)
    return (8 * known + 1) / (8 * known + 3) * np.sqrt(known * np.log1p(t**2 / known))


def _student(z: float, degrees: Floats) -> Floats:
    """t(z, ν), the inverse of :func:`_normal`."""
    known = np.maximum(degrees, _FEWEST)
    return np.sqrt(known * np.expm1((z * (8 * known + 3) / (8 * known + 1)) ** 2 / known))


def evidence_of(
    log_losses: Floats,
    noise: Noise,
    seconds: Seconds,
    generator: np.random.Generator,
    *,
    regret: SearchRegret | None = None,
    num_draws: int = NUM_BAND_DRAWS,
) -> Evidence:
    """The evidence of cells, with ``num_draws`` draws of their errors, fewer of very many cells."""
    num_draws = min(num_draws, max(_FEWEST_DRAWS, _MOST_DRAWN // len(log_losses)))
    regret = regret or no_regret(len(log_losses))
    clocks = generator.standard_normal((num_draws, len(log_losses))) if seconds.sd > 0 else np.zeros((1, 1))
    return Evidence(
        log_losses=log_losses,
        noise=noise,
        seconds=seconds,
        regret=regret,
        loss_errors=noise.draws(generator, num_draws) + regret.draws(generator, num_draws),
        clock_errors=np.broadcast_to(clocks * seconds.sd / np.sqrt(seconds.num_runs), (num_draws, len(log_losses))),
    )


@dataclass(frozen=True, kw_only=True)
class Band:
    """Everything needed to give a statement its simultaneous intervals.

    ``inner_critical`` belongs to ``level`` (shown; decides "equivalent"), ``outer_critical`` to the level halfway from
    there to certainty (decides "better" and "worse"): 90 % and 95 %. Both are normal deviates.
    """

    evidence: Evidence
    level: float
    inner_critical: float
    outer_critical: float

    def judge(self, statement: Statement) -> Judged:
        errors = self.evidence.errors(*stacked([statement]))
        inner, outer = (float(errors.half_widths(z)[0]) for z in (self.inner_critical, self.outer_critical))
        return Judged(
            statement=statement,
            estimate=float(statement.weights @ self.evidence.log_losses),
            standard_error=float(errors.standard[0]),
            inner=inner,
            outer=outer,
            level=self.level,
        )


def simultaneous_band(statements: Sequence[Statement], evidence: Evidence, *, level: float) -> Band:
    """The band whose intervals hold for all ``statements`` at once."""
    inner, outer = evidence.critical(*stacked(statements), (level, (1 + level) / 2))
    return Band(evidence=evidence, level=level, inner_critical=inner, outer_critical=outer)


def mean_statement(statements: Sequence[Statement], shares: Floats | None = None) -> Statement:
    """The weighted mean of ``statements`` (equal shares unless given), with the edges of all of them.

    Its w is the mean of theirs: the estimand is the mean of their δ, whether or not they are alike.
    """
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
        unlearnt=_union(statement.unlearnt for statement in statements),
    )


def trend_ends(statements: Sequence[Statement]) -> tuple[Statement, ...]:
    """The least-squares line through the differences against ln place at its two ends; below 3 the statements.

    Its values are linear in the differences, so each end is a statement with w of its own.
    """
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
