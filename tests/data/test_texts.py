"""Pictures with texts go the way of all pictures, and equal content is equal data from every layout."""

import dataclasses
import json
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.texted_pictures import LAYOUTS, as_lines, as_table, as_tar, put, told_pictures

from levelfield.data import kept_digests
from levelfield.data.audit import SeenAudit
from levelfield.data.ingest.build import build
from levelfield.data.ingest.columns import TextsSaid
from levelfield.data.ingest.places import PlaceSaid, forms_at, listed_forms, texted_at, texts_counted
from levelfield.data.ingest.verify import verified
from levelfield.data.loader import Loader
from levelfield.data.order import Order
from levelfield.data.sources import open_source
from levelfield.data.sources.texted import TextedSource
from levelfield.data.texts import kept, texts_in, texts_of_cell, told
from levelfield.data.tokens import ByteTokens, ClipTokens, SeenTokens
from levelfield.records.data import TextedImagesSpec, data_identity
from levelfield.records.errors import DataError, SpecError
from levelfield.testing.sources import check_source

PICTURES = told_pictures()
SAID = {"resolution": 8, "select_examples": 6, "report_examples": 6, "candidates": 4, "tokenizer": "bytes"}
SPEC = TextedImagesSpec(path="…", context=40, **SAID)


@pytest.fixture(autouse=True)
def _nothing_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(kept_digests, "cached", lambda name: tmp_path / "cache" / name)


def source_at(path: Path, **more):
    found = open_source(dataclasses.replace(SPEC, path=str(path), **more))
    assert isinstance(found, TextedSource)
    return found


@pytest.mark.parametrize("layout", LAYOUTS)
def test_equal_content_is_equal_data_from_every_layout_and_when_built(layout, tmp_path):
    first = source_at(as_tar(tmp_path / "first", PICTURES))
    path = LAYOUTS[layout](tmp_path / "other", PICTURES[::-1])
    other = source_at(path)
    check_source(other)
    assert other.fingerprint == first.fingerprint
    place = PlaceSaid(path=str(path), texts=TextsSaid())
    for in_place in (False, True)[: 1 + (layout != "parquet")]:
        build(listed_forms(place), tmp_path / f"built{in_place}", in_place=in_place)
        built = source_at(tmp_path / f"built{in_place}")
        assert built.fingerprint == first.fingerprint
        ids, keys = np.arange(12), np.arange(12, dtype=np.uint64)
        for split in ("train", "report"):
            of_each = [source.batch(split, ids[:6], keys[:6]).fields for source in (first, other, built)]
            for name in ("image", "text", "label"):
                assert all(np.array_equal(of_each[0][name], fields[name]) for fields in of_each[1:]), name
    assert verified(forms_at(PlaceSaid(path=str(tmp_path / "builtFalse")), str(tmp_path / "builtFalse"))["train"])[1]
    assert data_identity(dataclasses.replace(SPEC, path="a")) == data_identity(dataclasses.replace(SPEC, path="b"))


def test_built_shards_are_read_again_by_whoever_reads_webdataset(tmp_path):
    path = as_lines(tmp_path / "lines", PICTURES)
    build(listed_forms(PlaceSaid(path=str(path), texts=TextsSaid())), tmp_path / "built")
    shards = str(tmp_path / "built" / "train" / "train-00000.tar")
    assert texts_counted(PlaceSaid(path=shards)) == texts_counted(PlaceSaid(path=str(tmp_path / "built")))
    again, once = (texted_at(PlaceSaid(path=place, texts=TextsSaid()))["train"] for place in (shards, str(path)))
    said = [{each.texts(row) for row in range(len(each))} for each in (again, once)]
    assert said[0] == said[1]


