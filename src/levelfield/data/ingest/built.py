"""A data set that was built: shards of pictures, an index a part, and a manifest that names and counts all of it."""

from __future__ import annotations

import hashlib
import logging
import os
from pathlib import Path

import numpy as np

from levelfield.data.canonical import DIGEST_RULE
from levelfield.data.index import Index
from levelfield.data.ingest.format import InPlace
from levelfield.data.ingest.kept_index import stamp
from levelfield.data.kept_digests import cached
from levelfield.data.manifest import Contents, MaskFacts, SkipReason
from levelfield.data.stores.base import IndexedStore
from levelfield.data.stores.masked import MaskedStore
from levelfield.data.stores.tar import TarStore
from levelfield.data.stores.texted import TextedStore
from levelfield.records.codec import later, record
from levelfield.records.errors import DamagedError, DataError, LevelfieldError
from levelfield.records.files import open_regular
from levelfield.records.sealed import read_record, write_record

logger = logging.getLogger(__name__)

MANIFEST, INDEX, MASKS, TEXTS, BUILDING = "manifest.json", "index.arrow", "masks.arrow", "texts.arrow", ".building"
BUILT_FORM = 1
_READ_BYTES = 1 << 20
_REMEDY = "fetch the data set again, or build it again"


@record
class ShardFacts:
    """A tar in the folder of its part: its name, how many bytes and pictures it has, and the SHA-256 of it."""

    name: str
    num_bytes: int
    examples: int
    sha256: str


@record
class PartMasks:
    """The masks of a part: what they mean, the SHA-256 of their index, and where they stay if they are not in the
    shards."""

    facts: MaskFacts
    index_sha256: str
    in_place: InPlace | None = later(default=None)


@record
class PartTexts:
    """What is said of the pictures of a part: ``contents`` are of those of which something is, ``num_texts`` in all,
    and the SHA-256 of their index."""

    contents: Contents
    num_texts: int
    index_sha256: str


@record
class PartFacts:
    """One part of a built data set, in ``shards`` of its own or ``in_place``; ``shuffled`` says that pictures lie in a
    drawn order, so that neighbours are strangers. ``masks`` and ``texts`` are those of the pictures, where they have
    some."""

    contents: Contents
    index_sha256: str
    shards: tuple[ShardFacts, ...]
    shuffled: bool
    in_place: InPlace | None = later(default=None)
    masks: PartMasks | None = later(default=None)
    texts: PartTexts | None = later(default=None)


@record
class Manifest:
    """What a built data set holds: its ``parts``, what was ``skipped`` by reason, how many distinct pictures of each
    held-out part are ``also_in_train``, which ``decoders`` in which versions decided what can be read, and by which
    ``digest_rule`` pictures are named."""

    form: int = BUILT_FORM
    parts: dict[str, PartFacts]
    skipped: dict[SkipReason, int]
    also_in_train: dict[str, int]
    decoders: dict[str, str]
    digest_rule: str
    levelfield: str


def is_built(folder: Path) -> bool:
    """Whether ``folder`` is what ``levelfield data build`` makes."""
    return (folder / MANIFEST).is_file()


def read_manifest(folder: Path) -> Manifest:
    """The manifest of the data set that was built in ``folder``.

    Raises:
        DataError: it is damaged, or of another form than is read here.
    """
    try:
        found = read_record(Manifest, folder / MANIFEST, remedy=_REMEDY)
    except (DamagedError, LevelfieldError) as error:
        raise DataError(str(error)) from None
    names = [*found.parts, *(shard.name for facts in found.parts.values() for shard in facts.shards)]
    if any(os.path.basename(name) != name or name in ("", ".", "..") for name in names):
        raise DataError(f"{folder / MANIFEST} names files that are not in its folder; {_REMEDY}")
    if found.form != BUILT_FORM or found.digest_rule != DIGEST_RULE:
        raise DataError(
            f"{folder} was built in form {found.form} by the rule {found.digest_rule!r}, here they are {BUILT_FORM} "
            f"and {DIGEST_RULE!r}: build it again from its shards (`levelfield data build`)"
        )
    return found


