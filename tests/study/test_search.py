"""Searching one axis: bracketing, bounds, caps, and independence of the order of arrival."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from levelfield.study.plan.search import search_two, search_until_bracketed
from tests.narrowed import present

losses_on_a_grid = st.lists(st.floats(0.1, 9.0), min_size=3, max_size=9)


def test_an_interior_optimum_is_bracketed():
    losses = [5.0, 3.0, 1.0, 2.0, 4.0]
    search = search_until_bracketed(5, 2, losses.__getitem__, cap=5)
    assert (search.best, search.status) == (2, "bracketed")


def test_the_search_walks_towards_lower_loss_until_it_turns():
    losses = [1.0, 0.5, 2.0, 3.0, 4.0, 5.0]
    search = search_until_bracketed(6, 4, losses.__getitem__, cap=6)
    assert (search.best, search.status) == (1, "bracketed")


def test_an_optimum_at_the_end_of_the_grid_is_a_bound():
    losses = [1.0, 2.0, 3.0]
    assert search_until_bracketed(3, 1, losses.__getitem__, cap=5).status == "bound"


def test_the_cap_ends_a_search_as_a_bound():
    losses = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
    asked = []

    def loss_at(index):
        asked.append(index)
        return losses[index]

    search = search_until_bracketed(7, 5, loss_at, cap=4)
    assert search.status == "bound"
    assert len(set(asked)) == 4


def test_diverged_runs_are_walked_away_from():
    losses = [2.0, 1.0, 3.0, math.inf, math.inf, math.inf]
    search = search_until_bracketed(6, 4, losses.__getitem__, cap=6)
    assert (search.best, search.status) == (1, "bracketed")


@given(losses=losses_on_a_grid, start=st.integers(0, 8), cap=st.integers(3, 9), data=st.data())
def test_what_is_asked_for_does_not_depend_on_the_order_of_arrival(losses, start, cap, data):
    start %= len(losses)

    def wanted_when(arriving):
        """Give out results one by one in the drawn order, as workers would."""
        known: dict[int, float] = {}
        while True:
            asked: list[int] = []

            def loss_at(index, asked=asked):
                asked.append(index)
                return known.get(index)

            search = search_until_bracketed(len(losses), start, loss_at, cap=cap)
            missing = [index for index in asked if index not in known]
            if search.best is not None:
                return search, frozenset(known)
            chosen = arriving(missing)
            known[chosen] = losses[chosen]

    in_order = wanted_when(lambda missing: missing[0])
    drawn = wanted_when(lambda missing: data.draw(st.sampled_from(missing)))
    assert in_order == drawn


@given(losses=losses_on_a_grid, start=st.integers(0, 8), cap=st.integers(3, 9))
def test_a_bracketed_optimum_is_no_worse_than_its_neighbours(losses, start, cap):
    search = search_until_bracketed(len(losses), start % len(losses), losses.__getitem__, cap=cap)
    if search.status == "bracketed":
        best = present(search.best)
        assert losses[best] <= min(losses[best - 1], losses[best + 1])


@pytest.mark.parametrize(("losses", "expected"), [([3.0, 2.0, 1.0], (2, "one-sided")), ([3.0, 1.0, 2.0], (1, "bound"))])
def test_two_trials_take_the_guess_or_half_of_it(losses, expected):
    search = search_two(2, losses.__getitem__)
    assert (search.best, search.status) == expected
