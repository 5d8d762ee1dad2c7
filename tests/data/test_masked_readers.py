"""Every format of pictures with masks: the same rows, the same batches, and right refusals."""

import io
import tarfile
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.far_away import BadServer
from tests.formats import put
from tests.masked_formats import MASKED_FORMATS, NAMES, SAID
from tests.masked_pictures import pair, png, rows, write_pairs
from tests.narrowed import of_kind

from levelfield.cli.data import masked_data
from levelfield.data.arranged import training_order
from levelfield.data.ingest.build import build
from levelfield.data.ingest.mask_classes import MasksSaid
from levelfield.data.ingest.masked_places import MaskedPlaceSaid, is_masked_place, listed_pairs, masked_stores_at
from levelfield.data.ingest.places import PlaceSaid, judged_at
from levelfield.data.loader import Loader
from levelfield.data.sources import open_source
from levelfield.data.sources.masked import MaskedSource
from levelfield.records.data import MaskedImagesSpec
from levelfield.records.errors import DataError
from levelfield.testing.masked_readers import Pairs, check_masked_reader, expected_pairs, pairs_of


def jpeg(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "jpeg")
    return file.getvalue()


@pytest.fixture(scope="module")
def pairs() -> Pairs:
    made = [pair(number) for number in range(12)]
    return [
        (f"film_{number:04d}", (png if number % 2 else jpeg)(picture), png(mask))
        for number, (picture, mask) in enumerate(made)
    ]


@pytest.mark.parametrize("form", MASKED_FORMATS)
def test_a_format_is_read_as_the_pairs_that_were_written(form, pairs, tmp_path):
    check_masked_reader(MASKED_FORMATS[form], pairs, tmp_path)


@pytest.mark.parametrize("form", [form for form in MASKED_FORMATS if form != "folder"])
def test_a_format_gives_the_batches_that_a_folder_gives(form, pairs, tmp_path):
    def batches(place: MaskedPlaceSaid) -> list[bytes]:
        said: dict[str, Any] = {"path": place.path, "sequence_column": place.sequence_column}
        said |= {"num_classes": place.masks.num_classes, "ignore_index": place.masks.ignore_index}
        spec = MaskedImagesSpec(**said, resolution=16, select_examples=2, report_examples=2, stretch=2)
        source = open_source(spec)
        fields = source.batch("train", np.arange(8), np.arange(8, dtype=np.uint64)).fields
        return [source.fingerprint.encode(), *(value.tobytes() for value in fields.values())]

    one, other = (MASKED_FORMATS[name](tmp_path / name, pairs) for name in ("folder", form))
    assert batches(one) == batches(other)


@pytest.mark.parametrize("form", ["tar_of_pairs", "webdataset_pairs", "webdataset_of_two_endings"])
def test_tars_of_masks_are_known_for_what_they_are(form, pairs, tmp_path):
    place = MASKED_FORMATS[form](tmp_path / "data", pairs)
    assert is_masked_place(place.path)
    with pytest.raises(DataError, match="'masked-images'"):
        judged_at(PlaceSaid(path=place.path))


def test_labelled_tars_are_not_taken_for_masks(pairs, tmp_path):
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        for name, picture, _ in pairs:
            put(archive, f"{name[-1]}/{name}.jpg", picture)
    assert not is_masked_place(str(tmp_path / "x.tar"))
    with pytest.raises(DataError, match="holds no pictures with masks"):
        masked_stores_at(MaskedPlaceSaid(path=str(tmp_path / "x.tar"), masks=SAID))


def test_tars_are_parts_by_their_names_and_what_has_no_counterpart_is_counted(pairs, tmp_path):
    for part, own in (("train", pairs[:8]), ("val", pairs[8:])):
        with tarfile.open(tmp_path / f"{part}-000.tar", "w") as archive:
            put(archive, "classes.txt", NAMES.encode())
            for name, picture, mask in own:
                put(archive, f"{name}.jpg", picture)
                put(archive, f"{name}.mask.png", mask)
            put(archive, "lone.jpg", own[0][1])
            put(archive, "other.mask.png", own[0][2])
            put(archive, f"{own[0][0]}.jpg", own[1][1])
            for ending in ("jpg", "png", "webp"):
                put(archive, f"three.{ending}", own[0][1])
    place = MaskedPlaceSaid(path=str(tmp_path), masks=MasksSaid(ignore_index=3))
    stores = masked_stores_at(place)
    assert {split: pairs_of(store) for split, store in stores.items()} == {
        "train": expected_pairs(pairs[:8]),
        "select": expected_pairs(pairs[8:]),
    }
    manifest = build(listed_pairs(place), tmp_path.parent / f"{tmp_path.name}-built")
    assert manifest.skipped == {"unlabelled": 2, "missing": 2, "same-name": 8}


def test_a_tar_whose_parts_are_folders_has_these_parts(tmp_path):
    table = rows(8, 4, 4)
    root = write_pairs(tmp_path / "pairs", table)
    with tarfile.open(tmp_path / "pairs.tar", "w") as archive:
        archive.add(root, arcname=".")
    said = MasksSaid(ignore_index=3)
    here, packed = (masked_stores_at(MaskedPlaceSaid(path=str(path), masks=said)) for path in (root, f"{root}.tar"))
    assert {split: store.contents for split, store in here.items()} == {
        split: store.contents for split, store in packed.items()
    }
    assert packed["train"].frames == here["train"].frames


def test_far_away_pairs_are_the_same_data_fetched_ahead(pairs, tmp_path):
    pytest.importorskip("obstore", reason="levelfield[remote] is not installed")
    build(listed_pairs(MASKED_FORMATS["folder"](tmp_path / "data", pairs)), tmp_path / "built", shard_bytes=3000)
    said: dict[str, Any] = {"resolution": 16, "select": 2, "report": 2, "stretch": 2}
    with BadServer(tmp_path / "built", error=0.1) as server:
        assert is_masked_place(server.url)
        found = []
        for path in (str(tmp_path / "built"), server.url):
            source = open_source(masked_data(path, **said))
            assert of_kind(MaskedSource, source).far == (path == server.url)
            loader = Loader(source, order=training_order(source, 0), global_batch_size=5, end_examples=40, prefetch=1)
            found.append([value.numpy().tobytes() for batch in loader for value in batch.fields.values()])
        assert found[0] == found[1]
        assert len(found[0]) == 8 * 3
