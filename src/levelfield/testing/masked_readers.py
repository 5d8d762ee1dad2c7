"""What every way of bringing pictures with masks must have: :func:`check_masked_reader` asserts it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeAlias

from levelfield.data.ingest.build import build
from levelfield.data.ingest.masked_places import MaskedPlaceSaid, listed_pairs, masked_stores_at
from levelfield.data.stores.masked import MaskedStore
from levelfield.records.errors import LevelfieldError

Pairs: TypeAlias = Sequence[tuple[str, bytes, bytes]]
"""The name of a picture without its ending, the picture and its mask, both encoded."""

PairTable: TypeAlias = list[tuple[str, str, str]]
"""Of every pair its name, and the SHA-256 of picture and mask."""


def check_masked_reader(write: Callable[[Path, Pairs], MaskedPlaceSaid], pairs: Pairs, folder: Path) -> None:
    """Assert that what ``write`` makes of ``pairs`` in an empty ``folder`` is read as these, every byte.

    The same pairs give the same rows from every format, built or not; opening writes nothing beside them; several
    threads may read at once; and bytes that were changed, of a picture or of a mask, are never taken for what they
    were.

    Raises:
        AssertionError: it is not so; the sentence says what was expected.
    """
    place = write(folder / "data", pairs)
    before = _files(folder / "data")
    store = masked_stores_at(place)["train"]
    expected = expected_pairs(pairs)
    assert pairs_of(store) == expected, "every picture with its mask, in canonical order"
    again = masked_stores_at(place)["train"]
    assert (again.contents, again.facts) == (store.contents, store.facts), "what was kept is what was listed"
    assert pairs_of(again) == expected, "the same rows the next time"
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(again.read, list(range(len(expected))) * 4))
    assert together == [store.read(row) for row in range(len(expected))] * 4, "threads do not disturb one another"
    assert _files(folder / "data") == before, "nothing is written beside the pictures"
    stays = all(form.pictures.in_place() is not None for form in listed_pairs(place).values())
    for in_place in (False, True) if stays else (False,):
        made = folder / "built" / ("in place" if in_place else "copied")
        build(listed_pairs(place), made, shard_bytes=20_000, in_place=in_place)
        built = masked_stores_at(MaskedPlaceSaid(path=str(made)))["train"]
        assert (built.contents, built.facts) == (store.contents, store.facts), "what is built is what was brought"
        assert pairs_of(built) == expected, "the same rows once it is built"
    for side in (0, 1):
        _check_changed(lambda side=side: write(folder / f"changed {side}", pairs), folder / f"changed {side}", side)


def expected_pairs(pairs: Pairs) -> PairTable:
    """The rows of ``pairs`` by the rule of :mod:`levelfield.data.canonical`, worked out apart from it."""
    from levelfield.data.canonical import digest_of

    rows = sorted((digest_of(picture), digest_of(mask), name, picture, mask) for name, picture, mask in pairs)
    return [(name, _sha256(picture), _sha256(mask)) for _, _, name, picture, mask in rows]


def pairs_of(store: MaskedStore) -> PairTable:
    """The rows of what ``store`` holds."""
    frames = store.frames
    assert frames is not None, "pictures have names"
    assert all(store.name(row) for row in range(len(store))), "every pair is called something"
    read = ((frames[row].rpartition(".")[0], *store.read(row)) for row in range(len(store)))
    return [(name, _sha256(picture), _sha256(mask)) for name, picture, mask in read]


def _check_changed(write: Callable[[], MaskedPlaceSaid], data: Path, side: int) -> None:
    """A byte of picture or mask is changed where it lies: no read gives what was not listed."""
    store = masked_stores_at(write())["train"]
    listed = {row[1 + side] for row in pairs_of(store)}
    encoded = store.read(0)[side]
    holder = next(path for path in sorted(_files(data)) if encoded in path.read_bytes())
    content = bytearray(holder.read_bytes())
    content[content.index(encoded) + len(encoded) // 2] ^= 255
    holder.write_bytes(content)
    try:
        found = {_sha256(store.read(row)[side]) for row in range(len(store))}
    except (LevelfieldError, OSError):
        return
    assert found <= listed, "what was changed is never given out under its old name"


def _sha256(encoded: bytes) -> str:
    return hashlib.sha256(encoded).hexdigest()


def _files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}
