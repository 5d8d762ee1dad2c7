"""What a network is counted, traced and built for."""

from typing import NotRequired, TypedDict


class Sizes(TypedDict):
    resolution: int
    num_outputs: int
    in_channels: NotRequired[int]
