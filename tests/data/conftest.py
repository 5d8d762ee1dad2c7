"""The same small images as a folder of class folders and as Parquet."""

from pathlib import Path

import pytest
from small_pictures import encoded, picture, write_folder, write_parquet


@pytest.fixture(scope="session")
def pictures() -> list[tuple[int, bytes]]:
    """30 labelled images of three classes, every third a JPEG."""
    return [(seed % 3, encoded(picture(seed), "JPEG" if seed % 4 == 0 else "PNG")) for seed in range(30)]


@pytest.fixture
def picture_folder(tmp_path, pictures) -> Path:
    return write_folder(tmp_path / "folder", pictures)


@pytest.fixture
def picture_parquet(tmp_path, pictures) -> Path:
    return write_parquet(tmp_path / "rows.parquet", pictures[::-1])
