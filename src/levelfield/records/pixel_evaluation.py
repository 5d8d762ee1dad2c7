"""How well a network answers every pixel of pictures with masks."""

from __future__ import annotations

from levelfield.records.codec import later, record
from levelfield.records.evaluation import Share
from levelfield.records.stretches import FewStretches


@record
class ScoredMeasure:
    """A measure's mean over the pictures."""

    name: str
    unit: str
    better: str
    value: Share


@record
class PixelClassScore:
    """One class over all pictures: its ``iou``, what ``share`` of the judged pixels it is, and how many of its own were
    found (``recall``) and of what was called so was it (``precision``); None where there is nothing to tell of."""

    label: int
    name: str
    share: float
    iou: Share | None
    recall: float | None
    precision: float | None


@record
class PixelEvaluation:
    """The answers to the pixels of ``num_images`` pictures, of which ``confusion`` [C, C] were of class [i] and called
    [j].

    ``miou`` is that of all pictures together, ``measures`` are means over pictures. Intervals are of 90 % and leave out
    one of ``num_stretches`` at a time (each picture for itself where ``stretched`` is False); None where
    ``no_interval`` says why.
    """

    num_images: int
    num_masked: int
    num_stretches: int
    stretched: bool
    no_interval: FewStretches | None
    miou: Share
    measures: tuple[ScoredMeasure, ...]
    classes: tuple[PixelClassScore, ...]
    confusion: tuple[tuple[int, ...], ...]
    weights: str | None = later(default=None)
    data: str | None = later(default=None)
