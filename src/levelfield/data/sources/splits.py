"""Three splits over labelled images: whose classes are whose, which image is in which split, and what must be said."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from levelfield.data.arranged import plain_order
from levelfield.data.blocks import BlockOrder, PackedRanks
from levelfield.data.classes import Classes, match_classes
from levelfield.data.draws import Int64s, UInt64s
from levelfield.data.ingest.overlap import num_shared_by
from levelfield.data.order import ExampleOrder, Permutation
from levelfield.data.said import say
from levelfield.data.source import Examples, check_ids
from levelfield.data.sources.images import ImageTable
from levelfield.data.sources.seen import augmented, plain
from levelfield.data.stores.base import RelabelledStore, Store
from levelfield.records.data import ImagesSpec, Split, num_folds, num_report_asked
from levelfield.records.errors import DataError, quoted_names
from levelfield.records.fields import FieldFacts
from levelfield.records.fingerprint import digest


def image_source(spec: ImagesSpec, train: Store, report: Store | None) -> ImageSource:
    """The source over ``train`` and, where the data has its own, a ``report`` part, its classes matched to training's.

    Raises:
        DataError: there are too few classes or images, or the report part has a class that training lacks.
    """
    names = _trained(spec, train)
    said = {"resolution": spec.resolution, "mask_corrupt": spec.corrupt == "mask"}
    table, held_out = ImageTable(train, **said), None
    if report is not None:
        ours = dataclasses.replace(train.classes, names=names, of=f"the training part {train.classes.of}")
        places, how = match_classes(report.classes, ours, report.contents.used)
        used = {int(places[label]) for label in report.contents.used}
        _refuse_untrained(sorted(used - set(train.contents.used)), ours, report.classes.of)
        if how != "name" and report.classes.names != names:
            say(f"the classes of {report.classes.of} are matched to those of {train.classes.of} by {how}")
        renumbered = any(places[label] != label for label in report.contents.used)
        held_out = ImageTable(RelabelledStore(report, places, ours) if renumbered else report, **said)
    return ImageSource(spec, table, held_out, names)


def _trained(spec: ImagesSpec, train: Store) -> tuple[str, ...]:
    """The names of the classes to be told apart: as many as the largest label says."""
    names = train.classes.names[: 1 + max(train.contents.used)]
    if len(names) < 2:
        raise DataError(f"{spec.path} holds one class, {train.classes.names[0]!r}: expected two or more to tell apart")
    if len(names) > (number := train.contents.num_examples):
        raise DataError(
            f"{spec.path} has labels up to {len(names) - 1}, so {len(names)} classes, of {number} images: "
            "number the classes from 0 without gaps"
        )
    return names


def _refuse_untrained(labels: Sequence[int], ours: Classes, theirs: str) -> None:
    if labels:
        raise DataError(
            f"{theirs} holds the class {ours.names[labels[0]]!r}, of which {ours.of} has no image: move some there"
        )


class ImageSource:
    """Train, select and report splits over one table of images, or two where the data has its own report part.

    Membership is a permutation keyed by content and ``spec.seed``: the first ``report_examples`` ranks report (unless
    there is a report table, which then is used whole), the next ``select_examples`` select, the rest train. Where that
    would leave a class without a training image, the ranks are stratified, see :func:`stratified`. In a two-level order
    the ranks are those of :class:`levelfield.data.blocks.PackedRanks`. Of folds the first ranks are cut into as many
    equal parts, of which one reports; what division leaves over is always trained on.
    """

    in_channels = 3
    no_verdict_because = None

    def __init__(self, spec: ImagesSpec, table: ImageTable, report: ImageTable | None, names: Sequence[str]) -> None:
        self.spec, self._table, self._report = spec, table, report
        self.resolution = spec.resolution
        self.class_names = tuple(names)
        self.fields = FieldFacts(num_classes=len(self.class_names))
        if report and spec.folds:
            raise DataError(f"{spec.path} has a report split of its own, which judges: leave out folds ({spec.folds})")
        self._num_report_ranks = 0 if report else self._report_ranks(spec, len(table))
        num_report = self._num_report_ranks // num_folds(spec)
        num_train = len(table) - num_report - spec.select_examples
        counts = np.array(table.store.contents.num_by_class[: len(self.class_names)])
        if num_train < np.count_nonzero(counts):
            raise DataError(
                f"{spec.path} holds {len(table)} images; select_examples = {spec.select_examples} and "
                f"{'a fold of' if spec.folds else 'report_examples ='} {num_report} taken out of it leave "
                f"{'none' if num_train < 1 else f'{num_train} of {np.count_nonzero(counts)} classes'} to train on: "
                "lower them"
            )
        self.split_sizes: Mapping[Split, int] = {
            "train": num_train,
            "select": spec.select_examples,
            "report": len(report) if report else num_report,
        }
        self.fingerprint = _joined(table, report)
        self._split = Permutation.of(len(table), "split", table.fingerprint, spec.seed)
        if spec.block_examples is not None:
            self._split = PackedRanks(len(table), table.fingerprint, spec.seed, table.store.in_place)
            self.fingerprint = self._split.named(self.fingerprint)
        self._strata = self._stratified_if_needed(counts)
        self.remarks = tuple(self._remarks(counts))
        for remark in self.remarks:
            say(f"{spec.path}: {remark}")
        _check_apart(spec, table, report)

    @staticmethod
    def _report_ranks(spec: ImagesSpec, num_images: int) -> int:
        if spec.folds is None:
            return num_report_asked(spec)
        return max(1, (num_images - spec.select_examples) // spec.folds) * spec.folds

    def _refuse_empty_folds(self, counts: Int64s, order: Int64s) -> None:
        """A class is trained on whichever fold judges.

        Raises:
            DataError: one is not.
        """
        labels, size = self._table.labels(order), self.split_sizes["report"]
        ends = self._num_report_ranks, self._num_report_ranks + self.spec.select_examples
        left = counts - np.bincount(labels[ends[0] : ends[1]], minlength=len(counts))
        for start in range(0, self._num_report_ranks, size):
            there = left - np.bincount(labels[start : start + size], minlength=len(counts))
            lost = np.flatnonzero((there < 1) & (counts > 0))
            if len(lost):
                names = quoted_names([self.class_names[label] for label in lost.tolist()])
                raise DataError(
                    f"{self.spec.path}: {names} have so few images (down to {counts[lost].min()}) that one of "
                    f"{self.spec.folds} folds would be judged on them by a network that saw none; bring more of them, "
                    "or leave out folds"
                )

    def _stratified_if_needed(self, counts: Int64s) -> Int64s | None:
        if self.spec.folds is not None:
            every = np.arange(len(self._table))
            order = stratified(self._table.labels(every), self._split.forward(every), last_at_end=False)
            self._refuse_empty_folds(counts, order)
            return order
        held_out = self._split.forward(np.arange(len(self._table) - self.split_sizes["train"]))
        left = counts - np.bincount(self._table.labels(held_out), minlength=len(self.class_names))
        if (left[counts > 0] > 0).all():
            return None
        every = np.arange(len(self._table))
        return stratified(self._table.labels(every), self._split.forward(every))

    def _remarks(self, counts: Int64s) -> Iterator[str]:
        if self._strata is not None and self.spec.folds is None:
            yield (
                "some classes have so few images that a plain draw of the held-out ones left them none to train on, so "
                "splits are stratified by class"
            )
        for table in filter(None, (self._table, self._report)):
            if contradicted := table.store.contents.contradicted:
                yield (
                    f"{contradicted} images of {table.store.classes.of} stand under two classes, byte for byte, so no "
                    "network can be right about both"
                )
        empty = np.flatnonzero(counts == 0).tolist()
        if empty:
            names = quoted_names([self.class_names[label] for label in empty])
            first = int(np.flatnonzero(counts)[0])
            last = len(self.class_names) - 1
            ones = f"; labels run from {first} to {last}: subtract {first} where they should start at 0"
            yield (
                f"{len(empty)} of {len(self.class_names)} classes have no image, {names}, so the network cannot learn "
                f"them{ones if first else ''}"
            )

    def batch(self, split: Split, ids: Int64s, augment_keys: UInt64s | None = None) -> Examples:
        """See :meth:`levelfield.data.source.Source.batch`."""
        ids = check_ids(ids, self.split_sizes[split], split)
        table, numbers = self._locate(split, ids)
        if split == "train" and augment_keys is not None:
            images, valid = augmented(table, numbers, self.spec, augment_keys, ids)
        else:
            images, valid = plain(table, numbers)
        return Examples({"image": images, "label": table.labels(numbers)}, valid)

    @property
    def classes(self) -> Classes:
        """The classes to be told apart, and whether their names were sorted."""
        return dataclasses.replace(self._table.store.classes, names=self.class_names)

    @property
    def epoch_examples(self) -> int:
        """See :class:`levelfield.data.arranged.Arranged`."""
        return self.split_sizes["train"]

    def arranged(self, seed: int, *, num_examples: int | None, multiplicity: int) -> ExampleOrder:
        """See :class:`levelfield.data.arranged.Arranged`: in blocks, where the spec says so."""
        if self.spec.block_examples is None or num_examples is not None:
            return plain_order(self, seed, num_examples=num_examples, multiplicity=multiplicity)
        return BlockOrder(
            num_examples=self.split_sizes["train"],
            seed=seed,
            fingerprint=self.fingerprint,
            multiplicity=multiplicity,
            block_examples=self.spec.block_examples,
            window_blocks=self.spec.window_blocks,
        )

    @property
    def far(self) -> bool:
        """See :class:`levelfield.data.foresight.Far`."""
        return any(table is not None and table.store.far for table in (self._table, self._report))

    def expect(self, split: Split, ids: Int64s) -> None:
        """See :class:`levelfield.data.foresight.Far`."""
        table, rows = self._locate(split, ids)
        table.store.expect(rows)

    def digests(self, split: Split) -> NDArray[np.uint8]:
        """The digests ``[n, 16]`` of the pictures of a split."""
        table, numbers = self._locate(split, np.arange(self.split_sizes[split], dtype=np.int64))
        return table.store.digests[numbers]

    def _locate(self, split: Split, ids: Int64s) -> tuple[ImageTable, Int64s]:
        if split == "report" and self._report is not None:
            return self._report, ids
        ranks = self._ranks(split, ids)
        return self._table, self._split.forward(ranks) if self._strata is None else self._strata[ranks]

    def _ranks(self, split: Split, ids: Int64s) -> Int64s:
        """Those that report come first, with folds the one that is judged out of several; then those that select."""
        size = self.split_sizes["report"] if self.spec.folds else self._num_report_ranks
        own = self.spec.fold * size
        if split == "report":
            return ids + own
        if split == "select":
            return ids + self._num_report_ranks
        others = self._num_report_ranks - size
        beside = np.where(ids < own, ids, ids + size)
        return np.where(ids < others, beside, ids + size + self.spec.select_examples)


def stratified(labels: Int64s, order: Int64s, *, last_at_end: bool = True) -> Int64s:
    """``order`` [N], a permutation of the images of classes ``labels`` [N], so that any run of ranks takes its share of
    every class, and the last image of each class stands at the end, where that is to be trained on.

    Source: systematic sampling; the j-th of n images of a class stands at quantile (j + 1/2) / n.
    """
    by_class = np.argsort(labels[order], kind="stable")
    counts = np.bincount(labels)
    counts = counts[counts > 0]
    within = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    size = np.repeat(counts, counts)
    quantile = np.empty(len(order))
    quantile[by_class] = np.where((within == size - 1) & last_at_end, 1.0, (within + 0.5) / size)
    return order[np.argsort(quantile, kind="stable")]


def _joined(table: ImageTable, report: ImageTable | None) -> str:
    if report is None:
        return table.fingerprint
    return digest(f"{table.fingerprint} {report.fingerprint}".encode())


def _check_apart(spec: ImagesSpec, table: ImageTable, report: ImageTable | None) -> None:
    """Say which held-out images may have been trained on: byte-identical ones."""
    twins = table.store.contents.twins
    if twins:
        say(f"{spec.path} holds {twins} images twice; twins may fall into different splits")
    if report is None:
        return
    shared, distinct = num_shared_by(table.store, report.store)
    theirs = spec.report_path or f"the held-out part {report.store.classes.of}"
    if shared == distinct:
        raise DataError(f"every image of {theirs} is also in {spec.path}: the report split must be unseen")
    if shared:
        say(f"{shared} images of {theirs} are also in {spec.path}")
