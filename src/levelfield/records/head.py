"""What a task puts on a backbone, as a record: part of what a trial is."""

from __future__ import annotations

from typing import TypeAlias

from levelfield.records.errors import SpecError, expect
from levelfield.records.stated import stated

MOST_OUTPUTS = 2**24
MOST_SCALE = 100.0
"""What CLIP holds its learnt factor under (arXiv 2103.00020, section 2.5)."""


@stated
class LinearHead:
    """One linear map with a bias, from the pooled features of a backbone to ``num_outputs`` numbers an example."""

    num_outputs: int

    def __post_init__(self) -> None:
        _check_outputs(self.num_outputs)


@stated
class PixelHead:
    """Batch norm and a 1x1 convolution on the last feature map of a backbone: ``num_outputs`` numbers a pixel.

    The map is brought to one cell for ``output_stride`` pixels along a side first, whatever the backbone's own stride,
    and what comes out to the pixels of the image; both linearly.

    Source: the linear protocol of DINOv2 (arXiv 2304.07193, section 7.4).
    """

    num_outputs: int
    output_stride: int

    def __post_init__(self) -> None:
        _check_outputs(self.num_outputs)
        expect(1 <= self.output_stride <= 64, "head.output_stride", "from 1 to 64 pixels", self.output_stride)


@stated
class TextHead:
    """A bias-free linear map of pooled features into a space of ``num_outputs`` dimensions, and a tower that brings
    texts into the same: ``depth`` causal pre-norm blocks of ``width`` features on ``context`` tokens out of a
    ``vocabulary``, read at the token of the highest number, which ends every text.

    Both lie on the unit sphere. The similarity of two is their product, times a factor that begins at ``scale``, plus a
    number that begins at ``bias``, where there is one; both are learnt.

    Source: CLIP (arXiv 2103.00020, section 2.4); SigLIP (arXiv 2303.15343, section 3.2) for the bias.
    """

    num_outputs: int
    vocabulary: int
    context: int
    width: int
    depth: int
    heads: int
    scale: float
    bias: float | None = None

    def __post_init__(self) -> None:
        _check_outputs(self.num_outputs)
        expect(3 <= self.vocabulary <= MOST_OUTPUTS, "head.vocabulary", f"from 3 to {MOST_OUTPUTS}", self.vocabulary)
        for name, most in (("context", 4096), ("width", 2**16), ("depth", 1024), ("heads", 1024)):
            expect(1 <= getattr(self, name) <= most, f"head.{name}", f"from 1 to {most}", getattr(self, name))
        expect(self.width % self.heads == 0, "head.heads", f"a divisor of the width ({self.width})", self.heads)
        expect(0 < self.scale <= MOST_SCALE, "head.scale", f"positive, at most {MOST_SCALE:g}", self.scale)


@stated
class PolicyHead:
    """``num_outputs`` numbers of actions out of pooled features and ``num_states`` numbers that are sensed: a network
    of ``depth`` hidden layers of ``width`` on both together.

    Source: the size is robomimic's order for pixels (arXiv 2108.03298, appendix; two layers), smaller in width.
    """

    num_outputs: int
    num_states: int
    width: int
    depth: int

    def __post_init__(self) -> None:
        _check_outputs(self.num_outputs)
        for name, most in (("num_states", 2**16), ("width", 2**16), ("depth", 64)):
            expect(1 <= getattr(self, name) <= most, f"head.{name}", f"from 1 to {most}", getattr(self, name))


Head: TypeAlias = LinearHead | PixelHead | TextHead | PolicyHead


def head_of(num_outputs: int | None, head: Head | None) -> Head:
    """``head``, or the linear one of ``num_outputs``: one of them is said.

    Raises:
        SpecError: both are, or neither.
    """
    if (num_outputs is None) == (head is None):
        raise SpecError(f"say num_outputs (a linear head) or head, and not both; saw {num_outputs} and {head}")
    return head if head is not None else LinearHead(num_outputs=num_outputs or 0)


def _check_outputs(number: int) -> None:
    expect(1 <= number <= MOST_OUTPUTS, "head.num_outputs", f"from 1 to {MOST_OUTPUTS}", number)
