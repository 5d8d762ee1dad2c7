"""Which classes the masks of a data set have: what it says itself, and what is said of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from levelfield.data.manifest import MaskFacts
from levelfield.records.data import MOST_MASK_CLASSES
from levelfield.records.errors import DataError
from levelfield.records.fields import IGNORED


@dataclass(frozen=True, kw_only=True)
class MasksSaid:
    """What a user says of masks: how many classes there are, and the value of pixels of none."""

    num_classes: int | None = None
    ignore_index: int | None = None


def mask_facts(said: MasksSaid, names: Sequence[str], ignore_index: int | None, *, of: str, framed: bool) -> MaskFacts:
    """What the masks of the data ``of`` that name mean, which calls its classes ``names``, none where it names none.

    A name at the place of ``ignore_index`` is that of pixels of no class, and of no class itself.

    Raises:
        DataError: nothing says how many classes there are, or both say something and differ.
    """
    values = {value for value in (said.ignore_index, ignore_index) if value is not None}
    if len(values) > 1:
        raise DataError(f"{of}: ignore_index is said to be {sorted(values)}: expected one value")
    ignored = next(iter(values), IGNORED)
    if said.num_classes is None and not names:
        raise DataError(f"{of} does not say how many classes its masks have: say num_classes (--num-classes)")
    names = [name for value, name in enumerate(names) if value != ignored]
    if names and said.num_classes not in (None, len(names)):
        raise DataError(f"{of} names {len(names)} classes, and num_classes says {said.num_classes}: leave it out")
    found = tuple(names) or tuple(map(str, range(said.num_classes or 0)))
    if not 2 <= len(found) <= MOST_MASK_CLASSES:
        raise DataError(f"{of} names {len(found)} classes, expected from 2 to {MOST_MASK_CLASSES}")
    return MaskFacts(names=found, ignore_index=ignored, framed=framed)
