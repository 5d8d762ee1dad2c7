"""How far one confound moves ImageNet error where it was varied alone, and what always differs between two families."""

from __future__ import annotations

import math
from collections.abc import Sequence

from levelfield.records.codec import record
from levelfield.reference.placed import PlacedPoint
from levelfield.reference.points import PublishedPoint, published_points
from levelfield.reference.protocols import differing


@record
class Sensitivity:
    """``effect`` is ln(error after / error before) of one change within one family, all else as published alike.

    ``nfnets_alone``: the NFNets had what it changes to, the ViTs of the law what it changes from.
    """

    what: str
    where: str
    before: float
    after: float
    effect: float
    nfnets_alone: bool
    source: str


# What changed, on what, whether NFNets alone had it, and both points by source, model, metric and pre-training data.
_PAIRS = (
    (
        "test resolution 384 to 518 px",
        "ViT, SoViT-400m/14",
        True,
        ("arXiv 2305.13035", "SoViT-400m/14", "ImageNet-1k top-1 (fine-tuned 384px)", ""),
        ("arXiv 2305.13035", "SoViT-400m/14", "ImageNet-1k top-1 (fine-tuned 518px)", ""),
    ),
    (
        "test resolution 384 to 512 px",
        "hybrid, CoAtNet-3",
        False,
        ("arXiv 2106.04803 Table 5", "CoAtNet-3 @384", "ImageNet-1k top-1 (fine-tuned)", ""),
        ("arXiv 2106.04803 Table 5", "CoAtNet-3 @512", "ImageNet-1k top-1 (fine-tuned)", ""),
    ),
    (
        "test resolution 320 to 384 px",
        "ConvNet, NF-ResNet-200",
        False,
        ("arXiv 2102.06171 Table 4", "NF-ResNet-200", "ImageNet-1k top-1 (fine-tuned 320px)", ""),
        ("arXiv 2102.06171 Table 4", "NF-ResNet-200", "ImageNet-1k top-1 (fine-tuned 384px)", ""),
    ),
    (
        "sharpness-aware steps (SAM)",
        "NFNet-F5, from scratch",
        True,
        ("arXiv 2102.06171 Table 3", "NFNet-F5", "ImageNet-1k top-1 (from scratch)", ""),
        ("arXiv 2102.06171 Table 3", "NFNet-F5+SAM", "ImageNet-1k top-1 (from scratch)", ""),
    ),
    (
        "repeated augmentation in fine-tuning",
        "NFNet-F7+",
        False,
        ("arXiv 2310.16764", "NFNet-F7+", "ImageNet-1k top-1 (fine-tuned)", "32B"),
        ("arXiv 2310.16764", "NFNet-F7+ + repeated augmentation x4", "ImageNet-1k top-1 (fine-tuned)", "32B"),
    ),
    (
        "pre-training images 300M to 3B",
        "ViT-L/16, 4M steps",
        False,
        ("arXiv 2106.04560 App. G", "ViT-L/16", "ImageNet-1k top-1 (fine-tuned 384)", "subset 300M, 4000000 "),
        ("arXiv 2106.04560 App. G", "ViT-L/16", "ImageNet-1k top-1 (fine-tuned 384)", "subset 3B, 4000000 "),
    ),
)


def sensitivities() -> tuple[Sensitivity, ...]:
    """Every confound that the published points vary alone."""
    found = []
    for what, where, nfnets_alone, before, after in _PAIRS:
        first, second = _only(*before), _only(*after)
        assert first.error is not None
        assert second.error is not None
        found.append(
            Sensitivity(
                what=what,
                where=where,
                before=first.error,
                after=second.error,
                effect=math.log(second.error / first.error),
                nfnets_alone=nfnets_alone,
                source=second.source,
            )
        )
    return tuple(found)


def shared_protocols(first: Sequence[PlacedPoint], second: Sequence[PlacedPoint]) -> tuple[str, ...]:
    """The protocols under which both groups were measured: without one, family and protocol cannot be told apart."""
    return tuple(sorted({point.protocol.id for point in first} & {point.protocol.id for point in second}))


def always_differing(first: Sequence[PlacedPoint], second: Sequence[PlacedPoint]) -> tuple[str, ...]:
    """What differs, or is unknown, between every point of ``first`` and every one of ``second``."""
    pairs = [set(differing(a.protocol, b.protocol)) for a in first for b in second]
    names = differing(first[0].protocol, second[0].protocol)
    return tuple(name for name in names if all(name in pair for pair in pairs))


def _only(source: str, model: str, metric: str, data: str) -> PublishedPoint:
    found = [
        point
        for point in published_points()
        if point.source.startswith(source)
        and "[derived]" not in point.source
        and (point.model, point.metric) == (model, metric)
        and data in point.pretrain_data
    ]
    assert len(found) == 1, (source, model, metric, data, len(found))
    return found[0]
