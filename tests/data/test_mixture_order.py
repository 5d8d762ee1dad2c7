"""The order of a mixture: shares exact in every block, each part's epochs exact, and told backwards exactly."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from levelfield.data.audit import SeenAudit, check_audit, expected_audit
from levelfield.data.mixture import MixtureOrder, epoch_of_mixture, least_weights, subset_sizes
from levelfield.data.order import Order

parts = st.lists(st.tuples(st.integers(1, 300), st.integers(1, 7)), min_size=1, max_size=4)


def mixture(sizes, weights, seed=0, **more) -> MixtureOrder:
    orders = tuple(Order(num_examples=size, seed=seed, fingerprint=f"part {n}") for n, size in enumerate(sizes))
    return MixtureOrder(parts=orders, weights=tuple(weights), seed=seed, fingerprint="mixture", **more)


@given(said=parts, seed=st.integers(0, 2**31), first=st.integers(0, 2**40))
@settings(max_examples=60, deadline=None)
def test_every_block_holds_each_part_exactly_by_its_weight(said, seed, first):
    sizes, weights = zip(*said, strict=True)
    order = mixture(sizes, weights, seed)
    start = first * order.block_length
    blocks = order.part_of(order.ids(start + np.arange(20 * order.block_length))[1]).reshape(20, -1)
    for place, weight in enumerate(weights):
        assert ((blocks == place).sum(1) == weight).all()


@given(said=parts, seed=st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_each_part_is_seen_as_it_would_be_alone_in_whole_epochs(said, seed):
    sizes, weights = zip(*said, strict=True)
    order = mixture(sizes, weights, seed)
    epochs, ids = order.ids(np.arange(3 * epoch_of_mixture(sizes, weights) + 17))
    firsts = np.cumsum([0, *sizes])
    for place, part in enumerate(order.parts):
        own = order.part_of(ids) == place
        alone = part.ids(np.arange(own.sum()))
        assert np.array_equal(epochs[own], alone[0])
        assert np.array_equal(ids[own] - firsts[place], alone[1])


@given(said=parts, multiplicity=st.integers(1, 3), start=st.integers(0, 2**45))
@settings(max_examples=60, deadline=None)
def test_positions_are_told_back_from_epoch_and_id_wherever_a_run_is(said, multiplicity, start):
    sizes, weights = zip(*said, strict=True)
    order = mixture(sizes, weights, multiplicity=multiplicity)
    positions = start + np.arange(200)
    epochs, ids = order.ids(positions)
    assert np.array_equal(order.positions(epochs, ids), positions // multiplicity * multiplicity)
    asked_otherwise = np.random.default_rng(0).permutation(positions)
    assert np.array_equal(order.ids(asked_otherwise)[1], ids[asked_otherwise - start])


def test_an_epoch_ends_where_the_first_part_has_been_seen_once():
    sizes, weights = (10, 1000), (1, 3)
    order, epoch = mixture(sizes, weights), epoch_of_mixture(sizes, weights)
    assert epoch == 40
    seen = order.ids(np.arange(epoch))[1]
    assert sorted(seen[seen < 10]) == list(range(10))
    assert len(np.unique(seen)) == 40
    assert epoch_of_mixture((1000, 10), (1, 10**6)) == 10


@given(said=parts, multiplicity=st.integers(1, 3), examples=st.integers(1, 2000))
@settings(max_examples=60, deadline=None)
def test_the_turns_of_each_part_are_those_that_a_run_takes(said, multiplicity, examples):
    sizes, weights = zip(*said, strict=True)
    order = mixture(sizes, weights, multiplicity=multiplicity)
    ids = order.ids(np.arange(examples))[1]
    views = np.bincount(ids, minlength=order.num_ids)
    for part in order.turns(examples):
        own = views[part.first : part.first + part.num_examples]
        assert own.sum() == part.turns * multiplicity - part.missing_views
        assert own.max() - own.min() <= multiplicity


def test_blocks_are_patterned_differently_and_by_the_seed():
    order, other = mixture((50, 50), (5, 5)), mixture((50, 50), (5, 5), seed=1)
    blocks = [order.part_of(order.ids(np.arange(10) + 10 * block)[1]).tolist() for block in range(40)]
    assert len(set(map(tuple, blocks))) > 30
    assert blocks[0] != other.part_of(other.ids(np.arange(10))[1]).tolist()
    starts = np.mean([block[0] for block in blocks])
    assert 0.2 < starts < 0.8


@given(weights=st.lists(st.integers(1, 9), min_size=1, max_size=5), large=st.integers(1, 500), data=st.data())
@settings(max_examples=60, deadline=None)
def test_subsets_of_a_mixture_nest_and_keep_their_shares(weights, large, data):
    small = data.draw(st.integers(1, large))
    fewer, more = subset_sizes(small, weights, "data"), subset_sizes(large, weights, "data")
    assert sum(fewer) == small
    assert all(few <= many for few, many in zip(fewer, more, strict=True))
    assert all(abs(n - small * w / sum(weights)) < w + 1 for n, w in zip(fewer, weights, strict=True))


def test_audits_of_a_mixture_add_up_and_tell_a_change_of_weights():
    order = mixture((37, 11), (3, 1))
    halves = expected_audit(order, 0, 55) + expected_audit(order, 55, 200)
    check_audit(halves, order, 0, 200)
    assert expected_audit(mixture((37, 11), (2, 1)), 0, 200) != halves != SeenAudit()


def test_the_order_of_a_mixture_is_frozen():
    ids = mixture((100, 2**40), (1, 2)).ids(np.arange(9))[1].tolist()
    assert ids == GOLDEN


GOLDEN = [80, 440829342984, 1048510183376, 46, 419833274254, 817815528139, 29, 991730319147, 887160870051]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: mixture((3, 3), (1,)), "a weight for every part, saw 1 of 2"),
        (lambda: mixture((3, 3), (1, 0)), "whole and positive, saw 0"),
        (lambda: mixture((3,), (1,), multiplicity=0), "at least one of an example"),
        (lambda: mixture((3,), (1,)).ids(np.array([-1])), "saw -1"),
        (lambda: mixture((3,), (1,)).positions(np.array([0]), np.array([3])), "saw 3 to 3"),
    ],
)
def test_what_is_no_mixture_is_refused_with_the_value(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_equal_shares_are_one_mixture_however_they_are_written():
    assert least_weights((4, 6)) == (2, 3)
