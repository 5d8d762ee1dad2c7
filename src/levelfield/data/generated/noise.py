"""1/f noise, the second-order statistics of natural scenes, from a bank that is made once and cropped ever after.

Source: Field, "Relations between the statistics of natural images and the response properties of cortical cells", 1987:
amplitude falls as 1/f.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from levelfield.data.draws import Int64s, UInt64s, below, draw_bits, key_words, unit_interval

NUM_TILES = 64
TILE_SIDES = 4
"""A tile's side in canvas sides; tiles repeat seamlessly, so a crop may begin at any of its pixels."""


class NoiseBank:
    """Backgrounds of ``side`` pixels: the sum of two crops, of 2^40 different pairs at 32 px.

    ``wrapped`` int16 ``[tiles, T + side - 1, T + side - 1]`` holds the tiles. ``std`` is the standard deviation in
    grey levels over many backgrounds; the mean is 0.
    """

    def __init__(self, side: int, std: float) -> None:
        self._tile = TILE_SIDES * side
        tiles = np.rint(_tiles(side) * (std / np.sqrt(2))).astype(np.int16)
        self.wrapped = wrapped = np.pad(tiles, ((0, 0), (0, side - 1), (0, side - 1)), mode="wrap")
        self._windows = sliding_window_view(wrapped, (side, side), axis=(1, 2))

    def places(self, bits: UInt64s) -> Int64s:
        """Which crops ``bits`` ``[B, 2]`` draw: tile, row and column, int64 ``[B, 2, 3]``."""
        place = below(bits, NUM_TILES * self._tile**2)
        rest, columns = np.divmod(place, self._tile)
        tiles, rows = np.divmod(rest, self._tile)
        return np.stack([tiles, rows, columns], axis=-1)

    def crops(self, places: Int64s) -> NDArray[np.int16]:
        """Backgrounds ``[B, side, side]``, the sums of the crops at ``places`` ``[B, 2, 3]``."""
        tiles, rows, columns = np.moveaxis(places, -1, 0)
        total = self._windows[tiles[:, 0], rows[:, 0], columns[:, 0]]
        total += self._windows[tiles[:, 1], rows[:, 1], columns[:, 1]]
        return total


@functools.lru_cache(maxsize=4)
def _tiles(side: int) -> NDArray[np.float64]:
    """``[NUM_TILES, T, T]`` of zero mean and unit variance, flat in spectrum above one canvas side in wavelength."""
    tile = TILE_SIDES * side
    frequencies = np.hypot(np.fft.fftfreq(tile)[:, None], np.fft.fftfreq(tile)[None, :])
    amplitudes = 1 / np.maximum(frequencies, 1 / side)
    amplitudes[0, 0] = 0
    keys = key_words(1, "one-over-f", side)
    noise = np.empty((NUM_TILES, tile, tile))
    for place in range(NUM_TILES):  # one at a time: complex numbers of all tiles together would take gigabytes
        bits = draw_bits(keys, np.arange(place * tile, (place + 1) * tile), tile)
        phases = 2j * np.pi * unit_interval(bits).reshape(tile, tile)
        noise[place] = np.fft.ifft2(np.exp(phases) * amplitudes).real
    noise /= noise.std()
    return noise
