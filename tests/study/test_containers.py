"""The same images from Parquet, from a folder and from what is built of a tar, on one worker and on two: the same
results, byte for byte."""

import io
import re
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from levelfield.data.ingest.build import build
from levelfield.data.ingest.places import PlaceSaid, listed_forms
from levelfield.study.run import run_study
from levelfield.study.spec_file import load_study
from tests.conftest import TINY_STUDY, lasting_files

pytestmark = pytest.mark.slow

DATA = """
[data]
source = "images"
path = "{path}"
resolution = 16
select_examples = 128
report_examples = 256
"""


@pytest.fixture(scope="module")
def containers(tmp_path_factory):
    """scikit-learn's handwritten digits as JPEG: once in a Parquet file, once as class folders, bytes alike."""
    root = tmp_path_factory.mktemp("digits")
    images, labels = load_digits(return_X_y=True)
    rows = []
    for number, (pixels, label) in enumerate(zip(np.reshape(images, (-1, 8, 8)), labels, strict=True)):
        picture = Image.fromarray((pixels * 15.9375).astype(np.uint8)).resize((16, 16))
        encoded = io.BytesIO()
        picture.convert("RGB").save(encoded, "JPEG", quality=90)
        rows.append({"image": encoded.getvalue(), "label": int(label)})
        path = root / "folder" / str(label) / f"{number:04}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded.getvalue())
    pq.write_table(pa.Table.from_pylist(rows), root / "digits.parquet", row_group_size=300)
    with tarfile.open(root / "digits.tar", "w") as archive:
        archive.add(root / "folder", "digits")
    build(listed_forms(PlaceSaid(path=str(root / "digits.tar"))), root / "built", shard_bytes=100_000)
    return {name: root / name for name in ("digits.parquet", "folder", "built")}


def results_of(tmp_path, path, workers):
    """The lasting files of a finished study of ViT, but those that say where the images lie."""
    before, _, after = TINY_STUDY.partition("[data]")
    _, _, ladder = after.partition("[ladder]")
    # In colour the same net costs more: this buys 500 steps of 8 within four epochs of the 1,413 images left.
    ladder = ladder[: ladder.index("[[families]]")].replace("[1.36e8]", "[1.95e8]")
    vit = re.sub(r"low = .*, start = (.*), high = .* }", r"low = \1, start = \1, high = \1 }", TINY_STUDY)
    vit = vit[vit.rindex("[[families]]") :]
    study = tmp_path / f"{path.stem}-{workers}.toml"
    study.write_text(f"{before}{DATA.format(path=path)}\n[ladder]{ladder}{vit}")
    run_study(load_study(study), study.with_suffix(""), num_workers=workers, device="cpu")
    files = lasting_files(study.with_suffix(""))
    assert any(name.endswith("report_loss.npy") for name in files)
    say_where = ("study.json", "sealed.json", "spec.json")
    return {name: content for name, content in files.items() if Path(name).name not in say_where}


def test_container_and_workers_change_nothing(containers, tmp_path):
    from_parquet = results_of(tmp_path, containers["digits.parquet"], 1)
    assert results_of(tmp_path, containers["digits.parquet"], 2) == from_parquet
    from_folder = results_of(tmp_path, containers["folder"], 2)
    assert from_folder.keys() == from_parquet.keys(), "the same images are the same trials"
    assert from_folder == from_parquet
    assert results_of(tmp_path, containers["built"], 2) == from_parquet
