"""Every format: the same pictures give the same ids and bytes, and the same run."""

import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_pictures import CLASSES
from test_image_files import assert_same_run
from tests.formats import FORMATS

from levelfield.data import kept_digests
from levelfield.data.ingest.build import build
from levelfield.data.ingest.places import judged_at, listed_forms
from levelfield.data.sources import open_source
from levelfield.data.stores.parquet_file import Columns, ParquetFile
from levelfield.records.data import ImagesSpec, data_identity
from levelfield.records.errors import DataError
from levelfield.testing.readers import Pictures, check_reader, expected_table, table_of

HELD_OUT: dict[str, Any] = {"resolution": 16, "select_examples": 5, "report_examples": 6}


@pytest.fixture
def named(pictures) -> Pictures:
    """Pictures under the names of their classes, the first of them twice."""
    found = [(CLASSES[label], content) for label, content in pictures]
    return [*found, found[0]]


@pytest.mark.parametrize("form", FORMATS)
def test_a_format_is_read_as_the_pictures_that_were_written(form, named, tmp_path):
    check_reader(FORMATS[form], named, tmp_path)


@pytest.mark.parametrize("form", [form for form in FORMATS if form != "folder"])
def test_a_format_gives_the_run_that_a_folder_gives_and_so_does_what_is_built_of_it(form, named, tmp_path):
    def source(path: str, **columns: str | None):
        spec = ImagesSpec(path=path, **columns, **HELD_OUT)  # pyright: ignore[reportArgumentType]
        return open_source(spec), data_identity(spec)

    expected, identity = source(FORMATS["folder"](tmp_path / "folder", named).path)
    place = FORMATS[form](tmp_path / "other", named)
    found, other = source(place.path, image_column=place.image_column, label_column=place.label_column)
    assert_same_run(found, expected)
    assert other == identity
    build(listed_forms(place), Path(tmp_path / "built"))
    assert_same_run(source(str(tmp_path / "built"))[0], expected)


@pytest.mark.parametrize("form", ["table_of_paths", "parquet_of_paths", "hub_of_paths"])
def test_a_label_that_was_changed_in_the_table_is_seen(form, named, tmp_path, monkeypatch):
    """The pictures are as they were, and what was kept of them says nothing of their labels any more."""
    monkeypatch.setenv("LEVELFIELD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(kept_digests, "RACY_NS", -(10**12))
    place = FORMATS[form](tmp_path / "data", named)
    assert table_of(judged_at(place)) == expected_table(named)
    turned = [(dict(zip(CLASSES, reversed(CLASSES), strict=True))[name], content) for name, content in named]
    FORMATS[form](tmp_path / "other", turned)
    for path in (tmp_path / "data").rglob("*.parquet"):
        shutil.copy(tmp_path / "other" / path.relative_to(tmp_path / "data"), path)
    for path in (tmp_path / "data").rglob("*.csv"):
        path.write_bytes(
            path.read_bytes().replace(b";apple", b";x").replace(b";cat", b";apple").replace(b";x", b";cat")
        )
    assert table_of(judged_at(place)) == expected_table(turned)


def test_rows_that_hold_pictures_beside_rows_that_name_files_are_refused(named, tmp_path):
    place = FORMATS["hub_of_paths"](tmp_path, named)
    rows = pq.read_table(next((tmp_path / "data").glob("*.parquet"))).to_pylist()
    rows[5]["image"]["bytes"] = named[5][1]
    pq.write_table(pa.Table.from_pylist(rows), next((tmp_path / "data").glob("*.parquet")))
    with pytest.raises(DataError, match="row 5 holds a picture in 'image', and rows before it name files"):
        judged_at(place)


@pytest.mark.parametrize("form", ["parquet_of_paths", "hub_of_paths"])
def test_rows_that_name_files_may_be_small_and_many(form, named, tmp_path):
    """Twenty thousand paths compress to two bytes each, and one long text for all of them to nothing."""
    FORMATS[form](tmp_path / "data", named)
    file = next(tmp_path.rglob("*.parquet"))
    row = pq.read_table(file).to_pylist()[0]
    rows = pa.Table.from_pylist([row | {"note": "x" * 20_000}]).take(pa.array([0] * 20_000))
    pq.write_table(rows, file, compression="zstd")
    assert file.stat().st_size < 100_000
    read, before = ParquetFile(file, Columns(paths="image", texts=("note",))), pa.total_allocated_bytes()
    for texts in (read.texts(0, "note"), read.paths(0, "image")):
        assert len(texts) == 20_000
        assert len({id(text) for text in texts}) < 20, "an equal text is one object"
    assert pa.total_allocated_bytes() - before < 2**24
