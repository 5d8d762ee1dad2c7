"""Whether all bytes of a data set are what they were when it was built."""

from __future__ import annotations

from levelfield.data.ingest.built import BuiltPart, sha256_of
from levelfield.data.ingest.format import PairedFormat
from levelfield.data.ingest.opening import opened, opened_pairs, opened_texted
from levelfield.data.ingest.places import Part
from levelfield.data.manifest import Contents, contents_of, paired_contents, said_contents
from levelfield.records.errors import DataError


def verified(form: Part | PairedFormat, *, texted: bool = False) -> tuple[Contents, bool]:
    """What the pictures of ``form`` are by their bytes as they lie there now, ``texted`` with what is said of them, and
    whether that was compared with what a manifest says of them.

    Raises:
        DataError: something is another than it was when it was built, or gone; the message names it.
    """
    if isinstance(form, PairedFormat):
        return opened_pairs(form, rehash=True).contents, False
    if not isinstance(form, BuiltPart):
        return (opened_texted if texted else opened)(form, rehash=True).contents, False
    for shard in form.facts.shards:
        path = form.folder / shard.name
        try:
            changed = sha256_of(path) != shard.sha256
        except OSError as error:
            raise DataError(f"{path} cannot be read ({error.strerror}): fetch it again, or build it again") from None
        if changed:
            raise DataError(f"{path} was changed or damaged after it was built: fetch it again, or build it again")
    said = form.facts.contents
    texts = form.facts.texts
    if texts is not None:
        store = form.opened_texted(rehash=True)
        if said_contents(*store.indices, said.class_names, sorted_as_text=said.sorted_as_text) != texts.contents:
            raise DataError(f"the manifest of {form.of} names other texts than its index does: build it again")
    if form.facts.masks is None:
        index = form.opened(rehash=True).index
        found = contents_of(index, said.class_names, sorted_as_text=said.sorted_as_text)
    else:
        pairs = form.opened_pairs(rehash=True)
        found = paired_contents(pairs.pictures.index, pairs.masks.index, pairs.facts)
    if found != said:
        raise DataError(f"the manifest of {form.of} counts or names other pictures than its index does: build it again")
    return found, True
