"""Pictures far away: whatever the store answers, what is read is what was listed, or the run stops and says why."""

import io
import os
import sys
import tarfile
import threading
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_pictures import encoded, picture
from tests.far_away import BadServer

from levelfield.data.blocks import BlockOrder
from levelfield.data.canonical import digest_of
from levelfield.data.foresight import Foresight
from levelfield.data.index import Index, ListedRows
from levelfield.data.loader import Loader
from levelfield.data.manifest import contents_of
from levelfield.data.order import Order
from levelfield.data.sources.splits import ImageSource, image_source
from levelfield.data.stores import extents
from levelfield.data.stores.base import IndexedStore, read_listed
from levelfield.data.stores.extents import LONGEST_BYTES, NEAR_BYTES, Extent, ExtentCache, joined
from levelfield.data.stores.far import FarStore, cache_of
from levelfield.data.stores.remote import FIRST_PAUSE_S, TRIES, RemoteReadError, RemoteShards
from levelfield.records.data import ImagesSpec
from levelfield.records.errors import DataError, SpecError

pytest.importorskip("obstore", reason="levelfield[remote] is not installed")

NUMBER = 60
PICTURES = [encoded(picture(seed)) for seed in range(NUMBER)]
LABELS = np.arange(NUMBER) % 3


def listed() -> tuple[ListedRows, dict[str, bytes]]:
    """The pictures in three tars, and where in them each lies; packed in a drawn order."""
    digests = np.frombuffer(b"".join(map(digest_of, PICTURES)), dtype=np.uint8).reshape(-1, 16)
    shards, offsets, tars = np.zeros(NUMBER, np.uint32), np.zeros(NUMBER, np.uint64), {}
    packed = np.random.default_rng(0).permutation(NUMBER)
    for number, part in enumerate(np.array_split(packed, 3)):
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w") as archive:
            for row in part.tolist():
                info = tarfile.TarInfo(f"{row}.png")
                info.size = len(PICTURES[row])
                shards[row], offsets[row] = number, stream.tell() + 512
                archive.addfile(info, io.BytesIO(PICTURES[row]))
        tars[f"{number}.tar"] = stream.getvalue()
    return _rows(digests, shards, offsets), tars


def _rows(digests: np.ndarray, shards: np.ndarray, offsets: np.ndarray) -> ListedRows:
    lengths = np.array([len(each) for each in PICTURES], dtype=np.uint64)
    return ListedRows(label=LABELS.astype(np.int32), digest=digests, shard=shards, offset=offsets, length=lengths)


ROWS, TARS = listed()
INDEX = Index.of(ROWS)
CONTENTS = contents_of(INDEX, "abc", sorted_as_text=True)
BY_DIGEST = {digest_of(each): each for each in PICTURES}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "bucket"
    place.mkdir()
    for name, content in TARS.items():
        (place / name).write_bytes(content)
    return place


def shards_at(url: str, cache: Path, limit: int = 2**24, waited: list[float] | None = None) -> RemoteShards:
    pauses = [] if waited is None else waited
    return RemoteShards(url, sorted(TARS), ExtentCache(cache, limit), pause=pauses.append)


def store_at(url: str, cache: Path, **more) -> FarStore:
    return FarStore(shards_at(url, cache, **more), INDEX, CONTENTS, of="far", packed=True)


def assert_all_right(store: FarStore) -> None:
    for row in range(NUMBER):
        assert store.read(row) == BY_DIGEST[INDEX.digests[row].tobytes()]


@pytest.mark.parametrize("faults", [{}, {"wrong": 1.0}])
def test_what_comes_is_hashed_once_an_answer_and_never_not(folder, tmp_path, faults):
    """By what the interpreter calls while a picture is read for use."""
    hashed: list[str] = []

    def called(frame, event, argument) -> None:
        if event == "call" and frame.f_code is digest_of.__code__:
            hashed.append(frame.f_code.co_name)

    with BadServer(folder, **faults) as server:
        store = store_at(server.url, tmp_path / "cache")
        sys.setprofile(called)
        try:
            read_listed(store, 3)
        finally:
            sys.setprofile(None)
    assert len(hashed) == 1 + len(faults)


def test_every_picture_comes_as_it_was_listed(folder, tmp_path):
    with BadServer(folder) as server:
        assert_all_right(store_at(server.url, tmp_path / "cache"))
        assert server.served == NUMBER


@pytest.mark.parametrize("fault", ["error", "cut", "short", "wrong", "closed"])
@pytest.mark.parametrize("ahead", [False, True])
def test_whatever_the_store_does_wrong_no_picture_is_wrong_or_missing(fault, ahead, folder, tmp_path):
    waited: list[float] = []
    chances: dict[str, Any] = {fault: 0.5}
    with BadServer(folder, latency_s=0.001, **chances) as server:
        store = store_at(server.url, tmp_path / "cache", waited=waited)
        if ahead:
            store.expect(np.arange(NUMBER))
        assert_all_right(store)
        store.close()
        assert server.met[fault] >= (1 if ahead else 10)
    assert set(waited) <= {FIRST_PAUSE_S}


