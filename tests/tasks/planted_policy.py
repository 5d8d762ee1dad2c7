"""A stream of demonstrations of which the best action is known, and how much of every action nothing tells."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from levelfield.data.draws import Int64s, UInt64s, below, draw_bits, key_words, unit_interval
from levelfield.data.source import Examples, check_ids
from levelfield.records.data import Split
from levelfield.records.fields import FieldFacts, Scale

_LEVELS, _CHUNK = 8, 3


class PlantedPolicy:
    """A grey picture of one of eight levels g and one sensed number s, both of mean 0 and variance 1: the best actions
    are sqrt(1 - noise) * (g, s) and, since neither tells it alone, sqrt(1 - noise) * g * s, in every step of a chunk.
    What is demonstrated has Gaussian noise of variance ``noise`` on it, so that actions have variance 1 and no policy's
    loss is below ``noise``.

    Every other chunk ends after its second step.
    """

    in_channels = 3
    resolution = 8
    class_names = ()
    fingerprint = "0" * 32
    no_verdict_because = None
    remarks = ()

    def __init__(self, *, noise: float = 0.0, train: int = 4096, held_out: int = 128) -> None:
        self.noise = noise
        self.split_sizes: Mapping[Split, int] = {"train": train, "select": held_out, "report": held_out}
        self.fields = FieldFacts(
            names=("image", "state", "action", "within"),
            chunk=_CHUNK,
            state_scale=Scale(mean=(0.0,), std=(1.0,)),
            action_scale=Scale(mean=(0.0,) * 3, std=(1.0,) * 3),
            action_noise=noise,
        )

    def best(self, split: Split, ids: Int64s) -> NDArray[np.float32]:
        """The best actions [B, 3, 3]."""
        levels, states = self._drawn(split, ids)
        told = (2 * levels - _LEVELS + 1) / np.sqrt((_LEVELS**2 - 1) / 3)
        best = np.sqrt(1 - self.noise) * np.stack([told, states, told * states], axis=1)
        return np.repeat(best[:, None], _CHUNK, axis=1).astype(np.float32)

    def batch(self, split: Split, ids: Int64s, augment_keys: UInt64s | None = None) -> Examples:
        ids = check_ids(ids, self.split_sizes[split], split)
        levels, states = self._drawn(split, ids)
        pixels = np.broadcast_to((20 + 30 * levels)[:, None, None, None], (len(ids), 3, 8, 8)).astype(np.uint8)
        noise = np.sqrt(self.noise) * _gaussian(draw_bits(key_words(1, "planted noise", split), ids, 2 * 9))
        within = np.ones((len(ids), _CHUNK), dtype=bool)
        within[ids % 2 == 1, 2] = False
        fields = {
            "image": np.ascontiguousarray(pixels),
            "state": states[:, None].astype(np.float32),
            "action": self.best(split, ids) + noise.reshape(-1, _CHUNK, 3).astype(np.float32),
            "within": within,
        }
        return Examples(fields, np.ones(len(ids), dtype=bool))

    def _drawn(self, split: Split, ids: Int64s) -> tuple[Int64s, NDArray[np.float64]]:
        bits = draw_bits(key_words(1, "planted policy", split), ids, 3)
        return below(bits[:, 0], _LEVELS), _gaussian(bits[:, 1:])[:, 0]


def _gaussian(bits: UInt64s) -> NDArray[np.float64]:
    """Standard normal numbers out of pairs of words [B, 2 n]: [B, n] (Box and Muller)."""
    first, second = unit_interval(bits[:, ::2]), unit_interval(bits[:, 1::2])
    return np.sqrt(-2 * np.log1p(-first)) * np.cos(2 * np.pi * second)
