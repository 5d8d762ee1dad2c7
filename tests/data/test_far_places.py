"""A built data set that lies far away is opened as it lies here: the same content, the same order, another way."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from small_pictures import encoded, picture, write_folder
from tests.conftest import TINY_STUDY
from tests.far_away import BadServer
from tests.narrowed import of_kind

from levelfield.data.arranged import training_order
from levelfield.data.audit import expected_audit
from levelfield.data.blocks import BlockOrder
from levelfield.data.ingest.build import build
from levelfield.data.ingest.inspect import inspect
from levelfield.data.ingest.places import PlaceSaid, listed_forms, looked_at
from levelfield.data.sources import open_source
from levelfield.data.sources.splits import ImageSource
from levelfield.records.data import ImagesSpec
from levelfield.records.errors import DataError
from levelfield.study.spec_file import load_study

pytest.importorskip("obstore", reason="levelfield[remote] is not installed")


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("far")
    write_folder(folder / "brought", [(seed % 3, encoded(picture(seed))) for seed in range(60)])
    build(listed_forms(PlaceSaid(path=str(folder / "brought"))), folder / "bucket", shard_bytes=30_000)
    return folder / "bucket"


def source_at(path: object, **more) -> ImageSource:
    spec = ImagesSpec(path=str(path), resolution=8, select_examples=4, report_examples=4, augment="none", **more)
    return of_kind(ImageSource, open_source(spec))


@pytest.mark.parametrize("blocks", [{}, {"block_examples": 4, "window_blocks": 3}])
def test_far_away_it_is_the_same_data_in_the_same_order(built, blocks):
    here = source_at(built, **blocks)
    with BadServer(built, error=0.2) as server:
        there = source_at(server.url, **blocks)
        assert there.fingerprint == here.fingerprint
        orders = [training_order(source, 3) for source in (here, there)]
        assert isinstance(orders[0], BlockOrder) == bool(blocks)
        assert expected_audit(orders[0], 0, 200) == expected_audit(orders[1], 0, 200)
        there.expect("train", np.arange(52))
        for split, size in here.split_sizes.items():
            one, other = (source.batch(split, np.arange(size)).fields for source in (here, there))
            assert all(np.array_equal(one[name], other[name]) for name in one)
        assert sum("arrow" in asked for asked in server.asked) == 1
        source_at(server.url)
        assert max(count for asked, count in server.asked.items() if "arrow" in asked) <= 2, "an index is fetched once"


def test_in_blocks_it_is_seen_as_it_was_packed_and_otherwise_wherever_it_lies(built):
    plain, packed = source_at(built), source_at(built, block_examples=4, window_blocks=3)
    brought = source_at(built.parent / "brought", block_examples=4, window_blocks=3)
    assert source_at(built.parent / "brought").fingerprint == plain.fingerprint
    assert len({plain.fingerprint, packed.fingerprint}) == 2
    assert brought.fingerprint == plain.fingerprint
    assert packed.fingerprint != brought.fingerprint


def test_what_is_not_there_or_is_no_built_data_set_is_told(built, tmp_path):
    with BadServer(tmp_path) as server:
        with pytest.raises(
            DataError, match=r"holds no manifest\.json: far away lies what `levelfield data build` made"
        ):
            source_at(server.url)
        (tmp_path / "manifest.json").write_text("{}")
        with pytest.raises(DataError, match=r"manifest\.json"):
            source_at(server.url)
    with pytest.raises(DataError, match="image_column names a column"):
        source_at("s3://bucket/x", image_column="jpg")


def test_a_manifest_and_an_index_that_are_damaged_on_the_way_are_fetched_again(built):
    with BadServer(built, wrong=0.5, short=0.5) as server:
        assert source_at(server.url).fingerprint == source_at(built).fingerprint
        assert server.met.total() >= 2


def test_an_index_that_is_not_the_manifests_is_refused(built, tmp_path):
    copied = tmp_path / "bucket"
    shutil.copytree(built, copied)
    index = copied / "train" / "index.arrow"
    index.write_bytes(index.read_bytes()[:-1] + b"x")
    with BadServer(copied) as server, pytest.raises(DataError, match="is not the index that its manifest names"):
        source_at(server.url)


def test_an_address_in_a_study_is_no_path_beside_it(tmp_path):
    said = 'source = "images"\npath = "s3://bucket/set"\nresolution = 16\n'
    head, _, tail = TINY_STUDY.partition("[data]")
    (tmp_path / "study.toml").write_text(f"{head}[data]\n{said}\n[ladder]{tail.partition('[ladder]')[2]}")
    data = load_study(tmp_path / "study.toml").data
    assert of_kind(ImagesSpec, data).path == "s3://bucket/set"


def test_what_lies_far_away_is_inspected_as_it_is_here(built):
    def inspected(path: object):
        stores, skipped = looked_at(PlaceSaid(path=str(path)))
        return inspect(stores, skipped, workers=2)

    with BadServer(built, error=0.1) as server:
        here, there = inspected(built), inspected(server.url)
    assert there.parts == here.parts
    assert (there.leaks["train"].exact, there.leaks["train"].near) == (
        here.leaks["train"].exact,
        here.leaks["train"].near,
    )
