"""What frozen probes said of weights before they raced: who went on, and who did not."""

from __future__ import annotations

from levelfield.records.codec import record


@record
class ScreenedWeights:
    """Weights of a shelf by the loss, in nats, of a linear probe on the select split; the best ones are ``kept``."""

    name: str
    architecture: str
    place: str
    identity: str
    loss: float
    kept: bool


@record
class ShelfScreen:
    """The probes of a shelf, the best first: heads fitted to ``num_train`` images, judged by ``num_select``.

    ``flops`` are what all of it had cost.
    """

    weights: tuple[ScreenedWeights, ...]
    num_train: int
    num_select: int
    flops: float
