"""Pictures from wherever they lie, as a network is fed them: read and decoded beside the network's own work."""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from levelfield.data.decode import decode
from levelfield.data.encoded import MAX_ENCODED_BYTES, UnreadablePictureError, open_header
from levelfield.data.ingest.tree import IMAGE_SUFFIXES, is_image, visible
from levelfield.data.loader import evaluation_batches
from levelfield.data.sources import Source
from levelfield.data.stores.base import Store, read_listed
from levelfield.data.transforms import to_float
from levelfield.records.data import Split
from levelfield.records.errors import DataError
from levelfield.records.files import FileRefusedError, read_regular, walk
from levelfield.weights.preprocessing import Preprocessing

BATCH = 64
BATCH_BYTES = 2**29
"""Of a batch as the network takes it, and of each that is decoded ahead: 64 pictures of 836 px."""

MANY_PIXELS = 2**25
"""A larger picture is decoded while no other as large is: some 400 MB at this size, a GB at the most there may be."""

_THREADS = min(8, os.cpu_count() or 1)
_AHEAD = 2
"""Batches that are decoded while the network works on one."""


class Fed(NamedTuple):
    """Some pictures: ``images`` float32 [B, C, H, W] as the network takes them, ``places`` [B] in the whole, and their
    ``labels`` [B] where they have some."""

    images: Tensor
    places: NDArray[np.int64]
    labels: NDArray[np.int64] | None = None


@dataclass(frozen=True, kw_only=True)
class Unreadable:
    """A picture that could not be read, and why."""

    name: str
    why: str

    def __str__(self) -> str:
        return f"{self.name} ({self.why})"


def find_pictures(places: Sequence[Path]) -> list[Path]:
    """The files among ``places`` as they are named, and the images in the folders among them, sorted.

    Raises:
        DataError: a place does not exist, or a folder holds no images.
    """
    found: list[Path] = []
    for place in places:
        if not place.is_dir():
            if not place.exists():
                raise DataError(f"no picture at {place} ({place.absolute()}): expected an image or a folder of them")
            found.append(place)
            continue
        inside = sorted(_images(place))
        if not inside:
            raise DataError(f"{place} holds no images: expected files that end in {' '.join(sorted(IMAGE_SUFFIXES))}")
        found.extend(inside)
    return found


def _images(folder: Path) -> Iterator[Path]:
    """Every image below ``folder``, but what is hidden or left there by systems, as class folders are read."""
    try:
        for directory, inner, files in walk(folder):
            inner[:] = filter(visible, inner)
            yield from (Path(directory, name) for name in files if visible(name) and is_image(name))
    except FileRefusedError as error:
        raise DataError(str(error)) from None


def fed_pictures(paths: Sequence[Path], preprocessing: Preprocessing, unreadable: list[Unreadable]) -> Iterator[Fed]:
    """The pictures at ``paths``; those that cannot be read are left out and added to ``unreadable``."""

    def read(row: int) -> bytes:
        return read_regular(paths[row], at_most=MAX_ENCODED_BYTES)

    return _fed(read, lambda row: str(paths[row]), len(paths), preprocessing, unreadable)


def fed_store(
    store: Store, labels: NDArray[np.integer], preprocessing: Preprocessing, unreadable: list[Unreadable]
) -> Iterator[Fed]:
    """The pictures of ``store``, by row, of which ``labels`` [N] are the true classes; see :func:`fed_pictures`."""
    read = partial(read_listed, store)
    for images, places, _ in _fed(read, store.name, len(labels), preprocessing, unreadable):
        yield Fed(images, places, labels[places].astype(np.int64))


def fed_source(source: Source, split: Split) -> Iterator[Fed]:
    """The examples of a split as trials are judged on them; masked ones are left out."""
    for batch in evaluation_batches(source, split, BATCH):
        valid = batch.valid.numpy()
        yield Fed(to_float(batch.fields["image"])[batch.valid], batch.ids[valid], batch.fields["label"].numpy()[valid])


def _fed(
    read: Callable[[int], bytes],
    name: Callable[[int], str],
    number: int,
    preprocessing: Preprocessing,
    unreadable: list[Unreadable],
) -> Iterator[Fed]:
    alone = threading.Lock()

    def decoded(row: int) -> NDArray[np.float32] | Unreadable:
        try:
            encoded = read(row)
            width, height = open_header(encoded).size
            with alone if width * height > MANY_PIXELS else contextlib.nullcontext():
                return preprocessing.apply(decode(encoded, channels=len(preprocessing.mean)))
        except UnreadablePictureError as error:
            return Unreadable(name=name(row), why=str(error))
        except OSError as error:
            return Unreadable(name=name(row), why=error.strerror or str(error))

    bytes_each = 4 * len(preprocessing.mean) * preprocessing.resolution**2
    batch = max(1, min(BATCH, BATCH_BYTES // bytes_each))
    chunks = [range(first, min(first + batch, number)) for first in range(0, number, batch)]
    with ThreadPoolExecutor(_THREADS) as pool:
        waiting = deque([[pool.submit(decoded, row) for row in chunk] for chunk in chunks[:_AHEAD]])
        for place, rows in enumerate(chunks):
            found = [future.result() for future in waiting.popleft()]
            waiting.extend([pool.submit(decoded, row) for row in chunk] for chunk in chunks[place + _AHEAD :][:1])
            unreadable.extend(each for each in found if isinstance(each, Unreadable))
            whole = [(row, each) for row, each in zip(rows, found, strict=True) if not isinstance(each, Unreadable)]
            if whole:
                images = torch.from_numpy(np.stack([each for _, each in whole]))
                yield Fed(images, np.array([row for row, _ in whole], dtype=np.int64))
