"""Two-level order: still a bijection of every epoch, exactly invertible, and as local as it says."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from levelfield.data.audit import expected_audit
from levelfield.data.blocks import BlockOrder
from levelfield.data.order import Order

sizes = st.one_of(st.integers(1, 600), st.integers(1, 2**40))


def blocks_of(num_examples: int, block: int, window: int, seed: int = 0, **more) -> BlockOrder:
    shape = {"block_examples": block, "window_blocks": window}
    return BlockOrder(num_examples=num_examples, seed=seed, fingerprint="content", **shape, **more)


def test_every_epoch_is_a_permutation_whatever_the_blocks():
    for size in (*range(1, 40), 64, 97, 600):
        for block, window in ((1, 1), (1, 5), (3, 2), (7, 1), (8, 4), (600, 1), (601, 3)):
            order = blocks_of(size, block, window)
            epochs, ids = order.ids(np.arange(2 * size))
            for epoch in (0, 1):
                assert np.array_equal(np.sort(ids[epochs == epoch]), np.arange(size)), (size, block, window)
            assert np.array_equal(order.positions(epochs, ids), np.arange(2 * size))


@given(size=sizes, block=st.integers(1, 2**20), window=st.integers(1, 2**20), epoch=st.integers(0, 2**20))
@example(size=2**40 + 1, block=256, window=1024, epoch=7)
@example(size=2**62, block=2**40, window=2**40, epoch=0)
@settings(max_examples=80, deadline=None)
def test_ids_are_distinct_in_range_and_inverted_exactly_at_any_size(size, block, window, epoch):
    epoch = min(epoch, 2**62 // size - 1)
    order = blocks_of(size, block, window)
    offsets = np.unique(np.r_[0, size - 1, np.random.default_rng(size).integers(0, size, 300)])
    positions = offsets + epoch * size
    epochs, ids = order.ids(positions)
    assert ids.min() >= 0
    assert ids.max() < size
    assert len(np.unique(ids)) == len(ids)
    assert np.array_equal(order.positions(epochs, ids), positions)


def test_a_window_needs_its_own_blocks_and_no_others():
    ids = blocks_of(1024, 16, 4).ids(np.arange(1024))[1]
    assert all(len(np.unique(ids[start : start + 64] // 16)) == 4 for start in range(0, 1024, 64))
    plain = Order(num_examples=1000, seed=0, fingerprint="content").ids(np.arange(64))[1] // 16
    assert len(set(plain.tolist())) > 25


def test_windows_are_shuffled_through_and_through():
    order = blocks_of(4096, 16, 16)
    ids = order.ids(np.arange(4096))[1]
    neighbours = (np.diff(ids) == 1).sum()
    assert neighbours < 40, f"a window of 256 leaves one neighbour in 256, saw {neighbours}"
    assert len({tuple(order.ids(np.arange(20) + epoch * 4096)[1].tolist()) for epoch in range(5)}) == 5


def test_other_seeds_blocks_and_windows_are_other_orders():
    here = expected_audit(blocks_of(1000, 16, 4), 0, 500)
    others = (blocks_of(1000, 16, 4, 1), blocks_of(1000, 16, 8), blocks_of(1000, 8, 8))
    assert all(expected_audit(other, 0, 500) != here for other in others)


def test_the_two_level_order_is_frozen():
    assert blocks_of(100, 8, 3).ids(np.arange(10))[1].tolist() == GOLDEN


GOLDEN = [95, 54, 51, 92, 52, 99, 93, 89, 90, 48]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"block": 0, "window": 1}, "at least 1, saw 0, 1"),
        ({"block": 1, "window": 0}, "at least 1, saw 1, 0"),
        ({"block": 1, "window": 1, "subset_of": 200}, "no blocks of neighbours"),
    ],
)
def test_blocks_that_cannot_be_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        blocks_of(100, **changes)
