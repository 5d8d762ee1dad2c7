"""Every format: the same pictures give the same ids and bytes, and the same run."""

from pathlib import Path
from typing import Any

import pytest
from small_pictures import CLASSES
from test_image_files import assert_same_run
from tests.formats import FORMATS

from levelfield.data.ingest.build import build
from levelfield.data.ingest.places import listed_forms
from levelfield.data.sources import open_source
from levelfield.records.data import ImagesSpec, data_identity
from levelfield.testing.readers import Pictures, check_reader

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
