"""A data set that was built and lies far away: its manifest and indices are brought here, its pictures as needed."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from levelfield.data.index import Index
from levelfield.data.ingest.built import MANIFEST, BuiltPart, PartFacts, is_known, read_manifest, sha256_of
from levelfield.data.kept_digests import cached
from levelfield.data.stores.far import FarStore, cache_of
from levelfield.data.stores.remote import ASKED_AGAIN, RemoteShards, whole_object
from levelfield.records.errors import DataError, StoreError
from levelfield.records.fingerprint import digest
from levelfield.records.writing import make_directory


class FarPart(BuiltPart):
    """The part called ``part`` of the data set that was built at ``url``; its index is kept on this disk."""

    def __init__(self, url: str, part: str, facts: PartFacts, kept: Path) -> None:
        super().__init__(kept, part, facts)
        self.of, self.url = f"{url} ({part})", f"{url}/{part}"

    def _index_at(self, name: str, sha256: str, *, rehash: bool) -> tuple[Path, bool]:
        path = self.folder / f"{sha256}.arrow"
        known = not rehash and is_known(path, sha256)
        try:
            if not known and (not path.exists() or sha256_of(path) != sha256):
                self._bring(name, sha256, path)
        except OSError as error:
            raise DataError(f"{self.of} cannot be read: {error}") from None
        return path, known

    def _store(self, index: Index) -> FarStore:
        contents = self.facts.contents
        shards = RemoteShards(self.url, [shard.name for shard in self.facts.shards], cache_of(self.url, contents))
        return FarStore(shards, index, contents, of=self.of, packed=self.facts.shuffled)

    def _bring(self, name: str, sha256: str, path: Path) -> None:
        """Fetch the index called ``name``, again where it came as another."""
        for _ in range(1 + ASKED_AGAIN):
            content = whole_object(self.url, name)
            if hashlib.sha256(content).hexdigest() == sha256:
                _keep(path, content)
                return
        raise DataError(f"{self.url}/{name} is not the index that its manifest names: fetch or build it again")


def far_parts(url: str) -> dict[str, FarPart]:
    """The parts of the data set that was built at ``url``.

    Raises:
        DataError: nothing that was built lies there, or it cannot be read.
    """
    url = url.rstrip("/")
    folder = cached("far") or Path(tempfile.gettempdir()) / f"levelfield-far-{os.getuid()}"
    kept = folder / digest(url.encode())
    for left in reversed(range(1 + ASKED_AGAIN)):
        try:
            _keep(kept / MANIFEST, whole_object(url, MANIFEST))
            parts = read_manifest(kept).parts
            return {part: FarPart(url, part, facts, kept) for part, facts in parts.items()}
        except FileNotFoundError:
            break
        except OSError as error:
            raise DataError(str(error)) from None
        except DataError:  # it may have been damaged on the way; its seal tells
            if not left:
                raise
    raise DataError(
        f"{url} holds no {MANIFEST}: far away lies what `levelfield data build` made, copied there as it is"
    )


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
