"""Pictures in shards that lie far away: what an index says, read by ranges through a cache on this disk."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from levelfield.data.canonical import digest_of
from levelfield.data.draws import Int64s
from levelfield.data.encoded import MAX_ENCODED_BYTES
from levelfield.data.index import Index
from levelfield.data.kept_digests import cached
from levelfield.data.manifest import Contents
from levelfield.data.stores.base import IndexedStore
from levelfield.data.stores.extents import Extent, ExtentCache
from levelfield.data.stores.remote import RemoteShards
from levelfield.records.errors import SpecError
from levelfield.records.fingerprint import digest

CACHE_BYTES = 16 * 2**30
"""On the disk of every machine, for every place, unless ``$LEVELFIELD_REMOTE_BYTES`` says otherwise."""
_LEAST_CACHE_BYTES = 2**20


class FarStore(IndexedStore):
    """The pictures of ``index`` in ``shards``.

    A picture whose bytes are not those that its digest names is fetched again before it is given.
    """

    far = True

    def __init__(
        self, shards: RemoteShards, index: Index, contents: Contents, *, of: str, packed: bool = False
    ) -> None:
        super().__init__(index, contents, of=of)
        self.packed = packed
        self._shards = shards

    def read(self, row: int) -> bytes:
        """The encoded image. Raises OSError where it did not arrive."""
        return self.compared(row)[0]

    def compared(self, row: int) -> tuple[bytes, bool]:
        """The same, hashed once: what is asked again by is what was listed."""
        wanted = self._extent(row)
        if wanted.size > MAX_ENCODED_BYTES:
            name = self._shards.name(wanted.shard)
            raise OSError(f"{name} claims a picture of {wanted.size:,} bytes, expected at most {MAX_ENCODED_BYTES:,}")
        listed = self.index.digests[row].tobytes()
        return self._shards.read(wanted, right=lambda content: digest_of(content) == listed)

    def name(self, row: int) -> str:
        shard = self._shards.name(int(self.index.shards[row]))
        name = self.index.name(row)
        return f"{shard} at byte {self.index.offsets[row]}" if name is None else f"{name} in {shard}"

    def expect(self, rows: Int64s) -> None:
        """Fetch ``rows`` ahead."""
        self._shards.expect(self._extent(row) for row in rows.tolist())

    def close(self) -> None:
        """Stop fetching ahead."""
        self._shards.close()

    def _extent(self, row: int) -> Extent:
        start = int(self.index.offsets[row])
        return Extent(int(self.index.shards[row]), start, start + int(self.index.lengths[row]))


def cache_of(url: str, contents: Contents) -> ExtentCache:
    """Where what was fetched of the content at ``url`` is kept, in the cache of this user.

    Raises:
        SpecError: the limit is no number of bytes, or too few.
    """
    said = os.environ.get("LEVELFIELD_REMOTE_BYTES", str(CACHE_BYTES))
    if not said.isdecimal() or int(said) < _LEAST_CACHE_BYTES:
        raise SpecError(f"$LEVELFIELD_REMOTE_BYTES must be a number of bytes from {_LEAST_CACHE_BYTES}, saw {said!r}")
    folder = cached("remote") or Path(tempfile.gettempdir()) / "levelfield-remote"
    return ExtentCache(folder / digest(f"{url} {contents.fingerprint}".encode()), int(said))
