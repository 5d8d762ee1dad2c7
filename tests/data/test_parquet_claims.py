"""What a Parquet file claims is held against its size before any of it is unpacked."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_pictures import encoded, picture, write_parquet

from levelfield.data.sources import open_source
from levelfield.data.stores.parquet_claims import Compact, read_claims
from levelfield.records.data import ImagesSpec
from levelfield.records.errors import DataError


def from_parquet(path: Path | str, **more):
    return open_source(ImagesSpec(path=str(path), resolution=16, select_examples=5, report_examples=6, **more))


def write(path: Path, images: list[bytes] | pa.Array, labels: list[int] | pa.Array, **options) -> None:
    table = pa.table({"image": images, "label": labels})
    pq.write_table(table.replace_schema_metadata(options.pop("metadata", None)), path, **options)


def one_for_all(image: bytes, rows: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array([image], pa.binary()))


DEAR = ("300 MB of zeros", "one image spelt out for each row")
CLAIMS = {
    "300 MB of zeros": (
        lambda path: write(path, [bytes(3 * 10**8), b""], [0, 1], compression="zstd"),
        "value or page of",
    ),
    "many images that unpack": (
        lambda path: write(path, [bytes(10**7)] * 20, [0, 1] * 10, compression="zstd", use_dictionary=False),
        "unpacks to",
    ),
    "one image spelt out for each row": (
        lambda path: write(path, one_for_all(os.urandom(10**6), 20_000), [0, 1] * 10_000, store_schema=False),
        "unpacks to",
    ),
    "more rows than bytes": (lambda path: write(path, [b""] * 10**5, [0] * 10**5), "claims 100,000 rows"),
    "metadata that is nested": (
        lambda path: write(path, [b"x"] * 20, [0, 1] * 10, metadata={"class_names": "[" * 10**5}),
        "metadata 'class_names' of .* nested too deep",
    ),
    "metadata that is no JSON": (
        lambda path: write(path, [b"x"] * 20, [0, 1] * 10, metadata={"huggingface": "{"}),
        "metadata 'huggingface' of .* cannot be read as JSON",
    ),
    "a million names and one": (
        lambda path: write(path, [b"x"] * 20, [0, 1] * 10, metadata={"class_names": json.dumps(["a"] * (10**6 + 1))}),
        "names 1,000,001 classes",
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    "claim", [pytest.param(each, marks=pytest.mark.slow) if each in DEAR else each for each in CLAIMS]
)
def test_a_claim_is_refused_before_it_is_unpacked(tmp_path, claim):
    make, message = CLAIMS[claim]
    make(tmp_path / "x.parquet")
    script = f"""
from levelfield.data.sources import open_source
from levelfield.records.data import ImagesSpec
from levelfield.records.errors import DataError
try:
    open_source(ImagesSpec(path={str(tmp_path / "x.parquet")!r}, resolution=16))
except DataError as error:
    print(error)
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30)
    said, peak = done.stdout.splitlines()
    assert re.search(message, said), said
    assert int(peak) * 1024 < 1e9


def test_pages_add_up_before_one_is_unpacked(tmp_path):
    write(tmp_path / "x.parquet", [bytes(10**7)] * 20, [0, 1] * 10, compression="zstd", use_dictionary=False)
    with pytest.raises(DataError, match=r"has [0-9,]+ bytes and unpacks to 200,"):
        read_claims(tmp_path / "x.parquet", ("image", "label"), holds_images=True)


def test_a_footer_that_would_end_the_process_in_arrow_is_one_sentence(tmp_path, pictures):
    """Each byte of a footer changed in turn: right, or refused, and we are still here."""
    whole = write_parquet(tmp_path / "x.parquet", pictures[:10], row_group_size=10).read_bytes()
    length = int.from_bytes(whole[-8:-4], "little")
    outcomes = set()
    for place in range(len(whole) - 8 - length, len(whole) - 8, 3):
        damaged = bytearray(whole)
        damaged[place] ^= 0x11
        (tmp_path / "x.parquet").write_bytes(damaged)
        try:
            read_claims(tmp_path / "x.parquet", ("image", "label"), holds_images=True)
            outcomes.add("right")
        except DataError as error:
            outcomes.add("refused" if "x.parquet" in str(error) else str(error))
    assert outcomes == {"right", "refused"}


@pytest.mark.parametrize(
    "options", [{}, {"data_page_version": "2.0"}, {"write_page_checksum": True}, {"compression": "zstd"}]
)
def test_the_heads_of_pages_add_up_to_what_the_footer_says(tmp_path, options):
    images = [encoded(picture(seed)) for seed in range(40)]
    write(tmp_path / "x.parquet", images, [0, 1] * 20, data_page_size=2000, row_group_size=30, **options)
    assert sum(from_parquet(tmp_path / "x.parquet").split_sizes.values()) == 40
    metadata = pq.read_metadata(tmp_path / "x.parquet")
    with (tmp_path / "x.parquet").open("rb") as file:
        chunk = metadata.row_group(0).column(0)
        place = chunk.dictionary_page_offset or chunk.data_page_offset
        end, values = place + chunk.total_compressed_size, 0
        while place < end:
            file.seek(place)
            reader = Compact(file.read(5000))
            head = reader.struct()
            values += next((head[kind][1] for kind in (5, 8) if kind in head), 0)
            place += reader.place + head[3]
    assert values == 30


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (os.mkfifo, "x.parquet is a named pipe, expected a regular file"),
        (lambda path: Path(path).symlink_to("gone"), "x.parquet is a link to 'gone'"),
        (lambda path: Path(path).symlink_to("/dev/zero"), "x.parquet is a character device"),
    ],
)
@pytest.mark.parametrize("named", ["x.parquet", "", "*.parquet"])
def test_what_is_no_file_is_no_table(tmp_path, make, message, named):
    make(tmp_path / "x.parquet")
    with pytest.raises(DataError, match=message):
        from_parquet(tmp_path / named)


def test_a_glob_does_not_follow_links_round(tmp_path, pictures):
    write_parquet(tmp_path / "deep" / "a.parquet", pictures)
    for name in ("one", "two"):
        (tmp_path / "deep" / name).symlink_to(tmp_path)
    with pytest.raises(DataError, match=r"is the same folder as .*, by a link"):
        from_parquet(tmp_path / "**" / "*.parquet")


@pytest.mark.parametrize("cut", [4, 50, 200, 2000])
def test_a_file_cut_short_is_one_sentence(tmp_path, pictures, cut):
    whole = write_parquet(tmp_path / "x.parquet", pictures)
    whole.write_bytes(whole.read_bytes()[:-cut])
    with pytest.raises(DataError, match=r"x.parquet cannot be read as Parquet"):
        from_parquet(whole)
