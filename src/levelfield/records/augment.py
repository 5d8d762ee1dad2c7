"""RandAugment as a text, in timm's words: ``rand-m9-n2``, ``rand-m9-n2-mstd0.5-inc1``."""

from __future__ import annotations

import re

from levelfield.records.errors import expect
from levelfield.records.stated import stated

MOST_MAGNITUDE = 10
MOST_LAYERS = 16
_TEXT = re.compile(r"rand-m(\d{1,2})-n(\d{1,2})(?:-mstd(\d{1,2}(?:\.\d{1,4})?))?(-inc1)?")


@stated
class RandAugment:
    """``layers`` operations one after another, each one of fifteen and left out half the time, at ``magnitude`` of 10.

    ``deviation`` is the standard deviation of the magnitude, 0 for always the same; with ``increasing`` every operation
    changes more the larger it is.

    Source: Cubuk et al., arXiv 1909.13719, in the variant of timm 1.0, ``rand_augment_transform``.
    """

    magnitude: int
    layers: int
    deviation: float = 0.0
    increasing: bool = False

    @classmethod
    def of(cls, text: str) -> RandAugment:
        """What ``text`` says.

        Raises:
            SpecError: it is none.
        """
        found = _TEXT.fullmatch(text)
        known = f"as 'rand-m9-n2' or 'rand-m9-n2-mstd0.5-inc1' (m to {MOST_MAGNITUDE}, n from 1 to {MOST_LAYERS})"
        held = found is not None and int(found[1]) <= MOST_MAGNITUDE and 1 <= int(found[2]) <= MOST_LAYERS
        expect(held, "randaugment", known, text)
        assert found is not None
        said = cls(
            magnitude=int(found[1]), layers=int(found[2]), deviation=float(found[3] or 0), increasing=bool(found[4])
        )
        expect(said.text == text, "randaugment", f"written as {said.text!r}", text)
        return said

    @property
    def text(self) -> str:
        """The one way to write it: equal augmentations are equal trials."""
        deviation = f"-mstd{self.deviation:g}" if self.deviation else ""
        return f"rand-m{self.magnitude}-n{self.layers}{deviation}{'-inc1' * self.increasing}"
