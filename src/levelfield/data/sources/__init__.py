"""Where images come from: one file a source, and the table that opens them."""

from __future__ import annotations

import functools

from levelfield.data.sources.base import Examples, Source
from levelfield.records.data import DataSpec, DigitPairsSpec, DigitsSpec, FolderSpec, ParquetSpec

__all__ = ["Examples", "Source", "open_source", "open_source_once"]


def open_source(spec: DataSpec) -> Source:
    """The source that ``spec`` describes, opened: content listed and fingerprinted, no image decoded yet.

    Raises:
        DataError: the data is missing, empty or not what the spec says; the message names the place.
    """
    match spec:
        case DigitPairsSpec():
            from levelfield.data.sources.digit_pairs import DigitPairs

            return DigitPairs(spec)
        case DigitsSpec():
            from levelfield.data.sources.digits import Digits

            return Digits(spec)
        case ParquetSpec():
            from levelfield.data.sources.parquet import open_parquet

            return open_parquet(spec)
        case FolderSpec():
            from levelfield.data.sources.folder import open_folder

            return open_folder(spec)


@functools.lru_cache(maxsize=4)
def open_source_once(spec: DataSpec) -> Source:
    """:func:`open_source`, kept for the next trial of this process with its decoded images.

    For long-lived workers: files are assumed to stay as they are while the process lives.
    """
    return open_source(spec)
