"""What ``levelfield data build`` makes: whole or gone on with, counted, nowhere else, and never taken for another."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_pictures import encoded, picture
from tests.formats import FORMATS, put

from levelfield.data import kept_digests
from levelfield.data.index import Index, ListedRows
from levelfield.data.ingest.build import build
from levelfield.data.ingest.built import read_manifest, sha256_of
from levelfield.data.ingest.places import PlaceSaid, forms_at, judged_at, listed_forms, looked_at, stores_at
from levelfield.data.ingest.verify import verified
from levelfield.records.errors import DataError, StoreError
from levelfield.records.sealed import write_record
from levelfield.testing.readers import Pictures, expected_table, table_of


@pytest.fixture
def named() -> Pictures:
    return [(("apple", "bee", "cat")[seed % 3], encoded(picture(seed))) for seed in range(40)]


def built(place: PlaceSaid, out: Path, **more) -> PlaceSaid:
    build(listed_forms(place), out, **more)
    return PlaceSaid(path=str(out))


def test_processes_together_make_what_one_makes(named, tmp_path):
    place = FORMATS["folder"](tmp_path / "data", named)
    one = built(place, tmp_path / "one", shard_bytes=4000)
    two = built(place, tmp_path / "two", shard_bytes=4000, workers=2)
    files = [
        sorted(each.relative_to(root) for each in root.rglob("*")) for root in (tmp_path / "one", tmp_path / "two")
    ]
    assert files[0] == files[1]
    assert len(list((tmp_path / "one").rglob("*.tar"))) > 5
    for file in files[0]:
        if (tmp_path / "one" / file).is_file():
            assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    assert table_of(judged_at(two)) == table_of(judged_at(one)) == expected_table(named)


def test_a_shard_is_what_webdataset_reads(named, tmp_path):
    """Files of one key stand together, KEY.cls is the number of the class; the tar needs nothing of ours."""
    built(FORMATS["webdataset_json"](tmp_path / "data", named), tmp_path / "out")
    place = PlaceSaid(path=str(tmp_path / "data"), label_column="kind")
    found: dict[str, dict[str, bytes]] = {}
    with tarfile.open(next((tmp_path / "out").rglob("*.tar"))) as archive:
        for member in archive:
            key, _, ending = member.name.partition(".")
            content = archive.extractfile(member)
            assert content is not None
            found.setdefault(key, {})[ending] = content.read()
    names = judged_at(place).classes.names
    seen = sorted((names[int(each["cls"])], each["png"], each["txt"].decode()) for each in found.values())
    assert seen == sorted((name, content, f"a picture of {name}") for name, content in named)


SCRIPT = """
import sys
from levelfield.data.ingest import packing
from levelfield.data.ingest.build import build
from levelfield.data.ingest.places import PlaceSaid, listed_forms
if __name__ == "__main__":
    from pathlib import Path
    forms = listed_forms(PlaceSaid(path=sys.argv[1]))
    build(forms, Path(sys.argv[2]), shard_bytes=3000, told=lambda progress: print(progress.done, flush=True))
