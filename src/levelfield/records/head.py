"""What a task puts on a backbone, as a record: part of what a trial is."""

from __future__ import annotations

from typing import TypeAlias

from levelfield.records.errors import SpecError, expect
from levelfield.records.stated import stated

MOST_OUTPUTS = 2**24


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


Head: TypeAlias = LinearHead | PixelHead


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
