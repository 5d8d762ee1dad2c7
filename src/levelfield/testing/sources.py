"""What every source must have: :func:`check_source` asserts it."""

from __future__ import annotations

from typing import get_args

import numpy as np

from levelfield.data.sources import Source
from levelfield.records.data import Split
from levelfield.records.fields import IGNORED

_EXAMPLES = 16


def check_source(source: Source) -> None:
    """Assert that ``source`` yields what it says, and the same example whenever and beside whomever it is asked for.

    Raises:
        AssertionError: it does not; the sentence says what was expected.
    """
    for split in get_args(Split):
        size = source.split_sizes[split]
        ids = np.arange(min(size, _EXAMPLES), dtype=np.int64)
        whole = source.batch(split, ids)
        assert set(whole.fields) >= set(source.fields.names), (
            f"the fields {source.fields.names}, saw {set(whole.fields)}"
        )
        for name, field in whole.fields.items():
            assert len(field) == len(ids), f"{name} of {split} has one value an example"
        side = source.resolution
        shape = tuple(whole.fields["image"].shape)
        assert shape == (len(ids), source.in_channels, side, side), f"images of the stated shape, saw {shape}"
        back = source.batch(split, ids[::-1].copy())
        for name, field in whole.fields.items():
            again = np.asarray(back.fields[name])[::-1]
            assert np.array_equal(np.asarray(field), again), f"{name} of {split} does not depend on its batch"
        if source.fields.num_classes is not None:
            for name in ("label", "mask"):
                said = np.asarray(whole.fields.get(name, ()))
                said = said[said != IGNORED] if name == "mask" else said
                known = (said >= 0).all() and (said < source.fields.num_classes).all()
                assert known, f"every {name} of {split} lies in [0, {source.fields.num_classes})"
        _check_outside(source, split, size)


def _check_outside(source: Source, split: Split, size: int) -> None:
    try:
        source.batch(split, np.array([size], dtype=np.int64))
    except IndexError:
        return
    raise AssertionError(f"an id outside {split} is an IndexError")
