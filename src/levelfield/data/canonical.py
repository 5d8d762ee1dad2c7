"""What names a picture, and the one order of a set of them, whatever container they came in.

A picture is named by a digest of its encoded bytes; a set of labelled pictures is ordered by (label, digest). So ids,
splits and the fingerprint depend on the pictures alone: the same pictures give the same run, byte for byte, from
Parquet and from a folder. Byte-identical twins of one label are interchangeable.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from levelfield.data.draws import Int64s
from levelfield.data.pictures import orientation_in

DIGEST_BYTES = 16
DIGEST_RULE = "pictures 1"
"""A change to what :func:`digest_of` takes of a picture must change it: digests are kept under it."""

_ROWS_AT_ONCE = 1 << 20


def digest_of(encoded: bytes | memoryview) -> bytes:
    """The 16 bytes of BLAKE2b that identify an encoded image.

    That of a picture that is turned before use says so: its pixels are others than before pictures were turned, and so
    is what is made of it. No other picture's identity knows of the rule.
    """
    turned = b"turned" if orientation_in(bytes(encoded)) != 1 else b""
    return hashlib.blake2b(encoded, digest_size=DIGEST_BYTES, person=turned).digest()


def as_digests(found: Sequence[bytes]) -> NDArray[np.uint8]:
    """Digests as rows ``[N, 16]``."""
    return np.frombuffer(b"".join(found), dtype=np.uint8).reshape(-1, DIGEST_BYTES)


def canonical_order(labels: NDArray[np.integer], digests: NDArray[np.uint8]) -> Int64s:
    """The rows of pictures ``labels`` [N], ``digests`` [N, 16] by label and digest."""
    first, second = _halves(digests)
    return np.lexsort((second, first, labels))


def paired_order(pictures: NDArray[np.uint8], masks: NDArray[np.uint8]) -> Int64s:
    """The rows of pictures with masks by the digests ``[N, 16]`` of the picture, then of the mask."""
    (first, second), (third, fourth) = _halves(pictures), _halves(masks)
    return np.lexsort((fourth, third, second, first))


def paired_fingerprint(
    pictures: NDArray[np.uint8], masks: NDArray[np.uint8], *, num_classes: int, ignore_index: int
) -> str:
    """32 hexadecimal digits that name pictures and masks of these digests ``[N, 16]``, in the order of
    :func:`paired_order`, and what masks mean."""
    found = hashlib.blake2b(b"masked table 1" + repr((num_classes, ignore_index)).encode(), digest_size=16)
    for start in range(0, len(pictures), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        found.update(np.stack([pictures[rows], masks[rows]], axis=1).tobytes())
    return found.hexdigest()


def said_order(labels: NDArray[np.integer], pictures: NDArray[np.uint8], texts: NDArray[np.uint8]) -> Int64s:
    """The rows of pictures with texts by label, by the digests ``[N, 16]`` of the picture, and of its texts: as
    :func:`canonical_order` has them, and twins that are told otherwise in an order of their own."""
    (first, second), (third, fourth) = _halves(pictures), _halves(texts)
    return np.lexsort((fourth, third, second, first, labels))


def said_fingerprint(
    labels: NDArray[np.integer], pictures: NDArray[np.uint8], texts: NDArray[np.uint8], *, classes: Sequence[str]
) -> str:
    """32 hexadecimal digits that name pictures and texts of these digests ``[N, 16]``, in the order of
    :func:`said_order`, their labels ``[N]`` and what ``classes`` are called, since that is text that is read too."""
    found = hashlib.blake2b(b"texted table 1", digest_size=16)
    found.update(json.dumps(list(classes)).encode())
    for start in range(0, len(labels), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        found.update(labels[rows].astype("<i8").tobytes())
        found.update(np.stack([pictures[rows], texts[rows]], axis=1).tobytes())
    return found.hexdigest()


def content_fingerprint(labels: NDArray[np.integer], digests: NDArray[np.uint8]) -> str:
    """32 hexadecimal digits that name the pictures ``labels`` [N], ``digests`` [N, 16], which stand in canonical order.

    Both may be mapped files: no more than a part of them is in memory at once.
    """
    found = hashlib.blake2b(b"image table 1", digest_size=16)
    for start in range(0, len(labels), _ROWS_AT_ONCE):
        found.update(labels[start : start + _ROWS_AT_ONCE].astype("<i8").tobytes())
    for start in range(0, len(digests), _ROWS_AT_ONCE):
        found.update(digests[start : start + _ROWS_AT_ONCE].tobytes())
    return found.hexdigest()


def num_twins(digests: NDArray[np.uint8], labels: NDArray[np.integer]) -> tuple[int, int]:
    """How many pictures are the same, byte for byte, as another that was counted before; and how many of those stand
    under another class than the one before."""
    first, second = _halves(digests)
    rows = np.lexsort((labels, second, first))
    ones, others = rows[1:], rows[:-1]
    same = (first[ones] == first[others]) & (second[ones] == second[others])
    return int(np.count_nonzero(same)), int(np.count_nonzero(same & (labels[ones] != labels[others])))


def num_shared(digests: NDArray[np.uint8], others: NDArray[np.uint8]) -> tuple[int, int]:
    """How many distinct pictures of ``others`` [M, 16] are among ``digests`` [N, 16], and how many there are.

    ``others`` is held in memory, ``digests`` may be a mapped file.
    """
    distinct = {row.tobytes() for row in others}
    heads = np.unique(_halves(others)[0])
    shared: set[bytes] = set()
    for start in range(0, len(digests), _ROWS_AT_ONCE):
        part = np.ascontiguousarray(digests[start : start + _ROWS_AT_ONCE])
        near = np.isin(_halves(part)[0], heads)
        shared |= distinct.intersection(row.tobytes() for row in part[near])
    return len(shared), len(distinct)


def _halves(digests: NDArray[np.uint8]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Both halves of every digest as numbers that sort as the bytes do."""
    halves = np.ascontiguousarray(digests).view(">u8").astype(np.uint64)
    return halves[:, 0], halves[:, 1]
