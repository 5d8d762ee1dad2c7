"""How well a network answers labelled images."""

from __future__ import annotations

from levelfield.records.codec import later, record


@record
class Share:
    """A proportion, or a mean, with its 90 % interval over the images; None where one image gives none."""

    estimate: float
    low: float | None
    high: float | None


@record
class CalibrationBin:
    """The images whose first answer had a probability in (``low``, ``high``]."""

    low: float
    high: float
    num_images: int
    confidence: float
    accuracy: float


@record
class ClassScore:
    """One class: ``recall`` of its own images were found, ``precision`` of what was called so was it.

    ``precision`` is None where nothing was called so, ``recall`` where there are no such images.
    """

    label: int
    name: str
    num_images: int
    precision: float | None
    recall: float | None


@record
class Confusion:
    """``num_images`` images, or as many pixels of some, of class ``true`` were called ``said``."""

    true: int
    said: int
    num_images: int


@record
class Evaluation:
    """The answers to ``num_images`` images. ``loss`` in nats; ``calibration_error`` is the expected one (arXiv
    1706.04599) over the ``bins``. ``top5`` is None of 5 classes or fewer, where it would be 1 whatever is answered.
    ``confusions`` hold every pair that occurred, right answers too. ``weights`` and ``data`` are the fingerprints of
    what answered and of what was asked.
    """

    num_images: int
    num_unreadable: int
    top1: Share
    top5: Share | None
    loss: Share
    calibration_error: float
    bins: tuple[CalibrationBin, ...]
    classes: tuple[ClassScore, ...]
    confusions: tuple[Confusion, ...]
    weights: str | None = later(default=None)
    data: str | None = later(default=None)
