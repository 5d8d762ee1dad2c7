"""Files that are none of the pictures of a data set, by reason, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from levelfield.data.manifest import SkipReason

_BECAUSE: Mapping[SkipReason, str] = {
    "not-a-picture": "not named like pictures",
    "video": "videos, such as those beside live photos",
    "sidecar": "what phones and programs note beside pictures",
    "link": "links in an archive, which lead wherever they like",
    "outside": "named by paths that lead out of their folder or archive",
    "special": "devices, pipes or other special files",
    "sparse": "files with holes in an archive",
    "empty": "without a byte",
    "format": "of a format that is not read here",
    "damaged": "damaged, or larger than is read",
    "pixels": "of pixels without agreed 8 bits a channel",
    "unlabelled": "without a label or a mask",
    "missing": "named by a table or a mask, and not there",
    "unreadable": "files whose bytes could not be read",
    "same-name": "second files of one name",
    "mask": "pictures whose masks cannot be used",
    "no-text": "pictures of which nothing is said in UTF-8",
}


def skipped_sentences(counts: Mapping[SkipReason, int]) -> Iterator[str]:
    """A sentence a reason."""
    for why, number in sorted(counts.items(), key=lambda item: -item[1]):
        yield f"left out: {number:,} {_BECAUSE[why]}"
