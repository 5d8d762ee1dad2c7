"""The published evidence in one picture: ImageNet error against pre-training compute, each with its confounds."""

from __future__ import annotations

from typing import Literal, TypeAlias

from levelfield.records.codec import record
from levelfield.reference.points import Compute, PublishedPoint, published_points

SeedSeries: TypeAlias = Literal["NFNet", "ResNet", "ViT", "ViT grid", "hybrid"]

STATEMENT = (
    "Three NFNet runs with known compute, from two papers, two data sets and two recipes, are no law: they show that "
    "the gap is small near 2×10²² FLOPs, not how either family scales."
)

_CONFOUNDS = {
    "arXiv 2310.16764": "JFT-4B; fine-tuned at 384 px with SAM, tested at 480 px; core-hours judged by eye",
    "arXiv 2102.06171": "JFT-300M; tested at 512 px; SAM and averaged weights in fine-tuning",
    "arXiv 2106.04560 [derived]": "JFT-3B; tested at 518 px; another optimiser (Adafactor), not tuned again",
    "arXiv 2305.13035 [derived]": "JFT-3B; tested at 518 px; another optimiser (Adafactor), not tuned again",
    "arXiv 2106.04560": "JFT-3B and subsets; tested at 384 px; one schedule with cooldowns, not one run a budget",
    "arXiv 2010.11929": "JFT-300M; tested at 384 px; one recipe (Adam) for all, weak for ResNets",
    "arXiv 2106.04803": "JFT-300M or JFT-3B; tested at up to 512 px; compute converted from device time",
}


@record
class SeedPoint:
    """One point of the figure: error in percent against exaFLOPs, and why it is not quite comparable."""

    series: SeedSeries
    model: str
    compute: Compute
    error: float
    confounds: str
    source: str


@record
class SeedFigure:
    """The points and what may be said of them."""

    points: tuple[SeedPoint, ...]
    statement: str = STATEMENT


def seed_figure() -> SeedFigure:
    """ImageNet-1k top-1 error after fine-tuning, for every run whose pre-training compute is known or convertible.

    A pre-training run stands once: device time is converted (and drawn as a range) only where no FLOPs are known, and
    F7+ fine-tuned with repeated augmentation (90.4 %) is the same run as F7+. Of the Scaling ViT grid the runs on all
    of JFT-3B are drawn, not those that starve on a subset of it.
    """
    points = [_seed_point(point) for point in published_points() if _belongs(point)]
    return SeedFigure(
        points=tuple(sorted(points, key=lambda point: (point.series, point.compute.exaflops, point.model)))
    )


def _belongs(point: PublishedPoint) -> bool:
    if not point.metric.startswith("ImageNet-1k top-1 (fine-tuned") or point.compute is None:
        return False
    if "App. G" in point.source:
        return "subset 3B" in point.pretrain_data
    if point.family == "hybrid":
        return True
    return point.compute_unit.startswith("exaFLOPs")


def _seed_point(point: PublishedPoint) -> SeedPoint:
    compute, error = point.compute, point.error
    assert compute is not None  # _belongs
    assert error is not None
    return SeedPoint(
        series=_series(point),
        model=point.model,
        compute=compute,
        error=error,
        confounds=_confounds(point.source),
        source=point.source,
    )


def _series(point: PublishedPoint) -> SeedSeries:
    if point.family == "hybrid":
        return "hybrid"
    if point.family == "convnet":
        return "NFNet" if point.model.startswith("NFNet") else "ResNet"
    return "ViT grid" if "App. G" in point.source else "ViT"


def _confounds(source: str) -> str:
    exact = _CONFOUNDS.get(source)
    if exact is not None:
        return exact
    return next((text for start, text in _CONFOUNDS.items() if source.startswith(start.split(" [")[0])), "")
