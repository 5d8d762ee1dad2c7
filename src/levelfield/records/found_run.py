"""Whatever was trained, probed or raced and lies in some directory, told alike so that it can be compared."""

from __future__ import annotations

from typing import Literal, TypeAlias

from levelfield.records.codec import record
from levelfield.records.evaluation import Share

FoundKind: TypeAlias = Literal["study", "race", "winner", "trained", "fine-tune", "probe", "trial"]


@record
class FoundRun:
    """One of them, at ``path``; what is None is not known, or has not come.

    ``what`` says how it was made, ``backbone`` which network, ``start`` the weights that it began with (None: random
    ones), ``data`` where its images lie, ``state`` how far it is. ``train_flops`` are its own, ``start_flops`` those of
    the pre-training. ``scores`` are means over ``num_judged`` held-out images by the measure's name, better lower, the
    first of them that of the task; their 90 % intervals are over the images, those of a winner over its seeds.
    ``comparable`` names what it was judged by: numbers of equal ones were measured by the same rule on the same images.
    """

    kind: FoundKind
    path: str
    what: str
    state: str
    backbone: str | None = None
    start: str | None = None
    data: str = ""
    train_flops: float | None = None
    start_flops: float | None = None
    scores: dict[str, Share]
    num_judged: int | None = None
    judged: str = ""
    comparable: str = ""

    @property
    def ranked_by(self) -> str | None:
        """The measure that it is compared by; None without any."""
        return next(iter(self.scores), None)
