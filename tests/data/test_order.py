"""The order of examples: a bijection each epoch, invertible, sharded without loss, and frozen."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from levelfield.data.order import ORDER_VERSION, Order, Permutation, shard

LARGEST = 2**40
AWKWARD_SIZES = sorted({max(1, 2**bits + more) for bits in range(41) for more in (-1, 0, 1)})
sizes = st.one_of(st.sampled_from(AWKWARD_SIZES), st.integers(1, LARGEST), st.integers(1, 600))
seeds = st.integers(0, 2**31)


def order_of(num_examples: int, seed: int = 0, **more) -> Order:
    return Order(num_examples=num_examples, seed=seed, fingerprint="content", **more)


def sample_of_epoch(size: int, epoch: int, seed: int) -> np.ndarray:
    """All positions of a small epoch, else 2,000 distinct ones that include both ends."""
    if size <= 2000:
        offsets = np.arange(size)
    else:
        middle = np.random.default_rng(seed).integers(0, size, 1998)
        offsets = np.unique(np.concatenate([[0, size - 1], middle]))
    return offsets + epoch * size


def test_every_epoch_of_a_small_set_is_a_permutation():
    for size in (*range(1, 130), 255, 256, 257, 1023, 1024, 1025, 4097, 65537):
        epochs, ids = order_of(size).ids(np.arange(3 * size))
        assert np.array_equal(epochs, np.repeat([0, 1, 2], size))
        for epoch in range(3):
            assert np.array_equal(np.sort(ids[epochs == epoch]), np.arange(size)), size


@given(size=sizes, seed=seeds, epoch=st.integers(0, 2**20))
@example(size=2**40 + 1, seed=0, epoch=0)
@example(size=2**62, seed=0, epoch=0)
@settings(max_examples=150, deadline=None)
def test_ids_are_distinct_in_range_and_inverted_exactly_up_to_2_to_the_40(size, seed, epoch):
    epoch = min(epoch, (2**62) // size)
    order = order_of(size, seed)
    positions = sample_of_epoch(size, epoch, seed)
    epochs, ids = order.ids(positions)
    assert (epochs == epoch).all()
    assert ids.min() >= 0
    assert ids.max() < size
    assert len(np.unique(ids)) == len(ids)
    assert np.array_equal(order.positions(epochs, ids), positions)


def test_the_inverse_undoes_the_permutation_at_every_power_of_two_and_its_neighbours():
    for size in AWKWARD_SIZES:
        permutation = Permutation.of(size, "test")
        offsets = sample_of_epoch(size, 0, size)
        assert np.array_equal(permutation.inverse(permutation.forward(offsets)), offsets), size
        assert np.array_equal(permutation.forward(permutation.inverse(offsets)), offsets), size


@given(size=st.integers(20, LARGEST), seed=seeds, epoch=st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_epochs_seeds_and_data_are_each_ordered_differently(size, seed, epoch):
    def first_ids(seed: int, epoch: int, fingerprint: str = "content") -> tuple[int, ...]:
        order = Order(num_examples=size, seed=seed, fingerprint=fingerprint)
        return tuple(order.ids(np.arange(20) + epoch * size)[1].tolist())

    here = first_ids(seed, epoch)
    others = [first_ids(seed, epoch + 1), first_ids(seed + 1, epoch), first_ids(seed + 1, max(0, epoch - 1))]
    assert here not in others
    assert here != first_ids(seed, epoch, "other content")


def test_ids_do_not_depend_on_which_positions_are_asked_for_together():
    order = order_of(37)
    positions = np.arange(200)
    whole = order.ids(positions)[1]
    shuffled = np.random.default_rng(0).permutation(positions)
    assert np.array_equal(order.ids(shuffled)[1], whole[shuffled])
    assert [int(order.ids(positions[p : p + 1])[1][0]) for p in positions] == whole.tolist()


@given(
    start=st.integers(0, 10_000), batch=st.integers(1, 600), worlds=st.lists(st.integers(1, 64), min_size=2, max_size=4)
)
@settings(max_examples=200, deadline=None)
def test_shards_of_any_world_size_make_up_the_batch_in_order(start, batch, worlds):
    for world_size in worlds:
        if world_size > batch:
            continue
        parts = [shard(start, batch, rank, world_size) for rank in range(world_size)]
        assert [position for part in parts for position in part] == list(range(start, start + batch))
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_batches_straddle_the_end_of_an_epoch_without_loss():
    order = order_of(10)
    epochs, ids = order.ids(np.asarray(shard(8, 4, 0, 1)))
    assert epochs.tolist() == [0, 0, 1, 1]
    first_epoch = order.ids(np.arange(8))[1].tolist() + ids[:2].tolist()
    assert sorted(first_epoch) == list(range(10))


@given(total=st.integers(3, 5000), data=st.data())
@settings(max_examples=60, deadline=None)
def test_small_subsets_lie_inside_large_ones_and_do_not_depend_on_the_seed(total, data):
    large = data.draw(st.integers(2, total))
    small = data.draw(st.integers(1, large))

    def members(size: int, seed: int) -> set[int]:
        order = order_of(size, seed, subset_of=total)
        epochs, ids = order.ids(np.arange(size))
        assert np.array_equal(order.positions(epochs, ids), np.arange(size))
        return set(ids.tolist())

    assert len(members(small, 0)) == small
    assert members(small, 0) == members(small, 7) <= members(large, 3)


def test_first_ids_are_uniform_over_seeds():
    first = np.array([int(order_of(1000, seed).ids(np.array([0]))[1][0]) for seed in range(2000)])
    counts = np.histogram(first, bins=10, range=(0, 1000))[0]
    chi_squared = ((counts - 200) ** 2 / 200).sum()
    assert chi_squared < 27.9  # 9 degrees of freedom, p = 0.001


def test_the_order_is_frozen_at_version_1():
    assert ORDER_VERSION == 1
    assert order_of(10, 0).ids(np.arange(20))[1].tolist() == GOLDEN_TEN
    assert order_of(65537, 1).ids(np.array([0, 1, 65536, 65537]))[1].tolist() == GOLDEN_65537
    assert order_of(2**40, 2).ids(np.array([0, 1, 2**40 - 1, 2**40]))[1].tolist() == GOLDEN_2_40
    assert order_of(100, 0, subset_of=1_281_167).ids(np.arange(3))[1].tolist() == GOLDEN_SUBSET
    assert order_of(10, 0).augment_keys(np.array([0, 1])).tolist() == GOLDEN_AUGMENT


GOLDEN_TEN = [7, 4, 8, 0, 9, 3, 2, 5, 1, 6, 4, 9, 6, 5, 7, 1, 0, 2, 3, 8]
GOLDEN_65537 = [59239, 55222, 40260, 41545]
GOLDEN_2_40 = [428618396754, 1066951452967, 338754880342, 369275112813]
GOLDEN_SUBSET = [5730, 99518, 291411]
GOLDEN_AUGMENT = [11905208133983873229, 5114746161594117971]


def test_with_multiplicity_each_example_stands_side_by_side_in_views_of_its_own():
    plain, order = order_of(10, 0), order_of(10, 0, multiplicity=3)
    positions = np.arange(60)
    epochs, ids = order.ids(positions)
    assert ids.tolist() == np.repeat(plain.ids(np.arange(20))[1], 3).tolist()
    assert epochs.tolist() == [0] * 30 + [1] * 30
    keys = order.augment_keys(epochs, order.views(positions)).reshape(2, 10, 3)
    assert all(len(np.unique(keys[epoch, 0])) == 3 for epoch in (0, 1))
    assert (keys == keys[:, :1]).all(), "a key is that of an epoch and a view; the id makes it an example's"
    assert len(np.unique(keys)) == 6
    assert np.array_equal(order.positions(epochs, ids), positions // 3 * 3), "where an example first stands"


def test_the_first_view_is_augmented_as_a_plain_run_augments_it():
    plain, order = order_of(10, 0), order_of(10, 0, multiplicity=4)
    epochs = np.array([0, 1, 2])
    assert order.augment_keys(epochs, np.zeros(3, dtype=np.int64)).tolist() == plain.augment_keys(epochs).tolist()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: order_of(3, multiplicity=0), "saw a multiplicity of 0"),
        (lambda: order_of(0), "1 to 2\\^62 examples, saw 0"),
        (lambda: order_of(2**62 + 1), "1 to 2\\^62"),
        (lambda: order_of(11, subset_of=10), "subset of 11 cannot be drawn from 10"),
        (lambda: order_of(10).ids(np.array([-1])), "count from 0, saw -1"),
        (lambda: order_of(10).positions(np.array([0, 0]), np.array([9, 10])), "saw 9 to 10"),
        (lambda: shard(0, 8, 2, 2), "rank must be in"),
        (lambda: shard(0, 1, 0, 2), "leaves some of 2 ranks without"),
    ],
)
def test_what_cannot_be_ordered_is_refused_with_the_value(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_order_records_and_sources_never_load_torch():
    program = (
        "import sys; import levelfield.data.order, levelfield.records.data, levelfield.data.audit;"
        "from levelfield.data.sources import open_source; import levelfield.data.transforms;"
        "from levelfield.records.data import DigitPairsSpec; import numpy as np;"
        "open_source(DigitPairsSpec(resolution=16)).batch('train', np.arange(2));"
        "print(sorted({'torch', 'sklearn', 'pyarrow', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
