"""A data set that was built and lies far away: its manifest and indices are brought here, its pictures as needed."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from levelfield.data.index import Index
from levelfield.data.ingest.built import INDEX, MANIFEST, BuiltPart, PartFacts, read_manifest, refuse_changed, sha256_of
from levelfield.data.kept_digests import cached
from levelfield.data.stores.base import Store
from levelfield.data.stores.far import FarStore, cache_of
from levelfield.data.stores.remote import RemoteShards, whole_object
from levelfield.records.errors import DataError, StoreError
from levelfield.records.fingerprint import digest
from levelfield.records.writing import make_directory


class FarPart(BuiltPart):
    """The part called ``part`` of the data set that was built at ``url``; its index is kept on this disk."""

    def __init__(self, url: str, part: str, facts: PartFacts, kept: Path) -> None:
        super().__init__(kept, part, facts)
        self.of, self.url = f"{url} ({part})", f"{url}/{part}"

    def opened(self, *, rehash: bool) -> Store:
        """Its pictures; with ``rehash`` only if all of them are what they were when it was built.

        Raises:
            DataError: index or shards are not those that the manifest names, or did not come.
        """
        path = self.folder / f"{self.facts.index_sha256}.arrow"
        try:
            if not path.exists() or sha256_of(path) != self.facts.index_sha256:
                _keep(path, whole_object(self.url, INDEX))
            if sha256_of(path) != self.facts.index_sha256:
                raise DataError(f"{self.url}/{INDEX} is not the index that its manifest names: fetch or build it again")
            index = Index.open(path)
        except OSError as error:
            raise DataError(f"{self.of} cannot be read: {error}") from None
        contents = self.facts.contents
        shards = RemoteShards(self.url, [shard.name for shard in self.facts.shards], cache_of(self.url, contents))
        store = FarStore(shards, index, contents, of=self.of, packed=self.facts.shuffled)
        if rehash:
            refuse_changed(store)
        return store


def far_parts(url: str) -> dict[str, FarPart]:
    """The parts of the data set that was built at ``url``.

    Raises:
        DataError: nothing that was built lies there, or it cannot be read.
    """
    url = url.rstrip("/")
    folder = cached("far") or Path(tempfile.gettempdir()) / f"levelfield-far-{os.getuid()}"
    kept = folder / digest(url.encode())
    try:
        content = whole_object(url, MANIFEST)
    except FileNotFoundError:
        raise DataError(
            f"{url} holds no {MANIFEST}: far away lies what `levelfield data build` made, copied there as it is"
        ) from None
    except OSError as error:
        raise DataError(str(error)) from None
    _keep(kept / MANIFEST, content)
    return {part: FarPart(url, part, facts, kept) for part, facts in read_manifest(kept).parts.items()}


def _keep(path: Path, content: bytes) -> None:
    """Write ``content`` aside under a name of its own, since ranks do so at once, and put it in its place."""
    make_directory(path.parent)
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".new-")
        with open(handle, "wb") as file:
            file.write(content)
        os.replace(temporary, path)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}; see to the cache of this user") from None
