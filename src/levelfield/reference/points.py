"""Published results as records, and their compute in one currency: training exaFLOPs.

Convention of the currency: 1 MAC = 2 FLOPs, training = 3 forward passes (arXiv 2010.11929 and 2106.04560 count so:
7 epochs x 303 M images x 122.9 GFLOPs x 3 = 782 exaFLOPs for ViT-L/16, printed as 783).
"""

from __future__ import annotations

import csv
import functools
import io
from collections.abc import Iterable
from importlib import resources
from typing import Literal, TypeAlias

from levelfield.records.codec import record

PublishedFamily: TypeAlias = Literal["convnet", "vit", "hybrid"]
Basis: TypeAlias = Literal["stated", "derived", "converted"]

_EXAFLOP_UNITS = ("exaFLOPs (train=3x fwd, 2 FLOPs/MAC)", "exaFLOPs (train=3x fwd image+text, 2 FLOPs/MAC)")
_FORWARD_UNIT = "GFLOPs (forward-only convention of that paper)"
_GIGA_PER_EXA = 1e9
_TRAINING_OVER_FORWARD = 3.0

EXAFLOPS_PER_TPU_V4_CORE_HOUR = (0.194, 0.218)
"""The range over the four runs for which both are known: F7+ (21,347 in 110k h), ViT-g/14, ViT-G/14, SoViT-400m/14."""

EXAFLOPS_PER_TPU_V3_CORE_HOUR = (0.033, 0.125)
"""The range over six runs with both known, from NFNet-F4 (2,973 in 3.7k days) to ViT-g/14 (26,203 in 210k h)."""

_HOURS = {"TPU-v4 core-hours": 1.0, "TPU-v3 core-hours": 1.0, "TPU-v3 core-days": 24.0}


@record
class Compute:
    """Pre-training compute in exaFLOPs; ``low`` and ``high`` differ from ``exaflops`` where it had to be converted.

    ``basis``: ``stated`` by the source, ``derived`` by us from counted FLOPs and images seen, or ``converted`` from
    device time or from a forward-only count.
    """

    exaflops: float
    low: float
    high: float
    basis: Basis


@record
class PublishedPoint:
    """One published result; ``compute_value`` is in ``compute_unit``, as the source has it. Absent numbers are None."""

    source: str
    model: str
    family: PublishedFamily
    params: float | None
    pretrain_data: str
    compute_value: float | None
    compute_unit: str
    metric: str
    value: float
    note: str

    @property
    def compute(self) -> Compute | None:
        """The compute in exaFLOPs, or None where no stated conversion leads there."""
        value, unit = self.compute_value, self.compute_unit
        if value is None:
            return None
        if unit in _EXAFLOP_UNITS:
            return Compute(exaflops=value, low=value, high=value, basis="derived" if self._derived else "stated")
        if unit == _FORWARD_UNIT:
            training = _TRAINING_OVER_FORWARD * value / _GIGA_PER_EXA
            return Compute(exaflops=training, low=training, high=training, basis="converted")
        if unit in _HOURS:
            rate = EXAFLOPS_PER_TPU_V4_CORE_HOUR if "v4" in unit else EXAFLOPS_PER_TPU_V3_CORE_HOUR
            hours = value * _HOURS[unit]
            low, high = hours * rate[0], hours * rate[1]
            return Compute(exaflops=(low * high) ** 0.5, low=low, high=high, basis="converted")
        return None

    @property
    def error(self) -> float | None:
        """ImageNet top-1 error in percent, or None where the metric is no ImageNet top-1 accuracy."""
        return 100.0 - self.value if self.metric.startswith("ImageNet-1k top-1") else None

    @property
    def _derived(self) -> bool:
        return "DERIVED" in self.note or "[derived]" in self.source or "by us" in self.note


@functools.cache
def published_points() -> tuple[PublishedPoint, ...]:
    """Every published point, in the order of the table."""
    table = resources.files("levelfield.reference").joinpath("data", "points.csv")
    rows = csv.DictReader(io.StringIO(table.read_text(encoding="utf-8")))
    return tuple(_point(row) for row in rows)


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


def _point(row: dict[str, str]) -> PublishedPoint:
    params, compute = row["params_M"], row["pretrain_compute_value"]
    return PublishedPoint(
        source=row["source"],
        model=row["model"],
        family=row["family"],  # pyright: ignore[reportArgumentType]
        params=float(params) * 1e6 if params else None,
        pretrain_data=row["pretrain_data"],
        compute_value=float(compute) if compute else None,
        compute_unit=row["compute_unit"],
        metric=row["metric"],
        value=float(row["value"]),
        note=row["note"],
    )