"""


def test_a_build_that_was_killed_goes_on_and_makes_the_same(named, tmp_path):
    place = FORMATS["folder"](tmp_path / "data", named)
    whole = built(place, tmp_path / "whole", shard_bytes=3000)
    start = [sys.executable, "-c", SCRIPT, place.path, str(tmp_path / "out")]
    running = subprocess.Popen(start, stdout=subprocess.PIPE, text=True)
    assert running.stdout is not None
    while int(running.stdout.readline()) < 10:
        pass
    running.send_signal(signal.SIGKILL)
    running.wait()
    running.stdout.close()
    with pytest.raises(DataError, match=r"out is not built to its end: run `levelfield data build` again"):
        judged_at(PlaceSaid(path=str(tmp_path / "out")))
    kept = sorted((tmp_path / "out" / ".building").glob("train-*.json"))
    assert kept
    before = {path.name: path.stat().st_mtime_ns for path in kept}
    seen: list[int] = []
    build(listed_forms(place), tmp_path / "out", shard_bytes=3000, told=lambda progress: seen.append(progress.done))
    assert seen[0] > 0, "what was done is not done again"
    assert before
    assert read_manifest(tmp_path / "out") == read_manifest(tmp_path / "whole")
    assert table_of(judged_at(whole)) == table_of(judged_at(PlaceSaid(path=str(tmp_path / "out"))))
    assert not (tmp_path / "out" / ".building").exists()


def test_a_build_that_was_begun_of_other_files_begins_anew(named, tmp_path):
    place = FORMATS["folder"](tmp_path / "data", named)
    work = tmp_path / "out" / ".building"
    work.mkdir(parents=True)
    (work / "train-00000.json").write_text("{}")
    (work / "train-00000.tar").write_text("half")
    assert table_of(judged_at(built(place, tmp_path / "out"))) == expected_table(named)


def test_nothing_is_overwritten_that_was_not_built_here(named, tmp_path):
    place = FORMATS["folder"](tmp_path / "data", named)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years")
    with pytest.raises(StoreError, match="mine holds something that was not built here"):
        built(place, tmp_path / "mine")
    done = built(place, tmp_path / "out")
    with pytest.raises(StoreError, match="out holds a data set already"):
        built(place, tmp_path / "out")
    with pytest.raises(DataError, match="was built already"):
        built(done, tmp_path / "again")
    with pytest.raises(StoreError, match="lies inside of"):
        built(place, tmp_path / "data" / "built")


def phone(root: Path) -> Path:
    """Two albums as a phone leaves them."""
    for album, seed in (("beach", 0), ("garden", 100)):
        folder = root / album
        folder.mkdir(parents=True)
        for number in range(8):
            (folder / f"IMG_{number}.JPG").write_bytes(encoded(picture(seed + number, (64, 48)), "JPEG"))
        (folder / "IMG_E3.JPG").write_bytes(encoded(picture(seed + 3, (64, 48)).rotate(3), "JPEG"))
        (folder / "IMG_3 (1).JPG").write_bytes((folder / "IMG_3.JPG").read_bytes())
        (folder / "IMG_3.MOV").write_bytes(b"\0\0\0\x14ftypqt  ")
        (folder / "IMG_E3.AAE").write_text("<plist/>")
        (folder / "Thumbs.db").write_bytes(b"\xd0\xcf")
        (folder / ".DS_Store").write_bytes(b"\0")
        (folder / "IMG_9.JPG").write_bytes((folder / "IMG_1.JPG").read_bytes()[:700])
        (folder / "IMG_10.JPG").write_bytes(b"")
        (folder / "IMG_11.JPG").write_bytes(b"%PDF-1.7\n")
        (folder / "IMG_12.PNG").write_bytes(encoded(Image.fromarray(np.zeros((9, 9), dtype=np.uint16))))
        mpo = io.BytesIO()
        picture(seed + 50, (64, 48)).save(mpo, "MPO", save_all=True, append_images=[picture(seed + 51, (64, 48))])
        (folder / "IMG_13.JPG").write_bytes(mpo.getvalue())
    return root


def test_an_album_straight_from_a_phone_is_built_and_what_is_no_picture_counted(tmp_path, invoke):
    root = phone(tmp_path / "photos")
    code, said, _ = invoke("data", "build", root, tmp_path / "out", "--workers", 1)
    assert code == 0
    assert "train: 22 pictures of 2 classes" in said
    assert "2 of them are there twice, byte for byte" in said
    assert read_manifest(tmp_path / "out").skipped == {
        "video": 2,
        "sidecar": 2,
        "damaged": 2,
        "empty": 2,
        "format": 2,
        "pixels": 2,
    }
    with open(tmp_path / "out" / "skipped.csv", newline="") as file:
        rows = {row["name"]: row for row in csv.DictReader(file)}
    assert rows["beach/IMG_9.JPG"]["why"] == "damaged"
    assert "truncated" in rows["beach/IMG_9.JPG"]["seen"]
    assert rows["garden/IMG_11.JPG"]["seen"].startswith("PDF, expected JPEG")
    assert "left out: 2 videos, such as those beside live photos" in said
    with pytest.raises(DataError, match=r"IMG_(3.MOV|E3.AAE) is not named like an image .*levelfield data build"):
        judged_at(PlaceSaid(path=str(root)))


def test_names_in_what_is_built_tell_nothing_of_the_machine(named, tmp_path):
    for form in ("folder", "parquet", "tar_of_folders", "saved_to_disk"):
        place = FORMATS[form](tmp_path / form, named)
        store = judged_at(built(place, tmp_path / f"{form}-built"))
        for path in (tmp_path / f"{form}-built").rglob("*"):
            assert path.is_dir() or str(tmp_path).encode() not in path.read_bytes(), path
        assert store.name(0).endswith("train-00000.tar")


def test_a_tar_leads_nowhere_and_what_would_is_counted(tmp_path):
    """Names that lead out, links, devices and holes: nothing of them is read or written."""
    (tmp_path / "secret").write_bytes(encoded(picture(1)))
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        for number in range(6):
            put(archive, f"cat/{number}.png", encoded(picture(number)))
            put(archive, f"dog/{number}.png", encoded(picture(10 + number)))
        put(archive, "../cat/out.png", encoded(picture(90)))
        put(archive, "cat/../../out.png", encoded(picture(91)))
        put(archive, "/cat/out.png", encoded(picture(92)))
        for kind, name in (
            (tarfile.SYMTYPE, "cat/sym.png"),
            (tarfile.LNKTYPE, "cat/hard.png"),
            (tarfile.FIFOTYPE, "cat/p.png"),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, str(tmp_path / "secret")
            archive.addfile(info)
    before = set(tmp_path.rglob("*"))
    manifest = build(listed_forms(PlaceSaid(path=str(tmp_path / "x.tar"))), tmp_path / "out")
    assert manifest.parts["train"].contents.num_examples == 12
    assert manifest.skipped == {"outside": 3, "link": 2, "special": 1}
    assert {path for path in set(tmp_path.rglob("*")) - before if tmp_path / "out" not in path.parents} == {
        tmp_path / "out"
    }


@pytest.mark.parametrize("damage", ["shard", "index", "manifest", "gone"])
def test_what_was_changed_after_it_was_built_is_found_by_verify_and_by_who_reads_it(damage, named, tmp_path, invoke):
    place = built(FORMATS["folder"](tmp_path / "data", named), tmp_path / "out")
    assert invoke("data", "verify", tmp_path / "out")[0] == 0
    out = tmp_path / "out"
    file = {"shard": out / "train/train-00000.tar", "index": out / "train/index.arrow"}.get(
        damage, out / "manifest.json"
    )
    if damage == "gone":
        (out / "train/train-00000.tar").unlink()
    else:
        content = bytearray(file.read_bytes())
        at = {
            "shard": content.find(b"IDAT") + 20,
            "index": content.find(b"IMG_"),
            "manifest": content.find(b'"twins"') + 10,
        }[damage]
        content[at] ^= 1
        file.chmod(0o644)
        file.write_bytes(content)
    code, _, complaint = invoke("data", "verify", tmp_path / "out")
    assert code == 2
    assert "fetch" in complaint
    with pytest.raises((DataError, OSError)):
        table_of(judged_at(place))


def test_an_index_of_a_built_set_is_hashed_once(named, tmp_path, monkeypatch):
    from levelfield.data.ingest import built as built_module

    monkeypatch.setenv("LEVELFIELD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(kept_digests, "RACY_NS", -(10**12))
    place = built(FORMATS["folder"](tmp_path / "data", named), tmp_path / "out")
    expected = table_of(judged_at(place))
    real, hashed = built_module.sha256_of, []
    monkeypatch.setattr(built_module, "sha256_of", lambda path: hashed.append(path) or real(path))
    assert table_of(judged_at(place)) == expected
    assert not hashed
    index = tmp_path / "out" / "train" / "index.arrow"
    os.utime(index)
    assert table_of(judged_at(place)) == expected
    assert hashed == [index]


@pytest.mark.parametrize("forged", ["shards", "labels", "names"])
def test_what_was_forged_with_its_seals_is_refused(forged, named, tmp_path):
    """Who writes an index can write a manifest of it: what they say must still be possible."""
    place = built(FORMATS["folder"](tmp_path / "data", named), tmp_path / "out")
    manifest, path = read_manifest(tmp_path / "out"), tmp_path / "out/train/index.arrow"
    index, part = Index.open(path), read_manifest(tmp_path / "out").parts["train"]
    rows = ListedRows(
        label=index.labels + np.int32(forged == "labels"),
        digest=index.digests,
        shard=index.shards + np.uint32(7 * (forged == "shards")),
        offset=index.offsets,
        length=index.lengths,
    )
    shards = tuple(dataclasses.replace(shard, name="../../data/x") for shard in part.shards)
    path.unlink()
    Index.unordered(rows).write(path)
    part = dataclasses.replace(part, index_sha256=sha256_of(path), shards=shards if forged == "names" else part.shards)
    write_record(tmp_path / "out/manifest.json", dataclasses.replace(manifest, parts={"train": part}))
    said = {
        "shards": "names shards that its",
        "labels": "other pictures than its manifest",
        "names": "not in its folder",
    }
    with pytest.raises(DataError, match=said[forged]):
        judged_at(place)


def test_held_out_pictures_that_are_trained_on_are_named_before_anything_is_spent(tmp_path, invoke):
    """One byte for byte, one saved again at another size and quality, and nothing else."""
    for part, first, number in (("Train", 0, 20), ("valid", 500, 6)):
        for seed in range(first, first + number):
            file = tmp_path / "data" / part / ("cat", "dog")[seed % 2] / f"{seed}.jpg"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(encoded(picture(seed, (96, 80)), "JPEG"))
    held_out = tmp_path / "data" / "valid" / "cat"
    (held_out / "same.jpg").write_bytes((tmp_path / "data/Train/cat/4.jpg").read_bytes())
    smaller = io.BytesIO()
    picture(7, (96, 80)).resize((72, 60)).save(smaller, "JPEG", quality=60)
    (held_out / "resaved.jpg").write_bytes(smaller.getvalue())
    code, said, _ = invoke("data", "inspect", tmp_path / "data", "--json", "--out", tmp_path / "sheets")
    assert code == 0
    found = json.loads(said)
    leaks = found["leaks"]["val"]
    assert (leaks["exact"], leaks["near"]) == (1, 1)
    named = {Path(each["held_out"]).name: Path(each["trained"]).name for each in leaks["named"]}
    assert named == {"same.jpg": "4.jpg", "resaved.jpg": "7.jpg"}
    assert found["parts"]["train"]["num_by_class"] == {"cat": 10, "dog": 10}
    assert found["parts"]["val"]["sides"]["shorter"] == [60, 80, 80]
    with Image.open(tmp_path / "sheets" / "train.png") as sheet:
        assert sheet.size == (960, 192)


def test_without_a_held_out_part_pictures_that_are_there_again_are_named(tmp_path, invoke):
    """An edited copy beside its original: a split drawn out of both would part them."""
    for seed in range(12):
        file = tmp_path / "data" / ("cat", "dog")[seed % 2] / f"IMG_{seed}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(encoded(picture(seed, (96, 80)), "JPEG"))
    (tmp_path / "data/cat/copy.jpg").write_bytes((tmp_path / "data/cat/IMG_2.jpg").read_bytes())
    edited = picture(4, (96, 80)).point([min(255, int(1.05 * value)) for value in range(256)] * 3)
    (tmp_path / "data/cat/IMG_E4.jpg").write_bytes(encoded(edited, "JPEG"))
    code, said, _ = invoke("data", "inspect", tmp_path / "data", "--json")
    assert code == 0
    leaks = json.loads(said)["leaks"]["train"]
    assert (leaks["exact"], leaks["near"]) == (1, 1)
    (named,) = leaks["named"]
    assert {Path(named[side]).name for side in ("held_out", "trained")} == {"IMG_4.jpg", "IMG_E4.jpg"}


def test_parts_travel_into_what_is_built(named, tmp_path):
    for number, (name, content) in enumerate(named):
        part = ("train", "train", "test", "val")[number % 4]
        file = tmp_path / "data" / part / name / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    place = PlaceSaid(path=str(tmp_path / "data"))
    made = built(place, tmp_path / "out")
    for plain, packed in zip(stores_at(place), stores_at(made), strict=True):
        assert plain is not None
        assert packed is not None
        assert table_of(packed) == table_of(plain)
    assert set(forms_at(made, made.path)) == {"train", "test", "val"}


def test_opening_what_was_built_reads_the_index_of_no_row(named, tmp_path):
    place = built(FORMATS["folder"](tmp_path / "data", named), tmp_path / "out")
    begun = time.process_time()
    for _ in range(20):
        judged_at(place)
    assert (time.process_time() - begun) / 20 < 0.05


def test_verify_of_what_was_not_built_hashes_it_anew(named, tmp_path, invoke):
    place = FORMATS["parquet"](tmp_path / "data", named)
    code, said, _ = invoke("data", "verify", place.path)
    assert code == 0
    assert "listed and hashed anew: nothing to compare it with" in said
    contents, compared = verified(forms_at(place, place.path)["train"])
    assert (contents.num_examples, compared) == (40, False)
    stores, skipped = looked_at(place)
    assert (set(stores), skipped) == ({"train"}, [])
