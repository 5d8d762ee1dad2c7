"""``levelfield data inspect``: what a data set holds, before anything is spent on it.

Every picture is decoded once: which cannot be, and why; how large they are; and which held-out ones are also trained
on, byte for byte or as another file of the same picture.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from levelfield.data.encoded import UnreadablePictureError, open_picture
from levelfield.data.ingest.near import LEAST_CORRELATION, candidates, difference_hash, thumbnail
from levelfield.data.ingest.validity import Fault, fault_of, fault_of_pair
from levelfield.data.manifest import Skipped, SkipReason
from levelfield.data.mask_values import classes_of_pixels
from levelfield.data.pictures import as_shown
from levelfield.data.stores.base import Store
from levelfield.data.stores.masked import MaskedStore
from levelfield.records.codec import later, record

MOST_NAMED = 20
"""Pictures of a kind that are named; all are counted."""

_CHUNK = 256


@record
class SidesFacts:
    """Pixels of the shorter and of the longer side: the least, the median, the most."""

    shorter: tuple[int, int, int]
    longer: tuple[int, int, int]


@record
class Unusable:
    """A picture that cannot be used."""

    name: str
    why: SkipReason
    said: str


@record
class Leak:
    """A held-out picture and one that is trained on: the same bytes, or the same picture (``correlation`` of small grey
    copies)."""

    held_out: str
    trained: str
    correlation: float | None = None


@record
class PartInspection:
    """One part: ``num_by_class`` by name, ``twins`` byte for byte (``contradicted`` ones under another class), sides,
    and what cannot be used, by reason.

    Of pictures that are ``masked`` a class counts those that show it, by a pixel or more. ``num_texts`` are said of
    ``num_texted`` pictures; None where nothing is of any.
    """

    num_examples: int
    num_by_class: dict[str, int]
    twins: int
    sides: SidesFacts | None
    unusable: dict[SkipReason, int]
    named_unusable: tuple[Unusable, ...]
    masked: bool = later(default=False)
    contradicted: int = later(default=0)
    num_texts: int | None = later(default=None)
    num_texted: int | None = later(default=None)


@record
class PartLeaks:
    """How many pictures of a held-out part are also in the training part, and the first of them; of a training part
    that has none beside it, how many are there again."""

    exact: int
    near: int
    named: tuple[Leak, ...]


@record
class Inspection:
    """``skipped`` are files that are none of the pictures, by reason."""

    parts: dict[str, PartInspection]
    leaks: dict[str, PartLeaks]
    skipped: dict[SkipReason, int]


class _Seen(NamedTuple):
    fault: Fault | None
    size: tuple[int, int]
    bits: int | None
    shows: tuple[int, ...] = ()


def inspect(
    stores: Mapping[str, Store],
    skipped: list[Skipped],
    *,
    masked: Mapping[str, MaskedStore] | None = None,
    workers: int,
    told: Callable[[int], None] = lambda done: None,
) -> Inspection:
    """Look at every picture of every part, and at its mask where there are ``masked`` ones.

    Raises:
        DataError: a container is damaged, which is no fault of one picture.
    """
    masked = masked or {}
    parts: dict[str, PartInspection] = {}
    hashes: dict[str, NDArray[np.uint64]] = {}
    rows: dict[str, NDArray[np.int64]] = {}
    done = 0
    for part, store in stores.items():
        seen: list[_Seen] = []
        for each in _seen(store, masked.get(part), workers):
            seen.append(each)
            done += 1
            told(done)
        parts[part] = _inspected(store, masked.get(part), seen)
        known = [(row, each.bits) for row, each in enumerate(seen) if each.bits is not None]
        rows[part] = np.array([row for row, _ in known], dtype=np.int64)
        hashes[part] = np.array([bits for _, bits in known], dtype=np.uint64)
    leaks = {
        part: _leaks(stores["train"], store, (hashes["train"], rows["train"]), (hashes[part], rows[part]))
        for part, store in stores.items()
        if part != "train" and "train" in stores
    }
    if not leaks and "train" in stores:  # held-out pictures will be drawn out of it
        leaks["train"] = _alike(stores["train"], hashes["train"], rows["train"])
    counts: dict[SkipReason, int] = dict(Counter(each.why for each in skipped))
    return Inspection(parts=parts, leaks=leaks, skipped=counts)


def _seen(store: Store, masked: MaskedStore | None, workers: int) -> Iterator[_Seen]:
    def look(row: int) -> _Seen:
        try:
            encoded, mask = store.read(row), b"" if masked is None else masked.masks.read(row)
        except OSError as error:
            return _Seen(Fault("unreadable", str(error)), (0, 0), None)
        fault = fault_of(encoded) if masked is None else fault_of_pair(encoded, mask, masked.facts)
        if fault is not None:
            return _Seen(fault, (0, 0), None)
        picture = as_shown(open_picture(encoded))
        shows = () if masked is None else np.unique(classes_of_pixels(mask, picture.size, masked.facts)).tolist()
        return _Seen(None, picture.size, difference_hash(picture), tuple(shows))

    rows = iter(range(len(store.labels)))
    with ThreadPoolExecutor(workers) as pool:
        while chunk := list(islice(rows, _CHUNK)):
            (masked or store).expect(np.array(chunk, dtype=np.int64))
            yield from pool.map(look, chunk)


def _inspected(store: Store, masked: MaskedStore | None, seen: list[_Seen]) -> PartInspection:
    by_class = dict(zip(store.contents.class_names, store.contents.num_by_class, strict=True))
    if masked is not None:
        showing = Counter(label for each in seen for label in each.shows)
        by_class = {name: showing[label] for label, name in enumerate(masked.facts.names)}
    sizes = np.array([each.size for each in seen if each.fault is None], dtype=np.int64).reshape(-1, 2)
    faults = [(row, each.fault) for row, each in enumerate(seen) if each.fault is not None]
    unusable: dict[SkipReason, int] = dict(Counter(fault.why for _, fault in faults))
    return PartInspection(
        num_examples=store.contents.num_examples,
        num_by_class=by_class,
        masked=masked is not None,
        contradicted=store.contents.contradicted,
        twins=store.contents.twins,
        sides=SidesFacts(shorter=_spread(sizes.min(axis=1)), longer=_spread(sizes.max(axis=1))) if len(sizes) else None,
        unusable=unusable,
        named_unusable=tuple(
            Unusable(name=store.name(row), why=fault.why, said=fault.said) for row, fault in faults[:MOST_NAMED]
        ),
    )


def _spread(sides: NDArray[np.int64]) -> tuple[int, int, int]:
    return int(sides.min()), int(np.median(sides)), int(sides.max())


def _leaks(
    train: Store,
    held_out: Store,
    trained: tuple[NDArray[np.uint64], NDArray[np.int64]],
    theirs: tuple[NDArray[np.uint64], NDArray[np.int64]],
) -> PartLeaks:
    """What of ``held_out`` is also in ``train``; hashes and the rows that have one, of either."""
    at = _places_of(train, held_out)
    exact = [Leak(held_out=held_out.name(row), trained=train.name(place)) for row, place in sorted(at.items())]
    near: list[Leak] = []
    found: set[int] = set(at)
    for place, other in candidates(trained[0], theirs[0]):
        row, own = int(theirs[1][other]), int(trained[1][place])
        if row in found or (correlation := _correlation(train, own, held_out, row)) < LEAST_CORRELATION:
            continue
        found.add(row)
        near.append(Leak(held_out=held_out.name(row), trained=train.name(own), correlation=round(correlation, 3)))
    return PartLeaks(exact=len(exact), near=len(near), named=(*exact[:MOST_NAMED], *near[:MOST_NAMED]))


def _alike(store: Store, hashes: NDArray[np.uint64], rows: NDArray[np.int64]) -> PartLeaks:
    """Which pictures of a part are one picture, so that a split that is drawn out of it may be trained on."""
    near: dict[int, Leak] = {}
    for place, other in candidates(hashes, hashes):
        own, row = int(rows[place]), int(rows[other])
        if own >= row or row in near or store.digests[own].tobytes() == store.digests[row].tobytes():
            continue
        if (correlation := _correlation(store, own, store, row)) >= LEAST_CORRELATION:
            near[row] = Leak(held_out=store.name(row), trained=store.name(own), correlation=round(correlation, 3))
    return PartLeaks(exact=store.contents.twins, near=len(near), named=tuple(near.values())[:MOST_NAMED])


def _places_of(train: Store, held_out: Store) -> dict[int, int]:
    """Rows of ``held_out`` of which ``train`` has the same bytes, and where."""
    rows: dict[bytes, list[int]] = {}
    for row, digest in enumerate(held_out.digests):
        rows.setdefault(digest.tobytes(), []).append(row)
    found: dict[int, int] = {}
    for place, digest in enumerate(train.digests):
        for row in rows.get(digest.tobytes(), ()):
            found.setdefault(row, place)
    return found


def _correlation(train: Store, own: int, held_out: Store, row: int) -> float:
    try:
        pictures = [as_shown(open_picture(store.read(each))) for store, each in ((train, own), (held_out, row))]
    except (OSError, UnreadablePictureError):
        return 0.0
    first, second = map(thumbnail, pictures)
    return float(first @ second)


def contact_sheet(store: Store, *, side: int = 96, classes: int = 20, each: int = 10) -> Image.Image:
    """The first pictures of the first classes that have some, a row a class."""
    used = store.contents.used[:classes]
    starts = np.cumsum([0, *store.contents.num_by_class])
    sheet = Image.new("RGB", (side * each, side * max(1, len(used))), "white")
    for line, label in enumerate(used):
        shown = 0
        for row in range(int(starts[label]), int(starts[label + 1])):
            if shown == each:
                break
            try:
                picture = as_shown(open_picture(store.read(row)))
            except (OSError, UnreadablePictureError):
                continue
            picture.thumbnail((side - 2, side - 2))
            sheet.paste(picture, (side * shown, side * line))
            shown += 1
    return sheet
