"""What every way of bringing pictures must have: :func:`check_reader` asserts it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeAlias

from levelfield.data.ingest.build import build
from levelfield.data.ingest.places import PlaceSaid, judged_at, listed_forms
from levelfield.data.stores.base import Store, read_listed
from levelfield.records.errors import LevelfieldError

Pictures: TypeAlias = Sequence[tuple[str, bytes]]
"""The name of a class, and an encoded picture of it."""

Table: TypeAlias = list[tuple[int, str, str]]
"""Of every id its class and the SHA-256 of its bytes."""


def check_reader(write: Callable[[Path, Pictures], PlaceSaid], pictures: Pictures, folder: Path) -> None:
    """Assert that what ``write`` makes of ``pictures`` in an empty ``folder`` is read as these pictures, every byte.

    The same pictures give the same table of ids, labels and bytes from every format, built or not; opening writes
    nothing beside them; several threads may read at once; and bytes that were changed are never taken for a picture.

    Raises:
        AssertionError: it is not so; the sentence says what was expected.
    """
    place = write(folder / "data", pictures)
    before = _files(folder / "data")
    store = judged_at(place)
    names = tuple(sorted({name for name, _ in pictures}, key=os.fsencode))
    assert store.classes.names == names, f"the classes {names}, saw {store.classes.names}"
    expected = expected_table(pictures)
    assert table_of(store) == expected, "every picture under its class, in canonical order"
    assert store.contents.num_by_class == tuple(sum(own == name for own, _ in pictures) for name in names)
    again = judged_at(place)
    assert again.contents == store.contents, "what was kept is what was listed"
    assert table_of(again) == expected, "the same table the next time"
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(again.read, list(range(len(expected))) * 4))
    assert together == [store.read(row) for row in range(len(expected))] * 4, "threads do not disturb one another"
    assert all(store.name(row) for row in range(len(expected))), "every picture is called something"
    again.expect(store.labels[:0].astype("int64"))
    assert _files(folder / "data") == before, "nothing is written beside the pictures"
    _check_built(place, folder / "built", store, expected)
    _check_changed(place, folder / "data", expected)


def expected_table(pictures: Pictures) -> Table:
    """The table of ``pictures`` by the rule of :mod:`levelfield.data.canonical`, worked out apart from it."""
    from levelfield.data.canonical import digest_of

    names = sorted({name for name, _ in pictures}, key=os.fsencode)
    rows = sorted((names.index(name), digest_of(encoded), encoded) for name, encoded in pictures)
    return [(row, names[label], hashlib.sha256(encoded).hexdigest()) for row, (label, _, encoded) in enumerate(rows)]


def table_of(store: Store) -> Table:
    """The table of what ``store`` holds."""
    return [
        (row, store.classes.names[int(label)], hashlib.sha256(read_listed(store, row)).hexdigest())
        for row, label in enumerate(store.labels)
    ]


def _check_built(place: PlaceSaid, out: Path, store: Store, expected: Table) -> None:
    stays = all(form.in_place() is not None for form in listed_forms(place).values())
    for in_place in (False, True) if stays else (False,):
        made = out / ("in place" if in_place else "copied")
        build(listed_forms(place), made, shard_bytes=20_000, in_place=in_place)
        built = judged_at(PlaceSaid(path=str(made)))
        assert built.contents == store.contents, "what is built is what was brought"
        assert table_of(built) == expected, "the same table once it is built"


def _check_changed(place: PlaceSaid, data: Path, expected: Table) -> None:
    """A byte of a picture is changed where it lies: no read gives what is not in the table."""
    store = judged_at(place)
    encoded = store.read(0)
    holder = next(path for path in sorted(_files(data)) if encoded in path.read_bytes())
    content = bytearray(holder.read_bytes())
    content[content.index(encoded) + len(encoded) // 2] ^= 255
    holder.write_bytes(content)
    known = {sha256 for _, _, sha256 in expected}
    try:
        found = {hashlib.sha256(read_listed(store, row)).hexdigest() for row in range(len(expected))}
    except (LevelfieldError, OSError):
        return
    assert found <= known, "a changed picture is never given out under its old name"


def _files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}
