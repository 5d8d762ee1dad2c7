"""Several sources seen as one: their examples, classes and held-out splits joined, and mixed by weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import cast, get_args

import numpy as np

from levelfield.data.arranged import examples_an_epoch, training_order
from levelfield.data.canonical import num_shared
from levelfield.data.classes import Classes, join_classes
from levelfield.data.draws import Int64s, UInt64s, key_words, mix64
from levelfield.data.foresight import Far
from levelfield.data.mixture import MixtureOrder, epoch_of_mixture, subset_sizes
from levelfield.data.order import ExampleOrder, Order
from levelfield.data.said import say
from levelfield.data.source import Examples, Source, check_ids
from levelfield.data.sources.splits import ImageSource
from levelfield.records.data import MixtureSpec, Split
from levelfield.records.errors import DataError
from levelfield.records.fields import FieldFacts
from levelfield.records.fingerprint import fingerprint

MOST_PICTURES_COMPARED = 2**22
"""Pictures of a part that are compared with the held-out ones of the others whenever a mixture is opened: a second."""


class MixtureSource:
    """See :class:`levelfield.records.data.MixtureSpec` and :mod:`levelfield.data.mixture`.

    Ids of every split number the examples of the first part, then those of the second, and so on: the select split is
    the parts' select splits joined, and so is the report split, whatever the weights. Classes are joined by
    :func:`levelfield.data.classes.join_classes`. Grey pictures beside colour ones are shown in three equal channels.
    It is rendered on the CPU, also of parts that could be rendered on a device: the pictures are equal.

    Raises:
        DataError: nothing says which classes are the same, or all report pictures of a part are trained on in another.
    """

    def __init__(self, spec: MixtureSpec, parts: Sequence[Source]) -> None:
        self.spec, self.parts = spec, tuple(parts)
        self.resolution = spec.resolution
        self.in_channels = max(part.in_channels for part in parts)
        theirs = [
            Classes(
                names=tuple(part.class_names),
                of=_called(spec, place),
                sorted_as_text=isinstance(part, ImageSource) and part.classes.sorted_as_text,
            )
            for place, part in enumerate(parts)
        ]
        self.class_names, self._places, hows = join_classes(theirs)
        self.fields = FieldFacts(num_classes=len(self.class_names), label_noise=self._label_noise())
        sizes = {split: [part.split_sizes[split] for part in parts] for split in get_args(Split)}
        self._firsts = {split: np.cumsum([0, *of_parts]) for split, of_parts in sizes.items()}
        self.split_sizes: Mapping[Split, int] = {split: sum(of_parts) for split, of_parts in sizes.items()}
        content = [[part.fingerprint, places.tolist()] for part, places in zip(parts, self._places, strict=True)]
        self.fingerprint = fingerprint("mixture", [content, spec.weights])
        self._salts = key_words(1, "mixture", "augment")[0] + np.arange(len(parts), dtype=np.uint64)
        self.no_verdict_because = next((part.no_verdict_because for part in parts if part.no_verdict_because), None)
        matched = [
            f"the classes of {each.of} are matched to those before it by {how}, not by name"
            for each, how in zip(theirs[1:], hows, strict=True)
            if how == "order" or (how == "number" and any(part.numbers is None for part in theirs))
        ]
        own = [f"{each.of}: {remark}" for each, part in zip(theirs, parts, strict=True) for remark in part.remarks]
        found = (*matched, *self._twins())
        self.remarks = (*own, *found)
        for remark in found:
            say(remark)

    @property
    def epoch_examples(self) -> int:
        """See :mod:`levelfield.data.mixture`; without weights, all examples."""
        if self.spec.weights is None:
            return self.split_sizes["train"]
        return epoch_of_mixture([examples_an_epoch(part) for part in self.parts], self.spec.weights)

    def arranged(self, seed: int, *, num_examples: int | None, multiplicity: int) -> ExampleOrder:
        """See :func:`levelfield.data.arranged.training_order`."""
        weights, total = self.spec.weights, self.split_sizes["train"]
        if weights is None:
            return Order(
                num_examples=total if num_examples is None else num_examples,
                seed=seed,
                fingerprint=self.fingerprint,
                subset_of=None if num_examples is None else total,
                multiplicity=multiplicity,
            )
        sizes = (
            (None,) * len(weights) if num_examples is None else subset_sizes(num_examples, weights, self.fingerprint)
        )
        # no part is a mixture itself, so the order of each is an Order
        parts = [training_order(part, seed, size) for part, size in zip(self.parts, sizes, strict=True)]
        return MixtureOrder(
            parts=cast(tuple[Order, ...], tuple(parts)),
            weights=weights,
            seed=seed,
            fingerprint=self.fingerprint,
            multiplicity=multiplicity,
        )

    @property
    def far(self) -> bool:
        """See :class:`levelfield.data.foresight.Far`."""
        return any(isinstance(part, Far) and part.far for part in self.parts)

    def expect(self, split: Split, ids: Int64s) -> None:
        """See :class:`levelfield.data.foresight.Far`."""
        part_of = np.searchsorted(self._firsts[split], ids, side="right") - 1
        for place, part in enumerate(self.parts):
            if isinstance(part, Far) and part.far:
                part.expect(split, ids[part_of == place] - self._firsts[split][place])

    def batch(self, split: Split, ids: Int64s, augment_keys: UInt64s | None = None) -> Examples:
        """See :meth:`levelfield.data.source.Source.batch`."""
        ids = check_ids(ids, self.split_sizes[split], split)
        part_of = np.searchsorted(self._firsts[split], ids, side="right") - 1
        images = np.empty((len(ids), self.in_channels, self.resolution, self.resolution), dtype=np.uint8)
        labels, valid = np.empty(len(ids), dtype=np.int64), np.empty(len(ids), dtype=bool)
        for place in np.unique(part_of).tolist():
            here = np.flatnonzero(part_of == place)
            keys = None if augment_keys is None else mix64(augment_keys[here] ^ self._salts[place])
            found = self.parts[place].batch(split, ids[here] - self._firsts[split][place], keys)
            images[here] = found.fields["image"]  # one channel is spread over three
            labels[here] = self._places[place][found.fields["label"]]
            valid[here] = found.valid
        return Examples({"image": images, "label": labels}, valid)

    def _label_noise(self) -> float | None:
        """That of the parts, where they have one and all have all classes, so that the others are drawn evenly."""
        told = {part.fields.label_noise for part in self.parts}
        if told == {0.0}:
            return 0.0
        whole = all(len(places) == len(self.class_names) for places in self._places)
        return told.pop() if len(told) == 1 and whole else None

    def _twins(self) -> Iterator[str]:
        """Say which held-out pictures of one part are trained on in another."""
        pictures = {n: part for n, part in enumerate(self.parts) if isinstance(part, ImageSource)}
        for here, held in pictures.items():
            for there, other in pictures.items():
                if here == there:
                    continue
                if other.split_sizes["train"] > MOST_PICTURES_COMPARED:
                    yield (
                        f"{_called(self.spec, there)} has too many pictures to compare each time with what "
                        f"{_called(self.spec, here)} holds out: `levelfield data inspect` does it once"
                    )
                    continue
                yield from self._twins_of(here, held, there, other)

    def _twins_of(self, here: int, held: ImageSource, there: int, other: ImageSource) -> Iterator[str]:
        trained = other.digests("train")
        held_out: tuple[Split, ...] = ("select", "report")
        for split in held_out:
            shared, distinct = num_shared(trained, held.digests(split))
            if shared and shared == distinct:
                raise DataError(
                    f"every {split} picture of {_called(self.spec, here)} is trained on in "
                    f"{_called(self.spec, there)}: held out are pictures that are not seen"
                )
            if shared:
                yield (
                    f"{shared} {split} pictures of {_called(self.spec, here)} are trained on in "
                    f"{_called(self.spec, there)}"
                )


def _called(spec: MixtureSpec, place: int) -> str:
    data = spec.parts[place].data
    return f"part {place + 1} ({getattr(data, 'path', data.source)})"
