"""scikit-learn's 1,797 real handwritten digits (8 x 8, 17 levels), split by glyph and enlarged for placing.

Source: Alpaydin and Kaynak, "Optical recognition of handwritten digits", UCI, 1998 (test part), CC BY 4.0.
"""

from __future__ import annotations

import functools
import gzip
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from levelfield.data.draws import Int64s
from levelfield.data.order import Permutation
from levelfield.records.data import Split
from levelfield.records.errors import DataError
from levelfield.records.fingerprint import digest

SIDE = 8
LEVELS = 16
NUM_GLYPHS = 1797
CONTENT_HASH = "07821e2c312d9292de5ea792ff23d580"
_BORDER = 1


@dataclass(frozen=True, eq=False)
class Glyphs:
    """``pixels`` uint8 ``[1797, 8, 8]`` in 0..16, and ``labels`` int64 ``[1797]``."""

    pixels: NDArray[np.uint8]
    labels: Int64s


@functools.cache
def load_glyphs() -> Glyphs:
    """The digits, read from scikit-learn's own file without importing it (its import takes seconds).

    Raises:
        DataError: they are not the digits that results were recorded with.
    """
    package = importlib.util.find_spec("sklearn")
    if package is None or package.origin is None:
        raise DataError(
            "the embedded digits come with scikit-learn, which is not installed: pip install 'levelfield[train]'"
        )
    file = Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"
    if file.exists():
        with gzip.open(file, "rb") as stream:
            table = np.loadtxt(stream, delimiter=",", dtype=np.uint8)
    else:
        from sklearn.datasets import load_digits

        digits: Any = load_digits()
        table = np.column_stack([digits.data, digits.target]).astype(np.uint8)
    content = digest(table.tobytes())
    if table.shape != (NUM_GLYPHS, SIDE * SIDE + 1) or content != CONTENT_HASH:
        raise DataError(f"scikit-learn's digits have changed: expected content {CONTENT_HASH}, saw {content} in {file}")
    return Glyphs(table[:, :-1].reshape(-1, SIDE, SIDE), table[:, -1].astype(np.int64))


def split_glyphs(labels: Int64s, *, report: int, select: int, seed: int) -> Mapping[Split, Int64s]:
    """Glyph numbers of three disjoint splits of the given sizes, the rest in train, classes spread evenly over all."""
    shuffled = Permutation.of(len(labels), "split", "glyphs", seed).forward(np.arange(len(labels)))
    rank_in_class = np.empty(len(labels))
    for digit in range(10):
        members = shuffled[labels[shuffled] == digit]
        rank_in_class[members] = (np.arange(len(members)) + 0.5) / len(members)
    spread = np.lexsort((labels, rank_in_class))
    return {
        "report": spread[:report],
        "select": spread[report : report + select],
        "train": spread[report + select :],
    }


def enlarge(pixels: NDArray[np.uint8], factor: int, ink: int) -> NDArray[np.uint8]:
    """Glyphs ``[N, 8, 8]`` bilinearly enlarged by an odd ``factor``, with a border: ``[N, T, T]``, T = 10 x factor.

    Full ink becomes ``ink``. Exact: every product is an integer below 2^53. ``factor`` is odd so that the middle of
    each enlarged pixel block is the glyph's own pixel.
    """
    side = (SIDE + 2 * _BORDER) * factor
    weights = np.zeros((side, SIDE + 2 * (_BORDER + 1)))
    where = np.arange(side) - factor // 2 + factor
    weights[np.arange(side), where // factor] = factor - where % factor
    weights[np.arange(side), where // factor + 1] = where % factor
    padded = np.pad(pixels, ((0, 0), (_BORDER + 1,) * 2, (_BORDER + 1,) * 2)).astype(np.float64)
    fine = weights @ padded @ weights.T
    full = LEVELS * factor**2
    return ((fine.astype(np.int64) * ink + full // 2) // full).astype(np.uint8)
