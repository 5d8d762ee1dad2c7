"""The index that is kept of a place: mapped and not read, equal to what was listed, and never believed for another."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from small_pictures import CLASSES, encoded, picture, write_folder
from tests.formats import FORMATS, put

from levelfield.data import kept_digests
from levelfield.data.canonical import canonical_order, content_fingerprint, num_shared, num_twins
from levelfield.data.index import Index, ListedRows
from levelfield.data.ingest import opening
from levelfield.data.ingest.places import PlaceSaid, judged_at
from levelfield.data.manifest import contents_of
from levelfield.records.errors import DataError
from levelfield.records.fingerprint import digest


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """A cache of its own that keeps what was written a moment ago, too."""
    monkeypatch.setenv("LEVELFIELD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(kept_digests, "RACY_NS", -(10**12))
    return tmp_path / "cache" / "indices"


def listed(number: int, *, seed: int = 0, names: bool = True) -> ListedRows:
    draw = np.random.default_rng(seed)
    return ListedRows(
        label=draw.integers(0, 5, number).astype(np.int32),
        digest=draw.integers(0, 256, (number, 16), dtype=np.uint8),
        shard=draw.integers(0, 9, number).astype(np.uint32),
        offset=draw.integers(0, 2**40, number).astype(np.uint64),
        length=draw.integers(1, 2**20, number).astype(np.uint64),
        names=[f"{row}é.jpg".encode() for row in range(number)] if names else None,
    )


@pytest.mark.parametrize("names", [True, False])
def test_a_written_index_is_the_rows_in_canonical_order(tmp_path, names):
    rows = listed(100, names=names)
    Index.of(rows).write(tmp_path / "x.arrow")
    index, order = Index.open(tmp_path / "x.arrow"), canonical_order(rows.label, rows.digest)
    for mapped, plain in (
        (index.labels, rows.label),
        (index.digests, rows.digest),
        (index.shards, rows.shard),
        (index.offsets, rows.offset),
        (index.lengths, rows.length),
    ):
        assert np.array_equal(mapped, plain[order])
    assert [index.name(row) for row in range(100)] == [f"{row}é.jpg" if names else None for row in order.tolist()]
    with pytest.raises(ValueError, match="read-only"):
        index.labels[0] = 1


def test_the_fingerprint_is_that_of_all_labels_and_then_all_digests(monkeypatch):
    """As it was computed in one piece before indices were mapped: identities of studies must not move."""
    from levelfield.data import canonical

    rows = listed(1000)
    order = canonical_order(rows.label, rows.digest)
    whole = b"image table 1" + rows.label[order].astype("<i8").tobytes() + rows.digest[order].tobytes()
    for at_once in (7, 10**6):
        monkeypatch.setattr(canonical, "_ROWS_AT_ONCE", at_once)
        assert content_fingerprint(rows.label[order], rows.digest[order]) == digest(whole)


def test_twins_and_shared_pictures_are_counted_as_sets_count_them(monkeypatch):
    from levelfield.data import canonical

    monkeypatch.setattr(canonical, "_ROWS_AT_ONCE", 50)
    draw = np.random.default_rng(1)
    few = draw.integers(0, 2, (300, 16), dtype=np.uint8) * np.array([1, 1, 1, *[0] * 12, 1], dtype=np.uint8)
    distinct = {row.tobytes() for row in few}
    labels = draw.integers(0, 3, 300)
    labelled = {(row.tobytes(), label) for row, label in zip(few, labels.tolist(), strict=True)}
    assert num_twins(few, labels) == (300 - len(distinct), len(labelled) - len(distinct))
    assert 300 > len(labelled) > len(distinct)
    others = few[:100] ^ np.array([*[0] * 15, 2], dtype=np.uint8) * draw.integers(0, 2, (100, 1), dtype=np.uint8)
    theirs = {row.tobytes() for row in others}
    assert num_shared(few, others) == (len(distinct & theirs), len(theirs))


def test_a_place_that_was_opened_is_mapped_the_next_time(cache, picture_folder, monkeypatch):
    first = judged_at(PlaceSaid(path=str(picture_folder)))
    monkeypatch.setattr(opening, "contents_of", None)  # nothing of it is computed again
    again = judged_at(PlaceSaid(path=str(picture_folder)))
    assert again.contents == first.contents
    assert [again.read(row) for row in range(30)] == [first.read(row) for row in range(30)]
    assert [again.name(row) for row in range(30)] == [first.name(row) for row in range(30)]
    assert Path(again.name(3)).is_file()


def test_an_index_that_was_written_to_is_made_again(cache, picture_folder, caplog):
    """One bit of a label, behind times that were set back: no digest would ever show it."""
    true = judged_at(PlaceSaid(path=str(picture_folder))).labels.tolist()
    (file,) = cache.glob("*/*/index.arrow")
    seen, content = file.stat(), bytearray(file.read_bytes())
    place = content.index(np.array(true, dtype="<i4").tobytes())
    content[place] ^= 1
    file.chmod(0o644)
    file.write_bytes(content)
    os.utime(file, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    again = judged_at(PlaceSaid(path=str(picture_folder)))
    assert again.labels.tolist() == true
    assert "was changed after it was written; its place is hashed again" in caplog.text


def test_what_comes_goes_or_moves_to_another_class_is_seen(cache, picture_folder):
    def fingerprint() -> str:
        return judged_at(PlaceSaid(path=str(picture_folder))).contents.fingerprint

    seen = [fingerprint()]
    (picture_folder / "bee" / "new.png").write_bytes(encoded(picture(99)))
    seen.append(fingerprint())
    (picture_folder / "bee" / "new.png").rename(picture_folder / "cat" / "new.png")
    seen.append(fingerprint())
    (picture_folder / "cat" / "new.png").unlink()
    assert len(set(seen)) == 3
    assert fingerprint() == seen[0]
    assert len(list(cache.glob("*/*/index.arrow"))) == 1, "of a place one index is kept"


def test_the_indices_used_longest_ago_go_when_there_are_too_many(cache, tmp_path, pictures, monkeypatch):
    from levelfield.data.ingest import kept_index

    for number, name in enumerate("abc"):
        judged_at(PlaceSaid(path=str(write_folder(tmp_path / name, pictures))))
        newest = max(cache.glob("*/*/manifest.json"), key=lambda path: path.stat().st_ctime_ns)
        os.utime(newest, (number, number))
    first = min(cache.glob("*/*/manifest.json"), key=lambda path: path.stat().st_mtime)
    monkeypatch.setattr(kept_index, "INDEX_LIMIT_BYTES", 3 * first.with_name("index.arrow").stat().st_size)
    judged_at(PlaceSaid(path=str(write_folder(tmp_path / "d", pictures))))
    assert not first.exists()
    assert len(list(cache.glob("*/*/manifest.json"))) == 3


def test_processes_that_open_a_new_place_at_once_hash_it_once(tmp_path, picture_folder):
    """They wait for the first, and map what it made."""
    for file in picture_folder.rglob("*.*"):
        os.utime(file, (0, 0))
    script = f"""
