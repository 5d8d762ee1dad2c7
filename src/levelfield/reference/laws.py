"""The laws of the published record: what was fitted, what was dropped and why, and what is refused."""

from __future__ import annotations

import math
from collections.abc import Sequence

from levelfield.records.codec import record
from levelfield.records.reason import Reason
from levelfield.reference.currency import LEVEL, Compute, compute_by_hours
from levelfield.reference.placed import PlacedPoint, placed_points
from levelfield.reference.points import published_points
from levelfield.reference.resampled import (
    FittedPoint,
    Resampled,
    curve,
    fit_frontier,
    frontier,
    resampled,
    rows_of,
    scatter,
)
from levelfield.scaling.fitting.fit import fit
from levelfield.scaling.results.intervals import CurvePoint, Interval

FITTED_FORMS = ("log-log", "saturating", "shifted")
HIDDEN = (2.0, 4.0, 8.0)
"""A backtest hides every point within this factor of the largest compute, and predicts it from the rest."""
READING_ERROR = 0.1
"""Nats by which a loss read off the paper's figure 2 by eye may be wrong: half the distance of its ticks."""
THEIR_FIT = {"E": 9.0, "b": 0.35}
"""Floor (percent) and exponent of 2106.04560's own fit to fine-tuned error, which also has a shift; at second hand."""
VIT_PROTOCOLS = ("vit-jft3b-384-3b", "sovit-jft3b-384")
"""One laboratory, one data set, one fine-tuning resolution: what the ViTs' law is fitted to."""


@record
class Backtest:
    """A form fitted without the points beyond ``below`` exaFLOPs, and how far it then misses the hidden ones.

    ``miss`` is the root mean square of ln(predicted / seen), ``bias`` its mean: below 0 where it foretold too little
    error.
    """

    form: str
    below: float
    num_hidden: int
    miss: float
    bias: float


@record
class PublishedLaw:
    """A law of ImageNet error (percent) against compute (exaFLOPs), or why there is none (``refused``).

    ``parameters`` are in these units; ``intervals`` is empty where ``no_interval`` says why. ``scatter`` is the sd of
    ln error about the law, by form; ``chosen`` the form that is drawn. ``rows`` tell what was dropped.
    """

    name: str
    title: str
    chosen: str
    parameters: dict[str, float]
    intervals: dict[str, Interval]
    no_interval: Reason | None
    rows: tuple[FittedPoint, ...]
    scatter: dict[str, float]
    curve: tuple[CurvePoint, ...]
    backtests: tuple[Backtest, ...]
    refused: Reason | None

    @property
    def kept(self) -> tuple[FittedPoint, ...]:
        return tuple(row for row in self.rows if not row.dropped)

    @property
    def runs(self) -> tuple[str, ...]:
        """The runs that lead somewhere, and so carry the law."""
        return tuple(sorted({row.run for row in self.kept}))


@record
class LossLine:
    """The NFNets' held-out loss on JFT-4B (nats) between the two ends of the line that the paper draws.

    ``exponent`` is ln(loss ratio) / ln(compute ratio); ``low`` and ``high`` are what reading both losses wrong by
    ``reading_error`` in opposite directions, and the conversion of both computes, make of it: bounds, no confidence
    interval. ``refused`` is what fitting says of two points.
    """

    first: FittedPoint
    last: FittedPoint
    computes: tuple[Compute, Compute]
    exponent: float
    low: float
    high: float
    reading_error: float
    refused: Reason | None


def vit_points() -> tuple[PlacedPoint, ...]:
    """The ViTs whose law is fitted: pre-trained on all of JFT-3B, fine-tuned and tested at 384 px."""
    return tuple(p for p in placed_points() if p.protocol.id in VIT_PROTOCOLS)


def vit_law() -> tuple[PublishedLaw, Resampled]:
    """The law of the ViTs' error after fine-tuning at 384 px, and its fits without each run."""
    points = vit_points()
    law = law_of("vit-fine-tuned", "ViT, fine-tuned on ImageNet at 384 px", points, chosen="saturating")
    fits = resampled(rows_of(points), law.chosen)
    assert isinstance(fits, Resampled)  # the packaged points support it
    return law, fits


