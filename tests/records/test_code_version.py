"""Which code made a result, where there is a checkout and where there is none."""

from pathlib import Path

import pytest

from levelfield import __version__
from levelfield.records import code_version as module


@pytest.fixture
def copied(tmp_path: Path, monkeypatch):
    """The code as it lies on a machine to which it was copied without its repository."""
    monkeypatch.setattr(module, "__file__", str(tmp_path / "src" / "levelfield" / "records" / "code_version.py"))
    monkeypatch.delenv(module.SAID, raising=False)
    module.code_version.cache_clear()
    yield monkeypatch
    module.code_version.cache_clear()


def test_a_copy_without_its_repository_names_the_version_alone(copied):
    assert module.code_version() == __version__


def test_the_commit_that_a_copy_is_said_to_be_is_marked_as_said(copied):
    copied.setenv(module.SAID, "e0728df5352c8a7b")
    assert module.code_version() == f"{__version__}+ge0728df5352c.said"
