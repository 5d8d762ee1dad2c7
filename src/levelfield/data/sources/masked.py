"""Three splits over pictures with masks: parts that lie apart, or drawn out of the training part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import get_args

import numpy as np

from levelfield.data.canonical import num_shared
from levelfield.data.crops import CANVAS_SIDES, OUTSIDE, centred, crop_bits, scaled_crop
from levelfield.data.draws import Int64s, UInt64s, below
from levelfield.data.order import Permutation
from levelfield.data.said import say
from levelfield.data.source import Examples, check_ids
from levelfield.data.sources.masks import Canvases, MaskedTable
from levelfield.data.stores.masked import MaskedStore
from levelfield.records.data import MaskedImagesSpec, Split, num_report_asked
from levelfield.records.errors import DataError
from levelfield.records.fields import IGNORED, STRETCH, FieldFacts
from levelfield.records.fingerprint import digest
from levelfield.records.stretches import LEAST_STRETCHES_JUDGED, few_stretches


class MaskedSource:
    """Pictures with masks: the fields "image" uint8 ``[B, 3, R, R]``, "mask" uint8 ``[B, R, R]``, and "stretch" where
    it is known which pictures follow one another.

    A held-out picture is seen whole, its longer side brought to R and the rest left grey; what is trained on is cropped
    (see :mod:`levelfield.data.crops`) unless the spec says otherwise. ``parts`` must hold "train", and agree on what
    masks mean; of "select" and
    "report" those that are missing are ranks of a permutation of the training part that is keyed by its content.

    Raises:
        DataError: too few pictures are left to train on, or the held-out ones are those that are trained on.
    """

    in_channels = 3

    def __init__(self, spec: MaskedImagesSpec, parts: Mapping[Split, MaskedStore]) -> None:
        self.spec, self.resolution, self.class_names = spec, spec.resolution, parts["train"].facts.names
        said = {"mask_corrupt": spec.corrupt == "mask", "stretch": spec.stretch}
        tables: dict[Split, MaskedTable] = {split: MaskedTable(part, **said) for split, part in parts.items()}
        train = tables["train"]
        drawn: dict[Split, int] = {"report": num_report_asked(spec), "select": spec.select_examples}
        ranks = {split: 0 if split in tables else number for split, number in drawn.items()}
        left = len(train) - sum(ranks.values())
        if left < 1:
            raise DataError(
                f"{spec.path} holds {len(train)} pictures to train on; select_examples = {ranks['select']} and "
                f"report_examples = {ranks['report']} taken out of them leave none: lower them"
            )
        self._ranks = ranks
        self._tables: dict[Split, MaskedTable] = {split: tables.get(split, train) for split in get_args(Split)}
        self.split_sizes: Mapping[Split, int] = {
            "train": left,
            "select": ranks["select"] or len(self._tables["select"]),
            "report": ranks["report"] or len(self._tables["report"]),
        }
        known = (STRETCH,) if train.stretch is not None else ()
        self.fields = FieldFacts(names=("image", "mask", *known), num_classes=len(self.class_names))
        self.fingerprint = digest(" ".join(f"{name} {tables[name].fingerprint}" for name in sorted(tables)).encode())
        self._split = Permutation.of(len(train), "split", train.fingerprint, spec.seed)
        side = spec.resolution
        self._plain = {name: Canvases(table, side) for name, table in tables.items()}
        self._larger = Canvases(train, CANVAS_SIDES * side) if spec.augment == "crop-flip" else self._plain["train"]
        films = self._tables["report"].stretch
        judging = self._numbers("report", np.arange(self.split_sizes["report"], dtype=np.int64))
        self.no_verdict_because = None
        if films is not None:
            self.no_verdict_because = few_stretches(len(np.unique(films[judging])), LEAST_STRETCHES_JUDGED)
        self.remarks = tuple(self._apart(tables))

    def batch(self, split: Split, ids: Int64s, augment_keys: UInt64s | None = None) -> Examples:
        """See :meth:`levelfield.data.source.Source.batch`."""
        ids = check_ids(ids, self.split_sizes[split], split)
        numbers, side = self._numbers(split, ids), self.resolution
        pixels = np.full((len(ids), side, side, 3), OUTSIDE, dtype=np.uint8)
        masks = np.full((len(ids), side, side), IGNORED, dtype=np.uint8)
        valid = np.zeros(len(ids), dtype=bool)
        changed = split == "train" and augment_keys is not None and self.spec.augment != "none"
        crops = changed and self.spec.augment == "crop-flip"
        bits = crop_bits(augment_keys, ids) if changed and augment_keys is not None else None
        canvases = self._larger if crops else self._plain.get(split, self._plain["train"])
        for place, number in enumerate(numbers.tolist()):
            canvas = canvases.canvas(number)
            if canvas is None:
                continue
            shown = scaled_crop(canvas, side, bits[place]) if crops and bits is not None else centred(canvas)
            if changed and not crops and bits is not None and below(bits[place, 0], 2):
                shown = shown[0][:, ::-1], shown[1][:, ::-1]
            pixels[place], masks[place] = shown
            valid[place] = split == "train" or (shown[1] != IGNORED).any()  # what nothing is said of judges nothing
        fields = {"image": np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)), "mask": masks}
        stretch = self._tables[split].stretch
        if stretch is not None:
            fields[STRETCH] = stretch[numbers]
        return Examples(fields, valid)

    @property
    def far(self) -> bool:
        """Whether pictures lie far away, so that :meth:`expect` is worth the while."""
        return any(table.store.far for table in self._tables.values())

    def expect(self, split: Split, ids: Int64s) -> None:
        """See :class:`levelfield.data.foresight.Far`."""
        self._tables[split].store.expect(self._numbers(split, ids))

    def _numbers(self, split: Split, ids: Int64s) -> Int64s:
        if split in self._plain and split != "train":
            return ids
        first = {"report": 0, "select": self._ranks["report"]}.get(split, sum(self._ranks.values()))
        return self._split.forward(ids + first)

    def _apart(self, tables: Mapping[Split, MaskedTable]) -> Iterator[str]:
        """Say which held-out pictures are also trained on, and where neighbours may be."""
        held_out: tuple[Split, ...] = ("select", "report")
        for split in held_out:
            if split not in tables:
                if tables["train"].stretch is not None:
                    yield (
                        f"the {split} pictures were drawn out of films that are trained on, and resemble their "
                        "neighbours there: better give them parts of their own"
                    )
                continue
            shared, distinct = num_shared(tables["train"].digests, tables[split].digests)
            if shared == distinct:
                raise DataError(f"every {split} picture of {self.spec.path} is also trained on: it must be unseen")
            if shared:
                say(f"{shared} {split} pictures of {self.spec.path} are also trained on")
