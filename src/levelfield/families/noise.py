"""Dropout and stochastic depth by key: what is dropped is a pure function of the example's stream and of the place.

Every example of a step brings a stream, a 64-bit word that its training step makes of (seed, step, position in the
global batch). A site is a place in a network where something is dropped, numbered in the order in which the network is
built. So an example drops the same units in whatever part of its batch, on whatever device and by whatever engine it
runs, and nothing is seeded, so that a step can be captured.

Words are drawn as levelfield/data/draws.py draws them (SplitMix64 with Stafford's variant 13), by torch's integer
operators on any device; each decides for four units by 16 bits. These functions are part of every recorded result of a
trial with dropout or dropped branches: whoever changes them counts ``NOISE_VERSION`` up.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

_GOLDEN = 0x9E3779B97F4A7C15 - 2**64
_ROUNDS = ((30, 0xBF58476D1CE4E5B9 - 2**64), (27, 0x94D049BB133111EB - 2**64))
_LAST_SHIFT = 31
_DECISIONS = 4
_GRAINS = 2**16
"""Chances are multiples of 1 / 2^16: the nearest one that is neither 0 nor 1."""


class KeyedNoise:
    """Where a network's dropout comes from: ``streams`` int64 [examples], or none outside of training steps."""

    def __init__(self) -> None:
        self.streams: Tensor | None = None
        self.num_sites = 0

    @contextmanager
    def drawn_from(self, streams: Tensor) -> Iterator[None]:
        """Let what runs inside drop by ``streams``, one an example of its batch, on the device that it runs on."""
        self.streams = streams
        try:
            yield
        finally:
            self.streams = None


class DropSite:
    """A place where units are dropped with the chance ``rate``, each by itself; ``whole`` drops an example's as one.

    What is kept is scaled up by 1 / (1 - ``rate``), unless it is not ``rescaled``.
    """

    def __init__(self, noise: KeyedNoise, rate: float, *, whole: bool = False, rescaled: bool = True) -> None:
        self.noise, self.number, self.rate = noise, noise.num_sites, rate
        noise.num_sites += 1
        self.whole, self.rescaled = whole, rescaled
        self._grains = min(max(1, round(rate * _GRAINS)), _GRAINS - 1) if rate > 0 else 0

    def __call__(self, x: Tensor, training: bool) -> Tensor:
        """``x`` [examples, ...], or with several rows an example one after another; itself where nothing is dropped.

        Raises:
            ValueError: units are to be dropped and nobody said by which streams, or by those of other examples.
        """
        if not training or not self._grains:
            return x
        shape = (len(x), *(1,) * (x.ndim - 1)) if self.whole else x.shape
        share = self._kept(math.prod(shape), like=x).reshape(shape).to(x.dtype)
        if self.rescaled:
            share.mul_(_GRAINS / (_GRAINS - self._grains))
        return x * share

    @torch.no_grad()
    def _kept(self, count: int, *, like: Tensor) -> Tensor:
        """Which of ``count`` units are kept, those of an example one after another: bool [examples, units]."""
        streams = self.noise.streams
        if streams is None:
            raise ValueError("a network that drops units while training needs streams: run it in noise.drawn_from")
        each, rest = divmod(count, len(streams))
        if rest or streams.device != like.device:
            raise ValueError(
                f"{len(streams)} streams on {streams.device} are not one for each example of {tuple(like.shape)} on "
                f"{like.device}"
            )
        words = drawn_words(streams, self.number, -(-each // _DECISIONS))
        # A word is read as four signed numbers, the lowest 16 bits first on all that torch runs on.
        return words.view(torch.int16)[:, :each] >= self._grains - _GRAINS // 2


def drawn_words(streams: Tensor, site: int, count: int) -> Tensor:
    """``count`` random words of every stream at a site: int64 [streams, count], bit for bit those of
    ``levelfield.data.draws.draw_bits(streams, site, count)``."""
    starts = _mixed(streams + _wrapped(site * _GOLDEN))
    steps = torch.arange(1, count + 1, device=streams.device) * _GOLDEN
    return _mixed(starts[:, None] + steps)


def _mixed(words: Tensor) -> Tensor:
    """SplitMix64's finaliser on ``words``, in place. Shifts of signed words carry the sign in, which is masked out."""
    for shift, factor in _ROUNDS:
        words ^= (words >> shift).bitwise_and_((1 << (64 - shift)) - 1)
        words *= factor
    words ^= (words >> _LAST_SHIFT).bitwise_and_((1 << (64 - _LAST_SHIFT)) - 1)
    return words


def _wrapped(number: int) -> int:
    """``number`` as a signed 64-bit word."""
    return (number + 2**63) % 2**64 - 2**63
