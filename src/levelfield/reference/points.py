"""Published results as records, as their sources have them."""

from __future__ import annotations

import csv
import functools
import io
from collections.abc import Iterable, Iterator
from importlib import resources
from typing import Literal, TypeAlias

from levelfield.records.codec import record

PublishedFamily: TypeAlias = Literal["convnet", "vit", "hybrid"]
Trust: TypeAlias = Literal["printed", "secondary", "inferred", "figure", "doubtful"]

TRUST_MEANS: dict[Trust, str] = {
    "printed": "read in the source's own table, text or file",
    "secondary": "quoted by another paper than the one that measured it",
    "inferred": "a number or a name that the source implies but does not print beside it",
    "figure": "read off a figure by eye",
    "doubtful": "printed, but it contradicts what stands beside it",
}


@record
class PublishedPoint:
    """One published result; ``compute_value`` is in ``compute_unit``, as the source has it. Absent numbers are None.

    ``run`` names the pre-training run: points of one run are one observation of its luck, however many there are.
    ``architecture`` (a text that :mod:`levelfield.families` reads) and ``examples``, images seen in pre-training up to
    a relative ``examples_error``, are there where compute can be counted. ``protocol`` is a key of
    :func:`levelfield.reference.protocols.protocols`.
    """

    source: str
    model: str
    family: PublishedFamily
    params: float | None
    pretrain_data: str
    compute_value: float | None
    compute_unit: str
    metric: str
    value: float
    run: str
    protocol: str
    architecture: str
    examples: float | None
    examples_error: float
    trust: Trust
    note: str

    @property
    def error(self) -> float | None:
        """ImageNet error in percent, or None where the metric is no ImageNet accuracy of a classifier."""
        known = ("ImageNet-1k top-1", "ImageNet-1k 10-shot")
        return round(100.0 - self.value, 6) if self.metric.startswith(known) else None


@functools.cache
def published_points() -> tuple[PublishedPoint, ...]:
    """Every published point, in the order of the table."""
    return tuple(_point(row) for row in rows_of("points.csv"))


def select(
    *,
    family: PublishedFamily | None = None,
    metric: str | None = None,
    source: str | None = None,
    points: Iterable[PublishedPoint] | None = None,
) -> tuple[PublishedPoint, ...]:
    """The points of one family, whose metric and source begin with the given texts."""
    return tuple(
        point
        for point in (published_points() if points is None else points)
        if (family is None or point.family == family)
        and (metric is None or point.metric.startswith(metric))
        and (source is None or point.source.startswith(source))
    )


def rows_of(name: str) -> Iterator[dict[str, str]]:
    """The rows of one of the packaged tables."""
    table = resources.files("levelfield.reference").joinpath("data", name)
    return csv.DictReader(io.StringIO(table.read_text(encoding="utf-8")))


def _point(row: dict[str, str]) -> PublishedPoint:
    params = _number(row["params_M"])
    return PublishedPoint(
        source=row["source"],
        model=row["model"],
        family=row["family"],  # pyright: ignore[reportArgumentType]
        params=None if params is None else params * 1e6,
        pretrain_data=row["pretrain_data"],
        compute_value=_number(row["pretrain_compute_value"]),
        compute_unit=row["compute_unit"],
        metric=row["metric"],
        value=float(row["value"]),
        run=row["run"],
        protocol=row["protocol"],
        architecture=row["architecture"],
        examples=_number(row["examples"]),
        examples_error=_number(row["examples_error"]) or 0.0,
        trust=row["trust"],  # pyright: ignore[reportArgumentType]
        note=row["note"],
    )


def _number(text: str) -> float | None:
    return float(text) if text else None
