"""A place opened: its index as it was kept, or made anew where something has changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from levelfield.data.canonical import DIGEST_BYTES, DIGEST_RULE, digest_of
from levelfield.data.index import Index, ListedRows
from levelfield.data.ingest.built import BuiltPart
from levelfield.data.ingest.format import Format, Listing, PairedFormat
from levelfield.data.ingest.kept_index import IndexShelf, Kept, stamp
from levelfield.data.ingest.with_texts import of_which_something_is_said, rows_of_texts
from levelfield.data.kept_digests import KeptDigests
from levelfield.data.manifest import Contents, contents_of, paired_contents, said_contents
from levelfield.data.said import say
from levelfield.data.stores.base import Store
from levelfield.data.stores.masked import MaskedStore
from levelfield.data.stores.texted import TextedStore
from levelfield.records.errors import DataError
from levelfield.records.files import FileRefusedError

_UNORDERED = Contents(class_names=(), num_by_class=(), twins=0, fingerprint="")


def opened(form: Format | BuiltPart, *, rehash: bool = False) -> Store:
    """The pictures of ``form``, listed and hashed where that was not done before; with ``rehash`` in any case.

    Raises:
        DataError: something lies there that cannot be meant, or a picture cannot be read.
    """
    if isinstance(form, BuiltPart):
        return form.opened(rehash=rehash)

    def made() -> Kept:
        listing = _told(form)
        index = Index.of(_hashed(form, listing, rehash=rehash))
        return (index,), contents_of(index, listing.class_names, sorted_as_text=listing.sorted_as_text)

    (index,), contents = _kept_or(made, form, rehash=rehash)
    return form.opener()(index, contents)


def opened_pairs(form: PairedFormat | BuiltPart, *, rehash: bool = False) -> MaskedStore:
    """The same of pictures with masks.

    Raises:
        DataError: see :func:`opened`.
    """
    if isinstance(form, BuiltPart):
        return form.opened_pairs(rehash=rehash)

    def made() -> Kept:
        pictures, masks = (_hashed(each, _told(each), rehash=rehash) for each in (form.pictures, form.masks))
        indices = Index.pair_of(pictures, masks)
        return indices, paired_contents(*indices, form.facts)

    (pictures, masks), contents = _kept_or(made, form, rehash=rehash)
    return MaskedStore(form.pictures.opener()(pictures, contents), form.masks.opener()(masks, contents), form.facts)


def opened_texted(form: Format | BuiltPart, *, rehash: bool = False) -> TextedStore:
    """The same of pictures of which something is said.

    Raises:
        DataError: nothing is of any; see :func:`opened`.
    """
    if isinstance(form, BuiltPart):
        return form.opened_texted(rehash=rehash)

    def made() -> Kept:
        listing = _told(form, texted=True)
        pictures = _hashed(form, listing, rehash=rehash)
        texts = rows_of_texts(listing.texts or [], pictures.label)
        indices = Index.said_of(pictures, texts)
        return indices, said_contents(*indices, listing.class_names, sorted_as_text=listing.sorted_as_text)

    (pictures, texts), contents = _kept_or(made, form, rehash=rehash, texted=True)
    return TextedStore(form.opener()(pictures, contents), texts, contents)


def _kept_or(made: Callable[[], Kept], form: Format | PairedFormat, *, rehash: bool, texted: bool = False) -> Kept:
    """What is kept of ``form``, or what is ``made``, which is then kept."""
    files, shelf = form.files(), IndexShelf(form, texted=texted)
    now = stamp(files, within=form.of)
    if not rehash and (found := shelf.read(now)) is not None:
        return found
    with shelf.alone():
        if not rehash and (found := shelf.read(now)) is not None:  # another process made it meanwhile
            return found
        indices, contents = made()
        unchanged = now is not None and stamp(files, within=form.of) == now
        if now is not None and unchanged and shelf.keep(now, indices, contents):
            return shelf.read(now) or (indices, contents)
    return indices, contents


def _told(form: Format, *, texted: bool = False) -> Listing:
    """What ``form`` lists; what it leaves out is said."""
    listing = form.listed()
    if texted:
        listing = of_which_something_is_said(listing, of=form.of)
    for why, number in sorted(Counter(each.why for each in listing.skipped).items()):
        say(f"{form.of}: {number} files are left out ({why}); see `levelfield data inspect`")
    return listing


def _hashed(form: Format, listing: Listing, *, rehash: bool) -> ListedRows:
    """``listing`` with the digest of every picture; of files that did not change they are known."""
    files = form.files()
    unhashed = np.zeros((len(listing), DIGEST_BYTES), dtype=np.uint8)
    rows = _rows(listing, unhashed)
    store = form.opener()(Index.unordered(rows), _UNORDERED)
    kept = KeptDigests(form.of, f"{DIGEST_RULE} {form.rule}", rehash=rehash)
    ends = np.searchsorted(listing.shards, np.arange(len(files)), side="right").tolist()
    first = 0
    for path, end in zip(files, ends, strict=True):
        if end > first:
            own = range(first, end)
            unhashed[first:end] = kept.of(path, lambda own=own: [_digest(store, row) for row in own], rows=end - first)
        first = end
    kept.save()
    return rows


def _rows(listing: Listing, digests: NDArray[np.uint8]) -> ListedRows:
    return ListedRows(
        label=listing.labels.astype(np.int32),
        digest=digests,
        shard=listing.shards,
        offset=listing.offsets,
        length=listing.lengths,
        names=listing.names,
    )


def _digest(store: Store, row: int) -> bytes:
    try:
        return digest_of(store.read(row))
    except FileRefusedError as error:
        raise DataError(f"{error}: move it out of the class folder") from None
    except OSError as error:
        raise DataError(f"{store.name(row)} cannot be read: {error}") from None
