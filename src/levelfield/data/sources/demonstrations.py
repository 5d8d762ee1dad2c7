"""Three splits over episodes: what is seen and sensed in every frame, and the actions from there on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from levelfield.data.draws import Int64s, UInt64s, below, draw_bits
from levelfield.data.ingest.demonstrations import Demonstrations
from levelfield.data.order import Permutation
from levelfield.data.source import Examples, check_ids
from levelfield.data.sources.images import ImageTable
from levelfield.records.data import Split
from levelfield.records.demonstrations import DemonstrationsSpec
from levelfield.records.errors import DataError
from levelfield.records.fields import STRETCH, FieldFacts, Scale
from levelfield.records.stretches import LEAST_STRETCHES_JUDGED, few_stretches

SHIFT = 4 / 84
"""How far a picture is moved at the most, as a share of its side.

Source: DrQ (arXiv 2004.13649, section 3.1), 4 of 84 pixels, what is uncovered repeating the edge.
"""

_STILL = 1e-6
"""A number that changes less over all that is trained on is taken not to change."""


class DemonstrationSource:
    """Frames as examples: "image" uint8 ``[B, 3, R, R]``, "state" float32 ``[B, S]``, "action" float32
    ``[B, chunk, A]`` with "within" bool ``[B, chunk]``, False beyond the end of the episode, where actions are 0;
    "frame" int64 ``[B]``, and the episode, int64, as the stretch of frames that err together.

    A split is whole episodes: ranks of a permutation that is keyed by their content. States and actions are told in the
    units of those that are trained on.

    Raises:
        DataError: too few episodes are left to train on.
    """

    in_channels = 3
    class_names = ()

    def __init__(self, spec: DemonstrationsSpec, held: Demonstrations) -> None:
        self.spec, self.resolution, self.fingerprint = spec, spec.resolution, held.fingerprint
        self._held = held
        self._pictures = ImageTable(held.pictures, resolution=spec.resolution, mask_corrupt=spec.corrupt == "mask")
        self._episodes = _split(spec, held)
        self._frames: dict[Split, Int64s] = {
            split: _frames_of(held, episodes) for split, episodes in self._episodes.items()
        }
        self.split_sizes: Mapping[Split, int] = {split: len(frames) for split, frames in self._frames.items()}
        own = self._frames["train"]
        states, actions = _scale(held.states[own]), _scale(held.actions[own])
        self._states, self._actions = _in_units(held.states, states), _in_units(held.actions, actions)
        self._episode_of = np.repeat(np.arange(held.num_episodes), held.lengths)
        self.fields = FieldFacts(
            names=("image", "state", "action", "within", "frame", STRETCH),
            chunk=spec.chunk,
            state_scale=states,
            action_scale=actions,
        )
        self.no_verdict_because = few_stretches(len(self._episodes["report"]), LEAST_STRETCHES_JUDGED)
        self.remarks = held.remarks

    def batch(self, split: Split, ids: Int64s, augment_keys: UInt64s | None = None) -> Examples:
        """See :meth:`levelfield.data.source.Source.batch`."""
        ids = check_ids(ids, self.split_sizes[split], split)
        frames = self._frames[split][ids]
        side = self.resolution
        pixels = np.full((len(ids), 3, side, side), 127, dtype=np.uint8)
        valid = np.zeros(len(ids), dtype=bool)
        for place, row in enumerate(self._held.rows[frames].tolist()):
            square = self._pictures.square(row)
            if square is not None:
                pixels[place], valid[place] = square, True
        if split == "train" and augment_keys is not None and self.spec.augment == "shift":
            pixels = shifted(pixels, augment_keys, ids)
        actions, within = self._chunks(frames)
        fields = {
            "image": pixels,
            "state": self._states[frames],
            "action": actions,
            "within": within,
            "frame": frames - self._held.starts[self._episode_of[frames]],
            STRETCH: self._episode_of[frames].astype(np.int64),
        }
        return Examples(fields, valid)

    def episodes(self, split: Split) -> Int64s:
        """The episodes of a split, by their places among all."""
        return self._episodes[split]

    def _chunks(self, frames: Int64s) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        steps = frames[:, None] + np.arange(self.spec.chunk)
        ends = self._held.starts[self._episode_of[frames] + 1][:, None]
        within = steps < ends
        return np.where(within[:, :, None], self._actions[np.minimum(steps, ends - 1)], np.float32(0)), within


def shifted(pixels: NDArray[np.uint8], keys: UInt64s, ids: Int64s) -> NDArray[np.uint8]:
    """``pixels`` [B, C, R, R], each moved by as many pixels as ``keys`` [B] and ``ids`` [B] draw."""
    side = pixels.shape[-1]
    most = max(1, round(SHIFT * side))
    moves = below(draw_bits(keys, ids, 2), 2 * most + 1) - most
    rows, columns = (np.clip(np.arange(side) + moves[:, axis, None], 0, side - 1) for axis in (0, 1))
    batch = np.arange(len(pixels))[:, None, None]
    moved = pixels.transpose(0, 2, 3, 1)[batch, rows[:, :, None], columns[:, None, :]]
    return np.ascontiguousarray(moved.transpose(0, 3, 1, 2))


def _split(spec: DemonstrationsSpec, held: Demonstrations) -> dict[Split, Int64s]:
    number, taken = held.num_episodes, spec.report_episodes + spec.select_episodes
    if taken >= number:
        raise DataError(
            f"{spec.path} holds {number} episodes; select_episodes = {spec.select_episodes} and report_episodes = "
            f"{spec.report_episodes} taken out of them leave none to train on: lower them"
        )
    order = Permutation.of(number, "split", held.fingerprint, spec.seed).forward(np.arange(number, dtype=np.int64))
    ends = {"report": spec.report_episodes, "select": taken, "train": number}
    starts = {"report": 0, "select": spec.report_episodes, "train": taken}
    return {split: np.sort(order[starts[split] : ends[split]]) for split in get_args(Split)}


def _frames_of(held: Demonstrations, episodes: Int64s) -> Int64s:
    starts = held.starts.tolist()
    spans = [np.arange(starts[each], starts[each + 1]) for each in episodes.tolist()]
    return np.concatenate(spans).astype(np.int64)


def _scale(numbers: NDArray[np.float32]) -> Scale:
    mean, std = numbers.mean(axis=0, dtype=np.float64), numbers.std(axis=0, dtype=np.float64)
    return Scale(mean=tuple(mean.tolist()), std=tuple(np.where(std < _STILL, 1.0, std).tolist()))


def _in_units(numbers: NDArray[np.float32], scale: Scale) -> NDArray[np.float32]:
    return ((numbers - np.array(scale.mean)) / np.array(scale.std)).astype(np.float32)
