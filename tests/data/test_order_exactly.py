"""Every order at every awkward size: each example once an epoch, told back exactly, in memory that does not grow."""

import random
import tracemalloc

import numpy as np
import pytest

from levelfield.data.blocks import BlockOrder
from levelfield.data.mixture import MixtureOrder
from levelfield.data.order import ExampleOrder, Order

WHOLE = 2**23 + 1
"""Examples up to which every one of an epoch is looked at; of more, ten thousand."""
AT_ONCE = 2**20
SMALL = range(1, 601)
POWERS = sorted({2**bits + more for bits in range(1, 35) for more in (-1, 0, 1)} - set(SMALL))
_DRAWN = random.Random(18)
FEW_SMALL = sorted(_DRAWN.sample(SMALL, 60))
FEW_POWERS = sorted(_DRAWN.sample([size for size in POWERS if size <= 2**14 or size > WHOLE], 8))


def orders_of(size: int) -> list[Order]:
    """Plain, and in blocks that do and do not divide the size."""
    shapes = [(1, 3), (7, 5), (64, 16)] if size <= 2**14 else [(509, 64)]  # a window has keys of its own
    blocks = [
        BlockOrder(num_examples=size, seed=1, fingerprint="x", block_examples=block, window_blocks=window)
        for block, window in shapes
    ]
    return [Order(num_examples=size, seed=1, fingerprint="x"), *blocks]


def assert_each_once(order: Order, epoch: int) -> None:
    size = order.num_examples
    if size > WHOLE:
        offsets = np.random.default_rng(size).integers(0, size, 10_000)
        ids = ids_told_back(order, epoch, np.unique(np.r_[0, 1, size - 2, size - 1, offsets]))
        assert len(np.unique(ids)) == len(ids)
        return
    seen = np.zeros(size, dtype=np.uint8)
    for start in range(0, size, AT_ONCE):
        np.add.at(seen, ids_told_back(order, epoch, np.arange(start, min(start + AT_ONCE, size))), 1)
    assert (seen == 1).all(), size


def ids_told_back(order: Order, epoch: int, offsets: np.ndarray) -> np.ndarray:
    """The ids at ``offsets`` of ``epoch``, each of which is told back as the position it was asked for at."""
    size = order.num_examples
    epochs, ids = order.ids(epoch * size + offsets)
    assert (epochs == epoch).all()
    assert ids.min() >= 0
    assert ids.max() < size
    assert np.array_equal(order.positions(epochs, ids), epoch * size + offsets), size
    return ids


@pytest.mark.parametrize("sizes", [FEW_SMALL, FEW_POWERS], ids=["small", "powers"])
def test_each_example_stands_once_in_an_epoch_at_a_tenth_of_the_sizes(sizes):
    for size in sizes:
        for order in orders_of(size):
            assert_each_once(order, epoch=3)


@pytest.mark.acceptance
def test_each_example_stands_once_in_an_epoch_at_every_size_to_600():
    for size in SMALL:
        for order in orders_of(size):
            for epoch in (0, 1, 10**6):
                assert_each_once(order, epoch)


@pytest.mark.acceptance
@pytest.mark.parametrize("size", POWERS)
def test_each_example_stands_once_in_an_epoch_at_every_power_of_two_and_its_neighbours(size):
    for order in orders_of(size):
        assert_each_once(order, epoch=1)


@pytest.mark.acceptance
@pytest.mark.parametrize("size", [*random.Random(22).sample(range(2**21 + 2, 2**22 - 1), 8), 1_281_167, 3_000_001])
def test_each_example_stands_once_in_an_epoch_at_large_sizes_between_powers_of_two(size):
    for order in orders_of(size):
        assert_each_once(order, epoch=1)


@pytest.mark.acceptance
@pytest.mark.parametrize("seed", range(100))
def test_shares_of_mixtures_are_exact_and_each_part_is_whole(seed):
    rng = random.Random(seed)
    sizes = [rng.randrange(1, 3000) for _ in range(rng.randrange(1, 8))]
    weights = tuple(rng.randrange(1, 50) for _ in sizes)
    parts = tuple(Order(num_examples=size, seed=seed, fingerprint=str(n)) for n, size in enumerate(sizes))
    order = MixtureOrder(parts=parts, weights=weights, seed=seed, fingerprint="x")
    blocks = 20_000 // order.block_length
    positions = np.arange(blocks * order.block_length)
    epochs, ids = order.ids(positions)
    assert np.array_equal(order.positions(epochs, ids), positions)
    of_part = order.part_of(ids)
    for place, weight in enumerate(weights):
        assert ((of_part == place).reshape(blocks, -1).sum(1) == weight).all()
        counts = np.bincount(ids[of_part == place] - sum(sizes[:place]), minlength=sizes[place])
        assert counts.max() - counts.min() <= 1


FOUR_BILLION = 4 * 10**9


@pytest.mark.parametrize("kind", ["plain", "blocks", "mixture"])
def test_four_billion_examples_and_eight_epochs_are_addressed_without_memory(kind):
    plain = Order(num_examples=FOUR_BILLION, seed=0, fingerprint="x")
    order: ExampleOrder = plain
    if kind == "blocks":
        order = BlockOrder(num_examples=FOUR_BILLION, seed=0, fingerprint="x", block_examples=512, window_blocks=1024)
    if kind == "mixture":
        other = Order(num_examples=10**9 + 7, seed=0, fingerprint="y")
        order = MixtureOrder(parts=(plain, other), weights=(4, 1), seed=0, fingerprint="xy")
    last = 8 * FOUR_BILLION
    positions = np.r_[0, last - 1, np.random.default_rng(0).integers(0, last, 1000)]
    order.ids(positions)
    tracemalloc.start()
    epochs, ids = order.ids(positions)
    back = order.positions(epochs, ids)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.array_equal(back, positions)
    assert epochs.max() in (6, 7)
    assert peak < 2**21, f"{peak} bytes for a thousand positions"