from levelfield.data import kept_digests
from levelfield.data.ingest import opening
from levelfield.data.ingest.places import PlaceSaid, judged_at
kept_digests.RACY_NS = -10**12
made, real = [], opening.contents_of
opening.contents_of = lambda *given, **more: made.append(1) or real(*given, **more)
store = judged_at(PlaceSaid(path={str(picture_folder)!r}))
print(len(made), store.contents.fingerprint)
"""
    environment = {**os.environ, "LEVELFIELD_CACHE": str(tmp_path / "cache")}
    start = [sys.executable, "-c", script]
    running = [subprocess.Popen(start, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    said = [each.communicate()[0].split() for each in running]
    assert sorted(int(made) for made, _ in said) == [0, 0, 1]
    assert len({fingerprint for _, fingerprint in said}) == 1


DAMAGED = {
    "nothing": lambda content: b"",
    "no Arrow": lambda content: b"\0" * 5000,
    "its first half": lambda content: content[: len(content) // 2],
    "no end": lambda content: content[:-1],
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_what_is_no_index_is_refused(tmp_path, kind):
    Index.of(listed(50)).write(tmp_path / "x.arrow")
    (tmp_path / "x.arrow").write_bytes(DAMAGED[kind]((tmp_path / "x.arrow").read_bytes()))
    with pytest.raises(DataError, match=r"x.arrow cannot be read as an index"):
        Index.open(tmp_path / "x.arrow")


def test_an_arrow_file_of_other_columns_is_no_index(tmp_path):
    with pa.ipc.new_file(str(tmp_path / "x.arrow"), pa.schema([("label", pa.int32())])) as writer:
        writer.write_batch(pa.record_batch({"label": pa.array([1], pa.int32())}))
    with pytest.raises(DataError, match=r"is no index: it has the columns \['label'\]"):
        Index.open(tmp_path / "x.arrow")


def held(kind: str) -> int:
    """Bytes of this process: all that is resident (VmRSS), or what is its own and no page of a file (RssAnon)."""
    said = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in said if line.startswith(f"{kind}:")).split()[1]) * 1024


@pytest.mark.parametrize("number", [10**6, pytest.param(10**8, marks=pytest.mark.acceptance, id="a hundred million")])
def test_opening_costs_the_same_for_any_number_of_pictures(tmp_path, number):
    rows = ListedRows(
        label=np.repeat(np.arange(1000, dtype=np.int32), number // 1000),
        digest=np.zeros((number, 16), dtype=np.uint8),
        shard=np.zeros(number, dtype=np.uint32),
        offset=np.arange(number, dtype=np.uint64),
        length=np.ones(number, dtype=np.uint64),
    )
    Index.unordered(rows).write(tmp_path / "x.arrow")
    del rows
    before, own = held("VmRSS"), held("RssAnon")
    begun = resource.getrusage(resource.RUSAGE_SELF)
    index = Index.open(tmp_path / "x.arrow")
    assert held("VmRSS") - before < 20e6
    asked = np.random.default_rng(0).integers(0, number, 1000)
    assert index.offsets[asked].tolist() == asked.tolist()
    assert index.labels[asked].tolist() == (asked // (number // 1000)).tolist()
    ended = resource.getrusage(resource.RUSAGE_SELF)
    assert ended.ru_utime + ended.ru_stime - begun.ru_utime - begun.ru_stime < 0.2
    assert held("RssAnon") - own < 20e6, "pages of the file are the system's: it maps whole folios around what is asked"


def test_contents_count_classes_without_pictures_too():
    contents = contents_of(Index.of(listed(20)), ("a", "b", "c", "d", "e", "f"), sorted_as_text=False)
    assert (contents.num_examples, contents.num_by_class[5]) == (20, 0)
    assert 5 not in contents.used


def test_the_headers_of_tars_are_walked_once(cache, tmp_path, pictures, monkeypatch):
    from levelfield.data.ingest import tar

    named = [(CLASSES[label], content) for label, content in pictures]
    for form in ("tar_of_folders", "webdataset"):
        place = FORMATS[form](tmp_path / form, named)
        first = judged_at(place)
        with monkeypatch.context() as patch:
            patch.setattr(tar, "members_of", None)
            again = judged_at(place)
        assert again.contents == first.contents
        with tarfile.open(next((tmp_path / form).glob("*.tar")), "a") as archive:
            put(archive, "photos/bee/new.png", encoded(picture(77)))
            put(archive, "photos/bee/new.cls", b"bee")
        assert judged_at(place).contents.num_examples == 31
