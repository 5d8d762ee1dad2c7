"""Digests kept of files: cheap to open, exact when anything changes, and never able to give a wrong answer."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from small_pictures import encoded, picture

from levelfield.data import kept_digests as digests
from levelfield.data.ingest.places import PlaceSaid, judged_at
from levelfield.data.kept_digests import KeptDigests, cached
from levelfield.data.sources import open_source
from levelfield.records.data import ImagesSpec
from levelfield.records.errors import DataError


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    """A cache of its own that keeps what was written a moment ago, too, unless the test says otherwise."""
    monkeypatch.setenv("LEVELFIELD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(digests, "RACY_NS", -(10**12))
    return tmp_path / "cache" / "digests"


@pytest.fixture
def hashed(monkeypatch) -> list[int]:
    """The sizes of the pictures that were hashed on opening."""
    from levelfield.data.canonical import digest_of
    from levelfield.data.ingest import opening

    sizes: list[int] = []

    def counted(content):
        sizes.append(len(bytes(content)))
        return digest_of(content)

    monkeypatch.setattr(opening, "digest_of", counted)
    return sizes


def spec_of(path: Path, **more) -> ImagesSpec:
    return ImagesSpec(path=str(path), resolution=16, select_examples=5, report_examples=5, **more)


@pytest.fixture(params=["folder", "parquet"])
def place(request, picture_folder, picture_parquet) -> Path:
    return {"folder": picture_folder, "parquet": picture_parquet}[request.param]


def every_picture(spec):
    source = open_source(spec)
    return source, source.batch("train", np.arange(source.split_sizes["train"])).fields["image"]


def test_a_source_that_was_opened_before_is_not_read_again(place, hashed):
    first, pictures = every_picture(spec_of(place))
    assert len(hashed) == 30
    again, same = every_picture(spec_of(place))
    assert len(hashed) == 30
    assert again.fingerprint == first.fingerprint
    assert np.array_equal(same, pictures)


def test_verifying_reads_every_byte_whatever_is_kept(place, hashed):
    open_source(spec_of(place))
    open_source(spec_of(place), rehash=True)
    assert len(hashed) == 60


def test_a_byte_changed_behind_a_restored_size_and_time_is_seen(picture_folder, hashed):
    spec = spec_of(picture_folder)
    before = open_source(spec).fingerprint
    file = sorted(picture_folder.rglob("*.png"))[0]
    stat, content = file.stat(), bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (stat.st_size, stat.st_mtime_ns)
    assert open_source(spec).fingerprint != before
    assert len(hashed) == 31


def test_what_changed_a_moment_ago_is_hashed_again(place, hashed, monkeypatch):
    monkeypatch.setattr(digests, "RACY_NS", 3600 * 10**9)
    open_source(spec_of(place))
    open_source(spec_of(place))
    assert len(hashed) == 60


def test_a_kept_digest_that_lies_is_caught_when_the_picture_is_decoded_and_forgotten(place, cache):
    true = open_source(spec_of(place)).fingerprint
    (kept,) = cache.iterdir()
    wrong = {key: np.bitwise_xor(rows, 1) for key, rows in digests._read(kept).items()}
    kept.write_bytes(digests._packed(wrong))
    shutil.rmtree(cache.with_name("indices"))
    lied_to = open_source(spec_of(place))
    assert lied_to.fingerprint != true
    with pytest.raises(DataError, match="has changed since it was listed"):
        lied_to.batch("train", np.arange(1))
    assert open_source(spec_of(place)).fingerprint == true


def test_a_picture_exchanged_after_it_was_listed_is_no_example(picture_folder):
    source = open_source(spec_of(picture_folder))
    for number, file in enumerate(sorted(picture_folder.rglob("*.*"))):
        if file.is_file():
            file.write_bytes(encoded(picture(1000 + number)))
    for split in ("train", "select", "report"):
        with pytest.raises(DataError, match="has changed since it was listed, so this is other data now"):
            source.batch(split, np.arange(1))


def test_a_picture_exchanged_after_it_was_listed_is_not_judged(picture_folder):
    from levelfield.inference.pictures import fed_store
    from levelfield.weights.preprocessing import Preprocessing

    store = judged_at(PlaceSaid(path=str(picture_folder)))
    file = sorted(picture_folder.rglob("*.png"))[-1]
    file.write_bytes(encoded(picture(1000)))
    with pytest.raises(DataError, match=f"{file.name} has changed since it was listed"):
        list(fed_store(store, store.labels, Preprocessing.of_training(resolution=16, in_channels=3), []))


@pytest.mark.parametrize("damage", [b"", b"levelfield digests 1\nbut torn", b"\0" * 5000])
def test_a_damaged_cache_is_as_good_as_none(place, cache, damage, hashed):
    before = open_source(spec_of(place)).fingerprint
    (kept,) = cache.iterdir()
    for file in (kept, *cache.with_name("indices").glob("*/*/*")):
        file.write_bytes(damage or file.read_bytes()[:-1])
    assert open_source(spec_of(place)).fingerprint == before
    assert len(hashed) == 60


def test_a_cache_that_cannot_be_written_is_as_good_as_none(place, cache, monkeypatch, hashed):
    cache.parent.write_text("no folder")
    assert open_source(spec_of(place)).fingerprint == open_source(spec_of(place)).fingerprint
    monkeypatch.setenv("LEVELFIELD_CACHE", "")
    assert cached("digests") is None
    open_source(spec_of(place))
    assert len(hashed) == 90


def test_it_lies_where_caches_lie(monkeypatch, tmp_path):
    monkeypatch.delenv("LEVELFIELD_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cached("digests") == tmp_path / "levelfield" / "digests"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cached("digests") == tmp_path / ".cache" / "levelfield" / "digests"


def test_what_was_used_longest_ago_goes_first_when_it_grows_too_large(tmp_path, cache, monkeypatch):
    file = tmp_path / "file"
    file.write_bytes(b"content")

    def keep(place: str, rows: int) -> None:
        kept = KeptDigests(tmp_path / place, "test")
        kept.of(file, lambda: [b"d" * 16] * rows, rows=rows)
        kept.save()

    for number, place in enumerate("abc"):
        keep(place, 100)
        newest = max(cache.iterdir(), key=lambda path: path.stat().st_ctime_ns)
        os.utime(newest, (number, number))
    first = min(cache.iterdir(), key=lambda path: path.stat().st_mtime)
    monkeypatch.setattr(digests, "LIMIT_BYTES", 3 * first.stat().st_size)
    keep("d", 100)
    assert not first.exists()
    assert len(list(cache.iterdir())) == 3


def test_files_that_are_gone_are_not_kept(picture_folder, cache):
    open_source(spec_of(picture_folder))
    (kept,) = cache.iterdir()
    sorted(picture_folder.rglob("*.png"))[0].unlink()
    (picture_folder / "apple" / "new.png").write_bytes(encoded(picture(99)))
    open_source(spec_of(picture_folder))
    assert len(digests._read(kept)) == 30
