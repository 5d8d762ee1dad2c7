"""The same images from Parquet and from a folder, on one worker and on two: the same results, byte for byte."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.conftest import TINY_STUDY, lasting_files, run

pytestmark = pytest.mark.slow

CIFAR = Path(__file__).parents[3] / "shared" / "data" / "cifar10_jpeg_test.parquet"

DATA = """
[data]
source = "{source}"
path = "{path}"
resolution = 32
select_examples = 500
report_examples = 1000
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """CIFAR-10's 10,000 test images as class folders, the bytes untouched."""
    if not CIFAR.exists():
        pytest.skip(f"needs CIFAR-10 as JPEG in {CIFAR.name}, beside the repository in shared/data")
    root = tmp_path_factory.mktemp("cifar10")
    table = pq.read_table(CIFAR)
    for label, image, name in zip(*(table[key].to_pylist() for key in ("label", "image", "file")), strict=True):
        path = root / f"{label}" / name.replace("/", "-")
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(image)
    return root


def finished_study(tmp_path, name, source, path, workers):
    before, _, after = TINY_STUDY.partition("[data]")
    _, _, ladder = after.partition("[ladder]")
    # At 32 px the same nets cost about six times as much an image.
    ladder = ladder.replace("budgets = [1.36e8]", "budgets = [8.1e8]")
    study = tmp_path / f"{name}.toml"
    study.write_text(f"{before}{DATA.format(source=source, path=path)}\n[ladder]{ladder}")
    done = run("run", study, "--dir", tmp_path / name, "--workers", workers, timeout=600)
    assert done.returncode == 0, done.stderr
    files = lasting_files(tmp_path / name)
    assert any(name.endswith("report_losses.npy") for name in files)
    # study.json and spec.json say where the images lie; everything else is what came of them.
    return {name: content for name, content in files.items() if Path(name).name not in ("study.json", "spec.json")}


def test_container_and_workers_change_nothing(folder, tmp_path):
    from_parquet = finished_study(tmp_path, "parquet-1", "parquet", CIFAR, workers=1)
    assert finished_study(tmp_path, "parquet-2", "parquet", CIFAR, workers=2) == from_parquet
    assert finished_study(tmp_path, "folder-2", "folder", folder, workers=2) == from_parquet
