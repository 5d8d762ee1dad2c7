"""Everything that the published record says of NFNets and ViTs at equal compute, and everything that it cannot."""

from __future__ import annotations

import functools

from levelfield.records.codec import record
from levelfield.reference.confounds import Sensitivity, always_differing, sensitivities, shared_protocols
from levelfield.reference.equal_compute import EqualCompute, compare
from levelfield.reference.laws import (
    LEVEL,
    LossLine,
    PublishedLaw,
    few_shot_law,
    loss_line,
    nfnet_law,
    vit_law,
    vit_points,
)
from levelfield.reference.placed import LeftOut, PlacedPoint, left_out, placed_points
from levelfield.reference.resampled import Resampled, resampled, scatter
from levelfield.scaling.results.intervals import Interval

CHEAPEST = (1.0, 10.0)
"""exaFLOPs below which the ViTs' law is fitted without its points, to see what hangs on them."""


@record
class RangeCheck:
    """The ViTs' law without its points below ``cheapest`` exaFLOPs, and the NFNets' mean difference from that law."""

    cheapest: float
    num_points: int
    num_runs: int
    exponent: Interval
    floor: Interval
    mean: Interval


@record
class PublishedEvidence:
    """The points in one currency, the laws, the difference at equal compute, and the confounds.

    ``shared_protocols`` names the protocols under which both families were measured; ``aliased`` what always differs
    between them. ``ranges`` say what hangs on the cheapest points of the ViTs' law. ``peers`` are the ViTs tested at a
    resolution like the largest NFNet's, at a compute like its own.
    """

    points: tuple[PlacedPoint, ...]
    left_out: tuple[LeftOut, ...]
    vit: PublishedLaw
    few_shot: PublishedLaw
    nfnet: PublishedLaw
    nfnet_loss: LossLine
    equal: EqualCompute
    ranges: tuple[RangeCheck, ...]
    sensitivities: tuple[Sensitivity, ...]
    shared_protocols: tuple[str, ...]
    aliased: tuple[str, ...]
    peers: tuple[PlacedPoint, ...]

    @property
    def laws(self) -> tuple[PublishedLaw, ...]:
        return self.vit, self.few_shot, self.nfnet


PEER_COMPUTE = 1.5
PEER_PX = 64
"""A peer's compute and test resolution lie within this factor and this many pixels."""


@functools.cache
def published_evidence() -> PublishedEvidence:
    """The whole of it, from the packaged points alone; the same to the last digit each time."""
    points = placed_points()
    law, fits = vit_law()
    vits, nfnets = vit_points(), nfnet_runs()
    return PublishedEvidence(
        points=points,
        left_out=left_out(),
        vit=law,
        few_shot=few_shot_law(),
        nfnet=nfnet_law(),
        nfnet_loss=loss_line(),
        equal=compare(nfnets, fits, law.rows, scatter=law.scatter[law.chosen], typical=vits[0]),
        ranges=tuple(_range_check(law, cheapest) for cheapest in CHEAPEST),
        sensitivities=sensitivities(),
        shared_protocols=shared_protocols(nfnets, [point for point in points if point.series == "ViT"]),
        aliased=always_differing(nfnets, vits),
        peers=_peers(nfnets[-1], points),
    )


def _range_check(law: PublishedLaw, cheapest: float) -> RangeCheck:
    kept = [row for row in law.kept if row.exaflops >= cheapest]
    fits = resampled(law.rows, law.chosen, cheapest=cheapest)
    assert isinstance(fits, Resampled)  # the packaged points support it
    equal = compare(nfnet_runs(), fits, kept, scatter=scatter(fits.full, kept), typical=vit_points()[0])
    return RangeCheck(
        cheapest=cheapest,
        num_points=len(kept),
        num_runs=len(fits.without),
        exponent=fits.parameter("b", level=LEVEL),
        floor=fits.parameter("E", level=LEVEL),
        mean=equal.mean,
    )


def nfnet_runs() -> tuple[PlacedPoint, ...]:
    """One result for every NFNet run: the paper's plain fine-tuning, without repeated augmentation."""
    return tuple(p for p in placed_points() if p.series == "NFNet" and not p.protocol.id.endswith("-ra"))


def _peers(largest: PlacedPoint, points: tuple[PlacedPoint, ...]) -> tuple[PlacedPoint, ...]:
    return tuple(
        point
        for point in points
        if point.series == "ViT"
        and point.metric == "fine-tuned"
        and point.protocol.test_px.isdigit()
        and abs(int(point.protocol.test_px) - int(largest.protocol.test_px)) <= PEER_PX
        and 1 / PEER_COMPUTE <= point.exaflops / largest.exaflops <= PEER_COMPUTE
    )