def test_a_store_that_dies_stops_the_reader_after_a_bounded_time_and_says_how_to_go_on(folder, tmp_path):
    waited: list[float] = []
    with BadServer(folder, dies_after=20) as server:
        store = store_at(server.url, tmp_path / "cache", waited=waited)
        read = []
        with pytest.raises(RemoteReadError, match=f"did not arrive in {TRIES} tries .*run again"):
            read.extend(store.read(row) for row in range(NUMBER))
        assert server.served == 20 + TRIES
    assert waited == [FIRST_PAUSE_S * 2**number for number in range(TRIES - 1)]
    with BadServer(folder) as server:
        assert_all_right(store_at(server.url, tmp_path / "cache"))
        assert server.served == NUMBER - 20, "what had come is kept"


@pytest.mark.parametrize(("name", "message"), [("gone.tar", "is not there"), ("secret.tar", "may not be read")])
def test_what_trying_again_does_not_mend_is_not_tried_again(name, message, folder, tmp_path):
    with BadServer(folder) as server:
        shards = RemoteShards(server.url, [name], ExtentCache(tmp_path / "cache", 2**20))
        with pytest.raises(OSError, match=message):
            shards.read(Extent(0, 0, 9), right=lambda content: True)
        assert server.served == 1


def test_neighbours_are_fetched_as_one_and_nothing_else_is(folder, tmp_path):
    with BadServer(folder) as server:
        store = store_at(server.url, tmp_path / "cache")
        store.expect(np.arange(NUMBER))
        assert_all_right(store)
        store.close()
        assert server.served == 3


def test_what_is_kept_is_read_without_the_store_and_what_is_damaged_is_fetched_again(folder, tmp_path):
    cache = tmp_path / "cache"
    with BadServer(folder) as server:
        assert_all_right(store_at(server.url, cache))
    with BadServer(folder, dies_after=0):
        assert_all_right(store_at("http://127.0.0.1:9", cache))
    files = sorted(cache.iterdir())
    files[0].write_bytes(b"x" * files[0].stat().st_size)
    files[1].write_bytes(files[1].read_bytes()[:-1])
    files[2].unlink()
    (cache / ".new-crashed").write_bytes(b"half")
    (cache / "strange").write_bytes(b"")
    with BadServer(folder) as server:
        assert_all_right(store_at(server.url, cache))
        assert server.served == 3


def test_a_picture_that_is_another_on_the_store_is_told_and_never_taken(folder, tmp_path):
    """The reader fetches it twice and gives what came, and the table that asked says that the data has changed."""
    shifted = b"\0" + TARS["1.tar"][:-1]
    (folder / "1.tar").write_bytes(shifted)
    with BadServer(folder) as server:
        source = far_source(store_at(server.url, tmp_path / "cache"))
        with pytest.raises(DataError, match="has changed since it was listed"):
            source.batch("train", np.arange(source.split_sizes["train"]))


def test_the_cache_stays_within_its_limit_and_lets_go_of_the_oldest(folder, tmp_path):
    limit = sum(map(len, PICTURES)) // 3
    with BadServer(folder) as server:
        store = store_at(server.url, tmp_path / "cache", limit=limit)
        for _ in range(3):
            assert_all_right(store)
        held = sum(path.stat().st_size for path in (tmp_path / "cache").iterdir())
        assert held <= limit * 17 / 16
        assert server.served == 3 * NUMBER, "what is asked for in turn is let go of before it is asked for again"


def test_no_more_is_fetched_ahead_than_the_cache_has_room_for(folder, tmp_path):
    limit = sum(map(len, TARS.values())) // 2
    with BadServer(folder) as server:
        store = store_at(server.url, tmp_path / "cache", limit=limit)
        store.expect(np.arange(NUMBER))
        for coming in list(store._shards._coming.values()):
            coming.result()
        assert server.served == 1, "a third of the data is half of the cache, and the rest waits"
        assert_all_right(store)
        store.close()


