"""Whether all bytes of a data set are what they were when it was built."""

from __future__ import annotations

from levelfield.data.ingest.built import BuiltPart, sha256_of
from levelfield.data.ingest.format import PairedFormat
from levelfield.data.ingest.opening import opened, opened_pairs
from levelfield.data.ingest.places import Part
from levelfield.data.manifest import Contents, contents_of, paired_contents
from levelfield.records.errors import DataError


def verified(form: Part | PairedFormat) -> tuple[Contents, bool]:
    """What the pictures of ``form`` are by their bytes as they lie there now, and whether that was compared with what a
    manifest says of them.

    Raises:
        DataError: something is another than it was when it was built, or gone; the message names it.
    """
    if isinstance(form, PairedFormat):
        return opened_pairs(form, rehash=True).contents, False
    if not isinstance(form, BuiltPart):
        return opened(form, rehash=True).contents, False
    for shard in form.facts.shards:
        path = form.folder / shard.name
        try:
            changed = sha256_of(path) != shard.sha256
        except OSError as error:
            raise DataError(f"{path} cannot be read ({error.strerror}): fetch it again, or build it again") from None
        if changed:
            raise DataError(f"{path} was changed or damaged after it was built: fetch it again, or build it again")
    said = form.facts.contents
    if form.facts.masks is None:
        index = form.opened(rehash=True).index
        found = contents_of(index, said.class_names, sorted_as_text=said.sorted_as_text)
    else:
        pairs = form.opened_pairs(rehash=True)
        found = paired_contents(pairs.pictures.index, pairs.masks.index, pairs.facts)
    if found != said:
        raise DataError(f"the manifest of {form.of} counts or names other pictures than its index does: build it again")
    return found, True