def few_shot_law() -> PublishedLaw:
    """The law of the ViTs' error with ten images a class."""
    points = [point for point in placed_points() if point.metric == "10-shot"]
    return law_of("vit-10-shot", "ViT, ten images a class", points, chosen="saturating")


def nfnet_law() -> PublishedLaw:
    """The law of the NFNets' error after fine-tuning."""
    points = [point for point in placed_points() if point.series == "NFNet"]
    return law_of("nfnet-fine-tuned", "NFNet, fine-tuned on ImageNet", points, chosen="log-log")


def law_of(name: str, title: str, points: Sequence[PlacedPoint], *, chosen: str) -> PublishedLaw:
    """The law of ``chosen`` form through the frontier of ``points``, with every other form's scatter and backtests."""
    rows = rows_of(points)
    best = frontier(rows)
    parameters: dict[str, float] = {}
    scatters: dict[str, float] = {}
    refused: Reason | None = None
    for form in FITTED_FORMS:
        found = fit_frontier(rows, form)
        if isinstance(found, Reason):
            refused = found
            continue
        scatters[form] = scatter(found, best)
        if form == chosen:
            parameters = dict(found.parameters)
    no_interval, whole = refused, None
    if not refused:
        again = resampled(rows, chosen)
        whole, no_interval = (None, again) if isinstance(again, Reason) else (again, None)
    return PublishedLaw(
        name=name,
        title=title,
        chosen=chosen,
        parameters=parameters,
        intervals={each: whole.parameter(each, level=LEVEL) for each in parameters} if whole else {},
        no_interval=no_interval,
        rows=rows,
        scatter=scatters,
        curve=curve(whole, best[0].exaflops, best[-1].exaflops, level=LEVEL) if whole else (),
        backtests=() if refused else backtests(rows),
        refused=refused,
    )


def backtests(rows: Sequence[FittedPoint]) -> tuple[Backtest, ...]:
    """Every form without the dearest points, held against them; what cannot be fitted is absent, repeats stand once."""
    best = frontier(rows)
    found: dict[tuple[str, int], Backtest] = {}
    for form in FITTED_FORMS:
        for factor in HIDDEN:
            below = best[-1].exaflops / factor
            hidden = [row for row in best if row.exaflops > below]
            law = fit_frontier([row for row in rows if row.exaflops <= below], form)
            if isinstance(law, Reason):
                continue
            misses = [math.log(law.predict(row.exaflops) / row.error) for row in hidden]
            found[form, len(hidden)] = Backtest(
                form=form,
                below=below,
                num_hidden=len(hidden),
                miss=math.sqrt(sum(value**2 for value in misses) / len(misses)),
                bias=sum(misses) / len(misses),
            )
    return tuple(found.values())


def loss_line() -> LossLine:
    """The exponent between the two ends of the paper's figure 2, and what it is worth."""
    ends = [point for point in published_points() if point.metric.startswith("JFT-4B held-out loss")]
    first, last = sorted(ends, key=lambda point: point.compute_value or 0.0)
    low, high = compute_by_hours(first), compute_by_hours(last)
    assert low is not None  # both rows state TPU-v4 core-hours
    assert high is not None
    span = math.log(high.exaflops / low.exaflops)
    wide = math.hypot(low.log_sd, high.log_sd)
    exponent = math.log(first.value / last.value) / span
    steepest = math.log((first.value + READING_ERROR) / (last.value - READING_ERROR)) / (span - wide)
    flattest = math.log((first.value - READING_ERROR) / (last.value + READING_ERROR)) / (span + wide)
    rows = [
        FittedPoint(model=point.model, run=point.model, exaflops=compute.exaflops, error=point.value)
        for point, compute in ((first, low), (last, high))
    ]
    line = fit([row.exaflops for row in rows], [row.error for row in rows], form="log-log")
    return LossLine(
        first=rows[0],
        last=rows[1],
        computes=(low, high),
        exponent=exponent,
        low=flattest,
        high=steepest,
        reading_error=READING_ERROR,
        refused=line if isinstance(line, Reason) else None,
    )