class BuiltPart:
    """The part called ``part`` of the data set that was built in ``folder``, opened without listing anything."""

    def __init__(self, folder: Path, part: str, facts: PartFacts) -> None:
        self.of, self.folder, self.facts = f"{folder} ({part})", folder / part, facts

    def opened(self, *, rehash: bool) -> IndexedStore:
        """Its pictures; with ``rehash`` only if all of them are what they were when it was built.

        Raises:
            DataError: index or shards are not those that the manifest names.
        """
        return self._opened(INDEX, self.facts.index_sha256, self.facts.in_place, rehash=rehash)

    def opened_pairs(self, *, rehash: bool) -> MaskedStore:
        """The same with their masks, of a part whose pictures have some."""
        masks = self.facts.masks
        assert masks is not None
        theirs = self._opened(MASKS, masks.index_sha256, masks.in_place, rehash=rehash)
        return MaskedStore(self.opened(rehash=rehash), theirs, masks.facts)

    def opened_texted(self, *, rehash: bool) -> TextedStore:
        """The pictures of which something is said, with that.

        Raises:
            DataError: nothing is of any; see :meth:`opened`.
        """
        said = self.facts.texts
        if said is None:
            raise DataError(f"{self.of} was built of pictures without texts: build it anew of such that have some")
        path, known = self._index_at(TEXTS, said.index_sha256, rehash=rehash)
        pictures, texts = self.opened(rehash=rehash), Index.open(path)
        if len(texts) != len(pictures.index):
            raise DataError(f"{path} says something of other pictures than its manifest counts; {_REMEDY}")
        if not known:
            _remember(path, said.index_sha256)
        rows = np.flatnonzero(texts.lengths > 0)
        if len(rows) < len(texts):
            pictures.index, texts = pictures.index.at(rows), texts.at(rows)
        return TextedStore(pictures, texts, said.contents)

    def _opened(self, name: str, sha256: str, stays: InPlace | None, *, rehash: bool) -> IndexedStore:
        path, known = self._index_at(name, sha256, rehash=rehash)
        try:
            index = Index.open(path)
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error}; {_REMEDY}") from None
        if not known:
            self._check_counts(index, stays)
            _remember(path, sha256)
        store = self._store(index) if stays is None else stays.opener(self.of)(index, self.facts.contents)
        if rehash:
            refuse_changed(store)
        return store

    def _index_at(self, name: str, sha256: str, *, rehash: bool) -> tuple[Path, bool]:
        """Where the index called ``name`` lies, and whether it was found to be that of the manifest before."""
        path = self.folder / name
        try:
            known = not rehash and is_known(path, sha256)
            if not known and sha256_of(path) != sha256:
                raise DataError(f"{path} was changed or damaged after it was written; {_REMEDY}")
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error}; {_REMEDY}") from None
        return path, known

    def _store(self, index: Index) -> IndexedStore:
        """What opens what lies in the shards."""
        paths = [str(self.folder / shard.name) for shard in self.facts.shards]
        return TarStore(paths, index, self.facts.contents, of=self.of, packed=self.facts.shuffled)

    def _check_counts(self, index: Index, stays: InPlace | None) -> None:
        """Refuse an index that holds others than its manifest counts, by classes and by shards."""
        contents = self.facts.contents
        by_class = np.repeat(np.arange(len(contents.num_by_class)), contents.num_by_class)
        if len(index) != len(by_class) or not np.array_equal(index.labels, by_class):
            raise DataError(f"{self.folder / INDEX} holds other pictures than its manifest counts; {_REMEDY}")
        if stays is None and len(index) and int(index.shards.max()) >= len(self.facts.shards):
            raise DataError(f"{self.folder / INDEX} names shards that its manifest does not; {_REMEDY}")


def refuse_changed(store: IndexedStore) -> None:
    """Read every picture of ``store``.

    Raises:
        DataError: one is another than its index says, or gone.
    """
    for row in range(len(store.labels)):
        try:
            _, listed = store.compared(row)
        except OSError as error:
            raise DataError(f"{store.name(row)} can no longer be read: {error}; {_REMEDY}") from None
        if not listed:
            raise DataError(f"{store.name(row)} is another picture than was built in; {_REMEDY}")


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, as hexadecimal digits.

    Raises:
        OSError: it cannot be read.
    """
    found = hashlib.sha256()
    with open_regular(path) as file:
        while part := file.read(_READ_BYTES):
            found.update(part)
    return found.hexdigest()


@record
class KnownFile:
    """The SHA-256 that a file had when the system said ``stamp`` of it."""

    stamp: str
    sha256: str


def is_known(path: Path, sha256: str) -> bool:
    """Whether the file was hashed before, to that, and has not been written to since."""
    note = _note_of(path)
    if note is None or not note.is_file():
        return False
    try:
        known = read_record(KnownFile, note)
    except LevelfieldError:
        return False
    return known.sha256 == sha256 and known.stamp == stamp([str(path)])


def _remember(path: Path, sha256: str) -> None:
    note, now = _note_of(path), stamp([str(path)])
    if note is None or now is None:
        return
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        write_record(note, KnownFile(stamp=now, sha256=sha256))
    except (OSError, LevelfieldError) as error:
        logger.debug("that %s is whole is not kept: %s", path, error)


def _note_of(path: Path) -> Path | None:
    folder = cached("known")
    name = hashlib.blake2b(os.fsencode(os.path.abspath(path)), digest_size=16).hexdigest()
    return None if folder is None else folder / f"{name}.json"
