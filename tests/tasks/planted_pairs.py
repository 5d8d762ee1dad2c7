"""A stream of images and texts of which is known how often the right text can be told: colours of four squares."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from levelfield.data.draws import Int64s, UInt64s, below, draw_bits, key_words, unit_interval
from levelfield.data.source import Examples, check_ids
from levelfield.records.data import Split
from levelfield.records.fields import FieldFacts

COLOURS = ((220, 40, 40), (40, 200, 60), (50, 70, 220), (230, 210, 50))
CONTEXT = 6
START, END = 1 + 4 * len(COLOURS), 2 + 4 * len(COLOURS)


class PlantedPairs:
    """Each of four squares has one of four colours, and the text says them, but for a share ``wrong`` of texts that are
    of another image: those cannot be told, so recall@1 among distinct images has the ceiling 1 - ``wrong``."""

    in_channels = 3
    resolution = 8
    class_names = ()
    fingerprint = "0" * 32
    no_verdict_because = None
    remarks = ()

    def __init__(self, *, wrong: float = 0.0, train: int = 4096, held_out: int = 128, among: int = 64) -> None:
        self.wrong = wrong
        self.split_sizes: Mapping[Split, int] = {"train": train, "select": held_out, "report": held_out}
        self.fields = FieldFacts(
            names=("image", "text"), vocabulary=END + 1, context=CONTEXT, candidates=min(among, held_out)
        )

    def batch(self, split: Split, ids: Int64s, augment_keys: UInt64s | None = None) -> Examples:
        ids = check_ids(ids, self.split_sizes[split], split)
        bits = draw_bits(key_words(1, "planted pairs", split), ids, 14)
        shown = below(bits[:, :4], len(COLOURS))
        lies = unit_interval(bits[:, 12]) < self.wrong
        said = np.where(lies[:, None], below(bits[:, 4:8], len(COLOURS)), shown)
        squares = np.array(COLOURS, dtype=np.int64)[shown].reshape(-1, 2, 2, 3).transpose(0, 3, 1, 2)
        image = np.repeat(np.repeat(squares, 4, axis=2), 4, axis=3).astype(np.uint8)
        text = np.empty((len(ids), 1, CONTEXT), dtype=np.int32)
        text[:, 0, 0], text[:, 0, -1] = START, END
        text[:, 0, 1:5] = 1 + said + len(COLOURS) * np.arange(4)
        return Examples({"image": image, "text": text}, np.ones(len(ids), dtype=bool))