def test_every_text_of_a_picture_is_drawn_by_seed_epoch_and_example_and_each_picture_once_an_epoch(tmp_path):
    source = source_at(as_table(tmp_path / "table", PICTURES), augment="none")
    size = source.split_sizes["train"]
    order = Order(num_examples=size, seed=0, fingerprint=source.fingerprint)
    seen: dict[int, set[bytes]] = {}
    digests = []
    for step, batch in zip(range(40 * size // 4), Loader(source, order=order, global_batch_size=4), strict=False):
        assert batch.fields["text"].shape == (4, 1, 40)
        for place, text in zip(batch.ids.tolist(), batch.fields["text"].numpy(), strict=True):
            seen.setdefault(place, set()).add(text.tobytes())
        if 4 * (step + 1) % size == 0:
            digests.append(batch.audited(SeenAudit()))
    whole = source.batch("train", np.arange(size)).fields["text"]
    said = [{text.tobytes() for text in texts[:, None] if text.any()} for texts in whole]
    assert [seen[place] for place in range(size)] == said  # 40 epochs meet each of up to three
    ids = np.concatenate([order.ids(np.arange(size))[1]])
    assert sorted(ids.tolist()) == list(range(size))
    keys = order.augment_keys(np.zeros(size, dtype=np.int64), np.zeros(size, dtype=np.int64))
    one, two = (source.batch("train", part, keys[part]).fields["text"] for part in (np.arange(size), np.array([3])))
    assert np.array_equal(one[3], two[0])


def test_twins_that_are_told_otherwise_are_two_examples(tmp_path):
    twins = [PICTURES[0], PICTURES[0]._replace(texts=("something else",)), *PICTURES[1:]]
    prints = {
        source_at(LAYOUTS[layout](tmp_path / f"{layout}{turn}", twins[::turn])).fingerprint
        for layout in ("tar", "lines", "parquet")
        for turn in (1, -1)
    }
    assert len(prints) == 1
    store = texted_at(PlaceSaid(path=str(tmp_path / "tar1" / "pairs.tar"), texts=TextsSaid()))["train"]
    assert len(store) == len(twins)


def test_classes_are_told_by_their_names_in_every_prompt(tmp_path):
    source = source_at(as_tar(tmp_path / "tar", PICTURES), prompts=("a photo of {}.", "{}"))
    assert source.class_names == ("blue", "green", "red", "yellow")
    assert source.prompts is not None
    assert source.prompts.shape == (4, 2, 40)
    assert bytes(source.prompts[2, 1][1:4].astype(np.uint8) - 1) == b"red"
    assert source_at(as_tar(tmp_path / "plain", PICTURES, labelled=False)).prompts is None


def test_texts_are_kept_as_they_are_said():
    assert told([" b", "a ", "b", "", "\ud800"]) == ("a", "b")
    assert texts_in(kept(("ü", 'a "b"', "[c]"))) == ("ü", 'a "b"', "[c]")
    assert texts_of_cell('["a", "b"]') == ("a", "b")
    assert texts_of_cell("[sic]") == ("[sic]",)


def test_tokens_are_those_of_open_clip_and_rare_ones_share_a_number():
    texts = ["A dog runs!  ! on the beach", "naïve café — 100 % ☕", "", "x " * 50]
    module = pytest.importorskip("regex") and ClipTokens()
    found = module(texts, 16)
    assert found.shape == (4, 16)
    assert found[0, [0, 1, 2, 4]].tolist() == [49406, 320, 1929, 256]  # a, dog and ! as they are published
    assert (found.max(axis=1) == 49407).all()
    seen = SeenTokens(module, module(texts[:1], 16))
    own = seen([*texts, "a cat"], 16)
    assert seen.vocabulary == own.max() + 1
    assert (own.argmax(axis=1) == np.append(found.argmax(axis=1), 3)).all()  # the end is the highest of all
    assert 1 in own[4]
    assert ByteTokens()(["aé"], 5).tolist() == [[257, 98, 196, 170, 258]]


def write(path: Path, text: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def broken_table(root: Path, rows: str) -> Path:
    write(root / "a.png", PICTURES[0].png)
    write(root / "b.png", PICTURES[1].png)
    return write(root / "t.csv", rows)


def no_text_in_tar(root: Path) -> Path:
    root.mkdir()
    with tarfile.open(root / "x.tar", "w") as archive:
        for number, beside in enumerate(
            ({"cls": b"1"}, {"json": b'{"caption": 3, "label": 1}'}, {"txt": b"\xff\xfe\xff"})
        ):
            put(archive, f"{number}.png", PICTURES[number].png)
            for ending, content in beside.items():
                put(archive, f"{number}.{ending}", content)
    return root / "x.tar"


def wrong_kind(root: Path) -> Path:
    root.mkdir()
    pq.write_table(pa.table({"image": [PICTURES[0].png], "caption": [[1, 2]]}), root / "x.parquet")
    return root / "x.parquet"


HOSTILE = {
    "a row without a text": (
        lambda root: broken_table(root, "file,caption\na.png,one\nb.png,\n"),
        "line 3 .*has no text",
    ),
    "two labels of one picture": (
        lambda root: broken_table(root, "file,caption,label\na.png,one,x\na.png,two,y\n"),
        "different labels",
    ),
    "a path that leads out": (lambda root: broken_table(root, "file,caption\n../a.png,one\n"), "no path below"),
    "a file that is not there": (lambda root: broken_table(root, "file,caption\nc.png,one\n"), "no file there"),
    "no column of texts": (lambda root: broken_table(root, "file\na.png\nb.png\n"), "column of texts"),
    "several columns of texts": (lambda root: broken_table(root, "file,en,de\na.png,one,eins\n"), "could each be"),
    "nothing said in a tar": (no_text_in_tar, "says nothing of its pictures"),
    "numbers for texts": (wrong_kind, "must hold text, or lists of it"),
    "a folder": (lambda root: write(root / "a" / "x.png", PICTURES[0].png).parent.parent, "nothing is said there"),
    "too few to tell apart": (lambda root: as_tar(root, PICTURES[:13]), "lower"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_what_cannot_be_meant_is_refused(case, tmp_path):
    make, said = HOSTILE[case]
    with pytest.raises(DataError, match=said):
        source_at(make(tmp_path / "data"), candidates=7 if case.startswith("too few") else 2)


def test_specs_that_cannot_be_meant_are_refused():
    for field, value in (
        ("prompts", ("no name",)),
        ("context", 2),
        ("captions", 0),
        ("candidates", 1),
        ("prompts", ()),
    ):
        with pytest.raises(SpecError, match=field):
            dataclasses.replace(SPEC, path="x", **{field: value})
    with pytest.raises(SpecError, match="least_crop_area"):
        dataclasses.replace(SPEC, path="x", augment="none", least_crop_area=0.5)


def test_the_verbs_of_data_say_what_is_said(invoke, tmp_path):
    path = as_table(tmp_path / "table", PICTURES, labelled=False)
    texts = sum(len(each.texts) for each in PICTURES)
    for words in (["inspect", path], ["build", path, tmp_path / "out", "--workers", 1]):
        code, said, _ = invoke("data", *words, "--text-column", "caption")
        assert code == 0
        assert f"{texts} texts are said of 24 of them" in said
    assert invoke("data", "verify", tmp_path / "out")[0] == 0
    code, said, _ = invoke("data", "inspect", tmp_path / "out", "--json")
    assert code == 0
    assert json.loads(said)["parts"]["train"]["num_texts"] == texts
    code, _, error = invoke("data", "build", path, tmp_path / "other", "--text-column", "captoin")
    assert code == 2
    assert "did you mean 'caption'" in error


def test_a_changed_index_of_texts_is_noticed(tmp_path):
    build(listed_forms(PlaceSaid(path=str(as_tar(tmp_path / "tar", PICTURES)))), tmp_path / "out")
    index = tmp_path / "out" / "train" / "texts.arrow"
    content = index.read_bytes()
    index.write_bytes(content.replace(b"over", b"OVER"))
    assert index.read_bytes() != content
    with pytest.raises(DataError, match="changed or damaged"):
        source_at(tmp_path / "out")
