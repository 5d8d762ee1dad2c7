"""What every source of images is to the rest of the system."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from levelfield.data.draws import Int64s, UInt64s
from levelfield.records.data import Split

Images: TypeAlias = NDArray[np.uint8]


class Examples(NamedTuple):
    """``images`` uint8 ``[B, C, H, W]``, ``labels`` int64 ``[B]``, and ``valid`` bool ``[B]``, False where masked.

    A masked example is a corrupt image that keeps its position: a constant picture whose loss weighs nothing.
    """

    images: Images
    labels: Int64s
    valid: NDArray[np.bool_]


class Source(Protocol):
    """Images by id, in three disjoint splits.

    ``fingerprint`` names the content and not the place: the same images read from Parquet and from a folder share it.
    ``chance_loss`` is ln(classes); ``floor_loss`` the entropy that no network can go below, where it is known, else
    None. ``no_verdict_because`` is None, or why results on this source compare nothing. ``remarks`` are sentences that
    whoever uses such results must know.
    """

    @property
    def num_classes(self) -> int: ...
    @property
    def class_names(self) -> tuple[str, ...]: ...
    @property
    def in_channels(self) -> int: ...
    @property
    def resolution(self) -> int: ...
    @property
    def split_sizes(self) -> Mapping[Split, int]: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def chance_loss(self) -> float: ...
    @property
    def floor_loss(self) -> float | None: ...
    @property
    def no_verdict_because(self) -> str | None: ...
    @property
    def remarks(self) -> tuple[str, ...]: ...

    def batch(self, split: Split, ids: Int64s, augment_keys: UInt64s | None = None) -> Examples:
        """The examples ``ids`` ``[B]`` of ``split``, each independent of the others in the batch.

        ``augment_keys`` ``[B]`` (see :meth:`levelfield.data.order.Order.augment_keys`) draw the augmentation together
        with the id; None gives the plain images, as does every split but train.

        Raises:
            IndexError: an id is outside the split.
            DataError: an image cannot be read and the spec does not mask it.
        """
        ...


def check_ids(ids: Int64s, size: int, split: Split) -> Int64s:
    """``ids`` as int64, refused outside ``[0, size)``."""
    ids = np.asarray(ids, dtype=np.int64)
    if ids.size and not (ids.min() >= 0 and ids.max() < size):
        raise IndexError(f"ids of split {split!r} lie in [0, {size}), saw {ids.min()} to {ids.max()}")
    return ids
