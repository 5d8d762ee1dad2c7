"""Tables of paths and labels as spreadsheets, R, pandas and Windows leave them: read as they are meant, or refused."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_pictures import encoded, picture
from tests.narrowed import of_kind

from levelfield.data.sources import open_source
from levelfield.data.sources.splits import ImageSource
from levelfield.records.data import ImagesSpec
from levelfield.records.errors import DataError

ROWS = [(f"img/{number}.png", ("cat", "dog")[number % 2]) for number in range(12)]


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "img").mkdir()
    for number in range(12):
        (tmp_path / "img" / f"{number}.png").write_bytes(encoded(picture(number)))
    return tmp_path


def opened(folder: Path, content: str | bytes) -> ImageSource:
    table = folder / "labels.csv"
    table.write_bytes(content if isinstance(content, bytes) else content.encode())
    spec = ImagesSpec(path=str(table), resolution=8, select_examples=2, report_examples=2)
    return of_kind(ImageSource, open_source(spec))


def text(rows, header: str = "file,label\n") -> str:
    return header + "".join(f"{path},{label}\n" for path, label in rows)


@pytest.mark.parametrize(
    "written",
    [
        lambda folder: text(ROWS).encode("utf-8-sig").replace(b",", b";"),
        lambda folder: text(ROWS).replace(",", "\t").replace("\n", "\r\n"),
        lambda folder: text((f"{folder}/{path}", label) for path, label in ROWS),
        lambda folder: text((path.replace("/", "\\"), label) for path, label in ROWS),
        lambda folder: text((f" ./{path}", f"{label} ") for path, label in ROWS),
    ],
    ids=["byte order mark and semicolons", "tabs and CRLF", "whole paths", "backslashes", "blanks"],
)
def test_a_table_is_the_same_data_however_it_is_written(folder, written):
    expected = opened(folder, text(ROWS)).fingerprint
    found = opened(folder, written(folder))
    assert (found.class_names, found.fingerprint) == (("cat", "dog"), expected)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (text(ROWS, header=""), "begins with 'img/0.png', which names a picture and no column"),
        ("", "is empty: expected a row that names the columns"),
        (text((path, f"{place % 2}.0") for place, (path, _) in enumerate(ROWS)), "numbers and no classes"),
        (text((path, -(place % 2)) for place, (path, _) in enumerate(ROWS)), "numbers and no classes"),
        (text([*ROWS[:-1], (ROWS[-1][0], "NA")]), "label 'NA', which is how programs write that there is none"),
        (text([*ROWS[:-1], (ROWS[-1][0], "nan")]), "label 'nan', which is how"),
        (text([*ROWS[:-1], (ROWS[-1][0], "cat\u200b")]), "one class in several spellings"),
        (text(ROWS).replace("cat", '"cat', 1) + '"\n', "is no name: is a quote before it not closed"),
        (text(ROWS).replace("cat", '["cat"]').replace('"', '""').replace("[", '"[').replace("]", ']"'), "is a list"),
        (text([("/elsewhere/0.png", "cat"), *ROWS]), "is no path below the folder of the table \\(/"),
        (text([("../img/0.png", "cat"), *ROWS]), "is no path below the folder of the table"),
    ],
)
def test_what_a_table_cannot_mean_is_refused(folder, content, said):
    with pytest.raises(DataError, match=said):
        opened(folder, content)


def test_pictures_under_two_classes_are_told(folder):
    found = opened(folder, text([*ROWS, (ROWS[0][0], "dog"), (ROWS[1][0], "dog")]))
    assert any("1 images of" in remark and "stand under two classes" in remark for remark in found.remarks)


def test_categories_of_pandas_are_names(tmp_path):
    contents = [encoded(picture(number)) for number in range(12)]
    names = pa.array([name for _, name in ROWS])
    found = []
    for kind, labels in (("texts", names), ("categories", names.dictionary_encode())):
        pq.write_table(pa.table({"image": contents, "label": labels}), tmp_path / f"{kind}.parquet")
        spec = ImagesSpec(path=f"{tmp_path}/{kind}.parquet", resolution=8, select_examples=2, report_examples=2)
        found.append(open_source(spec))
    assert found[0].fingerprint == found[1].fingerprint
    assert tuple(found[1].class_names) == ("cat", "dog")
