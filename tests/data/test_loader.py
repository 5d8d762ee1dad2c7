"""The loader: one integer of state, the same sequence however a run is cut, sharded or resumed, and proof of it."""

from collections.abc import Generator
from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.narrowed import of_kind

from levelfield.data.ahead import Ahead
from levelfield.data.arranged import plain_order, training_order
from levelfield.data.audit import SeenAudit, check_audit, expected_audit
from levelfield.data.loader import Loader, evaluation_batches
from levelfield.data.order import Order
from levelfield.data.sources import open_source
from levelfield.records.data import DigitPairsSpec, DigitsSpec, ImagesSpec
from levelfield.records.errors import DataError

BATCH = 48
# 37 training examples: every batch holds parts of two or three epochs.
SOURCE = open_source(DigitsSpec(select_examples=880, report_examples=880))
ORDER = plain_order(SOURCE, seed=3)
COLUMNS = ("positions", "epochs", "ids", "augment_keys", "image", "label", "valid")


def table_of(batches) -> dict[str, np.ndarray]:
    """Every column of ``batches``, joined."""
    batches = list(batches)
    columns = [{**vars(batch), **batch.fields} for batch in batches]
    return {name: np.concatenate([np.asarray(each[name]) for each in columns]) for name in COLUMNS}


def loader(**changes) -> Loader:
    return Loader(SOURCE, **{"order": ORDER, "global_batch_size": BATCH, **changes})


UNINTERRUPTED = table_of(islice(loader(), 12))


def assert_equal_tables(seen, expected):
    for name in COLUMNS:
        assert np.array_equal(seen[name], expected[name]), name


