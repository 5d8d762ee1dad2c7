"""What every source of images is to the rest of the system."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from levelfield.data.draws import Int64s, UInt64s
from levelfield.records.data import Split
from levelfield.records.fields import FieldFacts
from levelfield.records.reason import Reason

Images: TypeAlias = NDArray[np.uint8]


class Examples(NamedTuple):
    """What a source yields of some examples: ``fields`` by name, each ``[B, ...]``, and ``valid`` bool ``[B]``, False
    where masked.

    "image" is uint8 ``[B, C, H, W]``, "label" int64 ``[B]``. A masked example is a corrupt image that keeps its
    position: a constant picture whose loss weighs nothing.
    """

    fields: Mapping[str, Any]
    valid: NDArray[np.bool_]


class Source(Protocol):
    """Images by id, in three disjoint splits.

    ``fingerprint`` names the content and not the place: the same images read from Parquet and from a folder share it.
    ``fields`` says what it yields of each, and what is known of that. ``no_verdict_because`` is None, or why results on
    this source compare nothing. ``remarks`` are sentences that whoever uses such results must know.
    """

    @property
    def fields(self) -> FieldFacts: ...
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
    def no_verdict_because(self) -> Reason | None: ...
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


@runtime_checkable
class Prompted(Protocol):
    """A source of images with texts, whose classes are told by such."""

    @property
    def prompts(self) -> NDArray[np.int32] | None:
        """What each class is called, in so many ways: tokens [classes, ways, context]; None where there are none."""
        ...

    def texts_judged(self, split: Split) -> int:
        """How many texts the network reads of a held-out picture, those that it lacks counted."""
        ...


def check_ids(ids: Int64s, size: int, split: Split) -> Int64s:
    """``ids`` as int64, refused outside ``[0, size)``."""
    ids = np.asarray(ids, dtype=np.int64)
    if ids.size and not (ids.min() >= 0 and ids.max() < size):
        raise IndexError(f"ids of split {split!r} lie in [0, {size}), saw {ids.min()} to {ids.max()}")
    return ids
