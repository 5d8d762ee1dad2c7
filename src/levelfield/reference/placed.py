"""Published ImageNet errors in one currency, each pre-training and fine-tuning once; what was left out, and why."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable
from typing import Literal, TypeAlias

from levelfield.records.codec import record
from levelfield.reference.currency import Compute, compute_by_hours, compute_of
from levelfield.reference.points import PublishedPoint, Trust, published_points
from levelfield.reference.protocols import Protocol, protocols

Series: TypeAlias = Literal["NFNet", "other ConvNet", "ViT", "hybrid"]
Metric: TypeAlias = Literal["fine-tuned", "10-shot"]

_TRUST_ORDER: tuple[Trust, ...] = ("printed", "inferred", "secondary", "figure", "doubtful")
_BASIS_ORDER = ("counted", "stated", "converted")


@record
class PlacedPoint:
    """One result: ImageNet error in percent at its pre-training compute, and everything that makes it differ.

    ``by_hours`` is the compute that published device time allows, where there is any: a second opinion.
    """

    series: Series
    model: str
    params: float | None
    run: str
    metric: Metric
    compute: Compute
    by_hours: Compute | None
    error: float
    protocol: Protocol
    trust: Trust
    source: str
    note: str

    @property
    def exaflops(self) -> float:
        return self.compute.exaflops


@record
class LeftOut:
    """Published points that stand nowhere in the picture, and why."""

    why: str
    num_points: int


@functools.cache
def placed_points() -> tuple[PlacedPoint, ...]:
    """Every result that has a place, by series and compute."""
    groups: dict[tuple[str, str, float | None, float], list[PublishedPoint]] = {}
    for point in published_points():
        if not _why_left_out(point):
            groups.setdefault((point.run, point.protocol, point.examples, point.value), []).append(point)
    found = [_placed(points) for points in groups.values()]
    return tuple(sorted(found, key=lambda point: (point.series, point.exaflops, point.model, point.error)))


def left_out() -> tuple[LeftOut, ...]:
    """How many published points have no place, by the reason; repeats of a result count as such."""
    reasons = Counter(_why_left_out(point) for point in published_points())
    repeats = reasons.pop("") - len(placed_points())
    if repeats:
        reasons["the same result of the same run, printed again"] = repeats
    return tuple(LeftOut(why=why, num_points=number) for why, number in sorted(reasons.items(), key=lambda p: -p[1]))


def _why_left_out(point: PublishedPoint) -> str:
    if point.metric.startswith("JFT-4B held-out loss"):
        return "held-out loss, not ImageNet error: see the law of the NFNets' loss"
    if not point.metric.startswith(("ImageNet-1k top-1 (fine-tuned", "ImageNet-1k 10-shot")):
        if point.metric.startswith("ImageNet-1k top-1 (from scratch)"):
            return "no pre-training"
        return "another metric: zero-shot, linear probe, ReaL labels, or not fine-tuned"
    return "" if compute_of(point) is not None else "compute neither stated nor countable"


def _placed(points: Iterable[PublishedPoint]) -> PlacedPoint:
    """The result that several rows print, at its best-known compute and its most trusted source."""
    rows = sorted(points, key=lambda row: (_BASIS_ORDER.index(_known(row).basis), _TRUST_ORDER.index(row.trust)))
    best = rows[0]
    # Device time belongs to the run at this length, whichever of its results is printed beside it.
    timed = [row for row in published_points() if (row.run, row.examples) == (best.run, best.examples)]
    timed = [row for row in timed if "core-" in row.compute_unit and row.trust != "figure"]
    timed.sort(key=lambda row: "v4" not in row.compute_unit)  # converted more surely
    assert best.error is not None  # _why_left_out keeps ImageNet accuracies alone
    return PlacedPoint(
        series=_series(best),
        model=best.model,
        params=best.params,
        run=best.run,
        metric="10-shot" if "10-shot" in best.metric else "fine-tuned",
        compute=_known(best),
        by_hours=compute_by_hours(timed[0]) if timed else None,
        error=best.error,
        protocol=protocols()[best.protocol],
        trust=best.trust,
        source=best.source,
        note=best.note,
    )


def _known(point: PublishedPoint) -> Compute:
    compute = compute_of(point)
    assert compute is not None  # _why_left_out
    return compute


def _series(point: PublishedPoint) -> Series:
    if point.family == "vit":
        return "ViT"
    if point.family == "hybrid":
        return "hybrid"
    return "NFNet" if point.model.startswith("NFNet") else "other ConvNet"