def test_many_threads_read_what_is_right(folder, tmp_path):
    with BadServer(folder, error=0.3, cut=0.2) as server:
        store = store_at(server.url, tmp_path / "cache")
        store.expect(np.arange(0, NUMBER, 2))
        failed: list[BaseException] = []

        def all_right() -> None:
            try:
                assert_all_right(store)
            except BaseException as error:
                failed.append(error)

        threads = [threading.Thread(target=all_right) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        store.close()
    assert not failed


def test_ranges_are_joined_where_they_are_near_and_not_too_long():
    near = [Extent(0, 0, 10), Extent(0, 20, 30), Extent(1, 0, 10)]
    assert joined(near[::-1]) == {Extent(1, 0, 10): 1, Extent(0, 0, 30): 2}
    apart = [Extent(0, 0, 10), Extent(0, 11 + NEAR_BYTES, 20 + NEAR_BYTES)]
    assert list(joined(apart)) == apart
    long = [Extent(0, 0, LONGEST_BYTES), Extent(0, LONGEST_BYTES, LONGEST_BYTES + 1)]
    assert list(joined(long)) == long
    assert joined([]) == {}


def far_source(store: FarStore, **more) -> ImageSource:
    spec = ImagesSpec(path="far", resolution=8, select_examples=4, report_examples=4, augment="none", **more)
    return image_source(spec, store, None)


def order_of(source: ImageSource, seed: int = 0):
    return source.arranged(seed, num_examples=None, multiplicity=1)


def test_blocks_are_fetched_whole_and_each_once_an_epoch(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(extents, "NEAR_BYTES", 1024)  # the header between two pictures of a tar, and nothing more
    with BadServer(folder) as server:
        store = store_at(server.url, tmp_path / "cache")
        source = far_source(store, block_examples=4, window_blocks=2)
        order = order_of(source)
        assert isinstance(order, BlockOrder)
        foresight = Foresight(source, order, start=0, global_batch_size=2, rank=0, world_size=1)
        for start in range(0, 52, 2):
            foresight.tell(start + 2)
            source.batch("train", order.ids(np.arange(start, start + 2))[1])
        store.close()
        assert 13 <= server.served <= 13 + 3, "13 blocks of four; three may cross the end of a shard"


def test_a_plain_order_far_away_is_the_same_run(folder, tmp_path):
    with BadServer(folder, error=0.2) as server:
        store = store_at(server.url, tmp_path / "cache")
        source = far_source(store)
        order = order_of(source)
        assert type(order) is Order
        batches = list(islice(Loader(source, order=order, global_batch_size=8, prefetch=2), 10))
        store.close()
    local = far_source(LocalTars(folder))
    for here, there in zip(islice(Loader(local, order=order, global_batch_size=8), 10), batches, strict=True):
        assert here.ids.tolist() == there.ids.tolist()
        assert bool((here.fields["image"] == there.fields["image"]).all())


class LocalTars(FarStore):
    """The same pictures from the folder, to compare with."""

    far = False

    def __init__(self, folder: Path) -> None:
        self._folder, self.index, self.contents, self.classes = folder, INDEX, CONTENTS, CONTENTS.classes("near")

    def name(self, row: int) -> str:
        return f"row {row}"

    def read(self, row: int) -> bytes:
        extent = self._extent(row)
        return (self._folder / f"{extent.shard}.tar").read_bytes()[extent.start : extent.stop]

    def compared(self, row: int) -> tuple[bytes, bool]:
        return IndexedStore.compared(self, row)


def test_each_rank_is_told_of_its_own_share_once(folder, tmp_path):
    source = far_source(LocalTars(folder))
    order, told = order_of(source), []

    class Listening:
        far = True

        def expect(self, split, ids):
            told.append(ids.tolist())

        def __getattr__(self, name):
            return getattr(source, name)

    listening: list[list[int]] = []
    for rank in (0, 1):
        told.clear()
        listener: Any = Listening()
        foresight = Foresight(listener, order, start=8, global_batch_size=8, rank=rank, world_size=2)
        for position in (8, 16, 24):
            foresight.tell(position)
        listening.append([example for part in told for example in part])
    positions = np.arange(8, 24 + 4096)
    ids = order.ids(positions)[1]
    for rank in (0, 1):
        assert listening[rank] == ids[(positions - 8) % 8 // 4 == rank].tolist()


def test_the_end_of_a_window_is_where_other_blocks_begin():
    order = BlockOrder(num_examples=61, seed=0, fingerprint="x", block_examples=4, window_blocks=3, multiplicity=2)
    ends = [order.window_end(position) for position in range(61 * 4)]
    assert ends == sorted(ends)
    assert set(ends) >= {61 * 2, 61 * 4}
    for start, end in zip([0, *sorted(set(ends))], sorted(set(ends)), strict=False):
        blocks = np.unique(order.ids(np.arange(start, end))[1] // 4)
        assert len(blocks) <= 3
        assert all(order.window_end(position) == end for position in range(start, end))


def test_where_the_cache_lies_and_how_large_it_may_be(monkeypatch, tmp_path):
    monkeypatch.setenv("LEVELFIELD_CACHE", str(tmp_path))
    monkeypatch.setenv("LEVELFIELD_REMOTE_BYTES", str(2**21))
    cache = cache_of("s3://bucket/x", CONTENTS)
    assert cache.limit_bytes == 2**21
    assert cache.folder.is_relative_to(tmp_path)
    assert os.listdir(cache.folder) == []
    for wrong in ("12", "much", ""):
        monkeypatch.setenv("LEVELFIELD_REMOTE_BYTES", wrong)
        with pytest.raises(SpecError, match="must be a number of bytes"):
            cache_of("s3://bucket/x", CONTENTS)


def test_a_place_of_no_store_is_refused():
    with pytest.raises(DataError, match="cannot be opened"):
        RemoteShards("ftp://somewhere", [], ExtentCache(Path("/tmp/levelfield-none"), 2**20))
