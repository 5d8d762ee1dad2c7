"""Pictures and masks in two columns of Parquet files, in parts that a third column names."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import chain

import numpy as np

from levelfield.data.draws import Int64s
from levelfield.data.ingest.columns import image_column, mask_column
from levelfield.data.ingest.format import Listing, Opener, PairedFormat
from levelfield.data.ingest.layout import PART_NAMES
from levelfield.data.ingest.mask_classes import MasksSaid, mask_facts
from levelfield.data.ingest.parquet_paths import paths_of
from levelfield.data.manifest import UNLABELLED
from levelfield.data.stores.parquet import ParquetStore
from levelfield.data.stores.parquet_file import Columns, ParquetFile, parquet_schema
from levelfield.records.errors import DataError, quoted_names


def paired_columns(
    path: str, said: MasksSaid, *, image: str | None, mask: str | None, split: str | None, sequence: str | None
) -> dict[str, PairedFormat]:
    """The parts of the table at ``path``, told by the column ``split`` where there is one; ``sequence`` names frames.

    The schema may name the classes (``class_names``, a JSON list) and the value of pixels of none (``ignore_index``);
    what is ``said`` overrules neither where both say something.

    Raises:
        DataError: a file or column is missing or of the wrong kind, a part has another name, or nothing says how many
            classes there are.
    """
    paths = [str(each) for each in paths_of(path)]
    schema = parquet_schema(paths[0])
    image = image_column(schema, image, of=path)
    mask = mask_column(schema, mask, of=path, but=image)
    columns = Columns(images=(image, mask), texts=tuple(name for name in (split, sequence) if name is not None))
    files = [ParquetFile(file, columns) for file in paths]
    ignored = {file.ignore_index for file in files} - {None}
    if len(ignored) > 1:
        raise DataError(f"{path}: ignore_index is said to be {sorted(map(str, ignored))}: expected one value")
    facts = mask_facts(said, files[0].class_names, next(iter(ignored), None), of=path, framed=sequence is not None)
    rows = np.array([sum(map(file.num_rows, range(file.num_row_groups))) for file in files])
    if not rows.sum():
        raise DataError(f"{path} holds no rows: expected images in column {image!r}")
    frames = None if sequence is None else partial(_frames, files, sequence)
    named = dict(zip(("image", "mask", "split", "sequence"), (image, mask, split, sequence), strict=True))
    return {
        part: PairedFormat(
            of=path if split is None else f"{path} ({part})",
            pictures=ColumnRows(path, paths, image, rows, own, frames, rule=json.dumps([part, named])),
            masks=ColumnRows(path, paths, mask, rows, own, rule=json.dumps([part, named, "masks"])),
            facts=facts,
        )
        for part, own in _parts(path, files, split, int(rows.sum())).items()
    }


class ColumnRows:
    """A :class:`levelfield.data.ingest.format.Format`: the images of ``column`` in the files at ``paths``, of which
    ``counts`` says how many rows each has, that stand in the rows ``own`` of all of them."""

    def __init__(
        self,
        of: str,
        paths: Sequence[str],
        column: str,
        counts: Int64s,
        own: Int64s,
        frames: Callable[[], list[str]] | None = None,
        *,
        rule: str,
    ) -> None:
        self.of, self.rule, self._paths, self._column = of, rule, paths, column
        self._counts, self._own, self._frames = counts, own, frames

    def files(self) -> Sequence[str]:
        """See :meth:`levelfield.data.ingest.format.Format.files`."""
        return self._paths

    def listed(self) -> Listing:
        """See :meth:`levelfield.data.ingest.format.Format.listed`."""
        number, firsts = len(self._own), np.cumsum(self._counts) - self._counts
        shards = np.searchsorted(firsts, self._own, side="right") - 1
        frames = None if self._frames is None else self._frames()
        return Listing(
            class_names=(UNLABELLED,),
            sorted_as_text=False,
            labels=np.zeros(number, dtype=np.int64),
            shards=shards.astype(np.uint32),
            offsets=(self._own - firsts[shards]).astype(np.uint64),
            lengths=np.zeros(number, dtype=np.uint64),
            names=None if frames is None else [os.fsencode(frames[row]) for row in self._own.tolist()],
        )

    def opener(self) -> Opener:
        """See :meth:`levelfield.data.ingest.format.Format.opener`."""
        return partial(ParquetStore, self._paths, Columns(images=(self._column,)), of=self.of)

    def in_place(self) -> None:
        """None: rows drawn out of row groups cost many times what neighbours do."""
        return


def _texts(files: Sequence[ParquetFile], name: str) -> Iterable[str]:
    return chain.from_iterable(file.texts(group, name) for file in files for group in range(file.num_row_groups))


def _frames(files: Sequence[ParquetFile], name: str) -> list[str]:
    return list(_texts(files, name))


def _parts(path: str, files: Sequence[ParquetFile], column: str | None, number: int) -> dict[str, Int64s]:
    """The rows of every part that the data tells apart."""
    if column is None:
        return {"train": np.arange(number, dtype=np.int64)}
    said = list(_texts(files, column))
    parts = [PART_NAMES.get(name.casefold(), "") for name in said]
    if "" in parts or "train" not in parts:
        seen = quoted_names(sorted(set(said)))
        raise DataError(f"column {column!r} of {path} names the parts {seen}, expected train, val and test")
    found = np.array(parts)
    return {part: np.flatnonzero(found == part) for part in dict.fromkeys(("train", *parts))}