@given(
    cuts=st.lists(st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(0, 3)), min_size=1, max_size=5),
    lost=st.integers(0, 3),
)
@settings(max_examples=25, deadline=None)
def test_cuts_anywhere_and_other_world_sizes_give_the_sequence_of_one_undisturbed_rank(cuts, lost):
    """Each stretch trains some steps, loses ``lost`` more to a crash, and is resumed by another world."""
    seen, committed, audit = [], 0, SeenAudit()
    for steps, world_size, prefetch in cuts:
        ranks = [
            loader(start_examples=committed, rank=rank, world_size=world_size, prefetch=prefetch if rank == 0 else 0)
            for rank in range(world_size)
        ]
        stretches = [list(islice(rank, steps + lost))[:steps] for rank in ranks]
        for step in zip(*stretches, strict=True):
            seen += step
            for batch in step:
                audit = batch.audited(audit)
        committed += steps * BATCH
    expected = {name: column[:committed] for name, column in UNINTERRUPTED.items()}
    if committed > len(UNINTERRUPTED["ids"]):
        expected = table_of(islice(loader(), committed // BATCH))
    assert_equal_tables(table_of(seen), expected)
    check_audit(audit, ORDER, 0, committed)


def test_every_example_is_seen_once_an_epoch():
    ids, epochs = UNINTERRUPTED["ids"], UNINTERRUPTED["epochs"]
    size = SOURCE.split_sizes["train"]
    for epoch in range(len(ids) // size):
        assert sorted(ids[epochs == epoch]) == list(range(size))


def test_a_change_of_batch_size_goes_on_at_the_next_example():
    before = table_of(islice(loader(), 2))
    after = table_of(islice(loader(start_examples=2 * BATCH, global_batch_size=7), 9))
    joined = {name: np.concatenate([before[name], after[name]]) for name in COLUMNS}
    assert_equal_tables(joined, {name: column[: 2 * BATCH + 63] for name, column in UNINTERRUPTED.items()})


def test_examples_seen_counts_the_batch_in_hand_and_a_loader_goes_on_from_there():
    prefetching = loader(prefetch=3)
    for steps, _ in enumerate(islice(prefetching, 4), start=1):
        assert prefetching.examples_seen == steps * BATCH
    half = loader(rank=1, world_size=2)
    assert len(next(iter(half))) == BATCH // 2
    assert half.examples_seen == BATCH
    again = table_of(islice(prefetching, 1))
    assert again["positions"].tolist() == list(range(4 * BATCH, 5 * BATCH))


def test_augmentation_changes_with_epoch_and_seed_and_stays_off_held_out_splits():
    first_of = {epoch: SOURCE.batch("train", np.array([5]), ORDER.augment_keys(np.array([epoch]))) for epoch in (0, 1)}
    other_seed = SOURCE.batch("train", np.array([5]), training_order(SOURCE, seed=4).augment_keys(np.array([0])))
    assert not np.array_equal(first_of[0].fields["image"], first_of[1].fields["image"])
    assert not np.array_equal(first_of[0].fields["image"], other_seed.fields["image"])
    for split in ("select", "report"):
        ids = np.arange(10)
        keyed = SOURCE.batch(split, ids, ORDER.augment_keys(ids))
        assert np.array_equal(keyed.fields["image"], SOURCE.batch(split, ids).fields["image"])


def test_batches_are_uint8_images_int64_labels_and_bool_masks():
    batch = next(iter(loader()))
    assert (batch.fields["image"].dtype, batch.fields["label"].dtype, batch.valid.dtype) == (
        torch.uint8,
        torch.int64,
        torch.bool,
    )
    assert tuple(batch.fields["image"].shape) == (BATCH, 1, 8, 8)
    assert len(batch) == BATCH


@pytest.mark.parametrize("change", ["skip", "repeat", "other id", "other draw"])
def test_an_audit_tells_apart_what_was_not_seen_exactly_once(change):
    positions = np.arange(100)
    epochs, ids = ORDER.ids(positions)
    keys = ORDER.augment_keys(epochs)
    rows = np.arange(100)
    if change == "skip":
        rows = rows[1:]
    if change == "repeat":
        rows[1] = 0
    if change == "other id":
        ids[[3, 4]] = ids[[4, 3]]
    if change == "other draw":
        keys[7] += np.uint64(1)
    audit = SeenAudit().including(positions[rows], epochs[rows], ids[rows], keys[rows])
    assert audit != expected_audit(ORDER, 0, 100)
    with pytest.raises(DataError, match="did not see positions 0 to 100 exactly once"):
        check_audit(audit, ORDER, 0, 100)


def test_an_audit_of_parts_is_the_audit_of_the_whole():
    parts = [expected_audit(ORDER, start, start + 50) for start in (100, 0, 50)]
    assert parts[0] + parts[1] + parts[2] == expected_audit(ORDER, 0, 150)
    assert SeenAudit() + parts[0] == parts[0]


def test_an_order_made_for_other_data_is_refused():
    for wrong in (
        Order(num_examples=ORDER.num_examples, seed=3, fingerprint="other"),
        Order(num_examples=ORDER.num_examples + 1, seed=3, fingerprint=SOURCE.fingerprint),
    ):
        with pytest.raises(DataError, match="the data has changed"):
            loader(order=wrong)


def test_a_run_over_a_nested_subset_sees_only_that_subset():
    order = training_order(SOURCE, seed=0, num_examples=10)
    seen = table_of(islice(loader(order=order), 1))
    assert len(set(seen["ids"])) == 10


def test_repeated_augmentation_costs_as_many_images_and_survives_a_cut_between_two_views():
    order = training_order(SOURCE, seed=3, multiplicity=4)
    whole = table_of(islice(loader(order=order), 4))
    assert len(whole["ids"]) == 4 * BATCH
    assert len(set(zip(whole["epochs"], whole["ids"], strict=True))) == BATCH
    first, other = whole["image"][:2]
    assert whole["ids"][0] == whole["ids"][1]
    assert not np.array_equal(first, other)
    rest = table_of(islice(loader(order=order, start_examples=BATCH + 1), 2))
    assert np.array_equal(rest["image"], whole["image"][BATCH + 1 : 3 * BATCH + 1])
    audit = SeenAudit()
    for batch in islice(loader(order=order), 4):
        audit = batch.audited(audit)
    check_audit(audit, order, 0, 4 * BATCH)


@pytest.mark.parametrize("changes", [{"start_examples": -1}, {"prefetch": -1}, {"rank": 1}, {"global_batch_size": 0}])
def test_a_loader_that_cannot_be_is_refused_when_it_is_made(changes):
    with pytest.raises(ValueError, match=r"saw|leaves"):
        loader(**changes)


@pytest.mark.parametrize("split", ["select", "report"])
def test_evaluation_sees_every_example_of_a_split_once_in_order(split):
    batches = list(evaluation_batches(SOURCE, split, 100))
    assert [len(batch) for batch in batches] == [100] * 8 + [80]
    seen = table_of(batches)
    assert np.array_equal(seen["ids"], np.arange(880))
    assert np.array_equal(seen["image"], table_of(evaluation_batches(SOURCE, split, 7))["image"])


def test_an_unlimited_stream_is_loaded_in_constant_memory():
    source = open_source(DigitPairsSpec(resolution=16))
    seen = table_of(islice(Loader(source, order=training_order(source, 0), global_batch_size=32, prefetch=1), 3))
    assert len(set(seen["ids"])) == 96
    assert seen["ids"].max() > 2**38


def test_an_error_in_the_rendering_thread_reaches_the_reader(tmp_path, picture_folder):
    source = open_source(ImagesSpec(path=str(picture_folder), resolution=16, select_examples=2, report_examples=2))
    for file in picture_folder.rglob("*.png"):
        file.unlink()
    batches = iter(Loader(source, order=training_order(source, 0), global_batch_size=4, prefetch=2))
    with pytest.raises(DataError, match="can no longer be read"):
        list(islice(batches, 10))


def test_large_batches_are_rendered_in_parts_by_several_threads_to_the_same_bits():
    plain, ahead = (table_of(islice(loader(global_batch_size=400, prefetch=number), 3)) for number in (0, 3))
    assert all(np.array_equal(plain[name], ahead[name]) for name in plain)


class Counted:
    """``SOURCE``, and which ids were rendered of it."""

    def __init__(self) -> None:
        self.rendered: list[int] = []

    def __getattr__(self, name):
        return getattr(SOURCE, name)

    def batch(self, split, ids, augment_keys=None):
        self.rendered.extend(ids)
        return SOURCE.batch(split, ids, augment_keys)


@pytest.mark.parametrize("prefetch", [0, 1, 3])
@pytest.mark.parametrize(("start", "end"), [(0, 5 * BATCH), (BATCH, 2 * BATCH + 1), (7, 7 + 20 * BATCH)])
def test_nothing_is_rendered_beyond_the_last_batch(start, end, prefetch):
    source: Any = Counted()
    bounds = {"start_examples": start, "end_examples": end}
    seen = table_of(Loader(source, order=ORDER, global_batch_size=BATCH, prefetch=prefetch, **bounds))
    steps = -(-(end - start) // BATCH)
    assert len(source.rendered) == steps * BATCH
    assert_equal_tables(seen, table_of(islice(loader(start_examples=start), steps)))
    assert list(loader(start_examples=end, end_examples=end, prefetch=prefetch)) == []


def test_the_first_batch_waits_for_no_other():
    source: Any = Counted()
    batches = iter(Loader(source, order=ORDER, global_batch_size=16))
    next(batches)
    assert len(source.rendered) == 16
    list(islice(batches, 14))
    assert len(source.rendered) == (1 + 2 + 4 + 8) * 16, "later ones are rendered together, which costs less"


def test_threads_are_woken_for_several_runs_at_once():
    begun: list[int] = []

    def runs():
        for number in range(40):
            begun.append(number)
            yield number, []

    told = [(number, len(begun)) for number in Ahead(runs(), threads=1, runs_ahead=9)]
    assert [number for number, _ in told] == list(range(40))
    assert all(4 < more - number <= 10 or more == 40 for number, more in told)
    assert len({more for _, more in told}) <= 1 + 40 // 5


def test_threads_that_render_ahead_say_what_they_have_computed():
    rendering = loader(prefetch=2, global_batch_size=300)
    assert rendering.cpu_seconds_ahead() == 0
    batches = iter(rendering)
    next(batches)
    some = rendering.cpu_seconds_ahead()
    assert some > 0
    list(islice(batches, 5))
    more = rendering.cpu_seconds_ahead()
    assert more > some
    of_kind(Generator, batches).close()
    assert rendering.cpu_seconds_ahead() >= more, "what was spent stays spent"
    assert rendering.waited_seconds > 0
