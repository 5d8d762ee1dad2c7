"""A folder of class folders (the ImageFolder layout): sorted class names number the classes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from levelfield.data.index import Index
from levelfield.data.ingest.format import Listing
from levelfield.data.ingest.layout import IMAGE_SUFFIXES, class_folders, is_image, visible
from levelfield.data.manifest import Contents
from levelfield.data.stores.files import FilesStore
from levelfield.records.errors import DataError
from levelfield.records.files import FileRefusedError, walk

MAX_IMAGES = 2**25
"""Of a folder: twice ImageNet-21k. Listing and hashing as many files takes hours."""


class ClassFolders:
    """A :class:`levelfield.data.ingest.format.Format`: one folder a class, its sub-folders included, under ``root``."""

    rule = "class folders"

    def __init__(self, root: Path) -> None:
        self.of, self._root = str(root), root
        self._folders: list[Path] = []
        self._listed: list[tuple[int, str]] = []

    def files(self) -> list[str]:
        """See :meth:`levelfield.data.ingest.format.Format.files`."""
        if not self._listed:
            self._folders = class_folders(self._root)
            self._listed = list(_listed(self._root, self._folders))
        return [path for _, path in self._listed]

    def listed(self) -> Listing:
        """See :meth:`levelfield.data.ingest.format.Format.listed`."""
        files, number = self.files(), len(self._listed)
        return Listing(
            class_names=tuple(folder.name for folder in self._folders),
            sorted_as_text=True,
            labels=np.array([label for label, _ in self._listed], dtype=np.int64),
            shards=np.arange(number, dtype=np.uint32),
            offsets=np.zeros(number, dtype=np.uint64),
            lengths=np.zeros(number, dtype=np.uint64),
            names=[os.fsencode(os.path.relpath(path, self.of)) for path in files],
        )

    def store(self, index: Index, contents: Contents) -> FilesStore:
        """See :meth:`levelfield.data.ingest.format.Format.store`."""
        return FilesStore(self.of, index, contents)


def existing_folder(path: str) -> Path:
    """The folder that ``path`` names.

    Raises:
        DataError: there is none.
    """
    root = Path(path).expanduser()
    if not root.is_dir():
        raise DataError(f"path {path!r} is not a folder here ({root.absolute()}): expected a folder of class folders")
    return root


def _listed(root: Path, folders: Sequence[Path]) -> Iterator[tuple[int, str]]:
    """Labels and image files."""
    total = 0
    for label, folder in enumerate(folders):
        try:
            files = list(islice(_images(folder), MAX_IMAGES + 1))
        except FileRefusedError as error:
            raise DataError(str(error)) from None
        total += len(files)
        if total > MAX_IMAGES:
            raise DataError(f"{root} holds more than {MAX_IMAGES:,} images: keep as many in Parquet")
        if not files:
            raise DataError(f"class folder {folder} holds no images: remove it, or put its images there")
        yield from ((label, file) for file in files)


def _images(folder: Path) -> Iterator[str]:
    for directory, inner, files in walk(folder):
        inner[:] = filter(visible, inner)
        for name in filter(is_image, inner):
            raise DataError(f"{os.path.join(directory, name)} is a folder that is named like an image: rename it")
        for name in filter(visible, files):
            file = os.path.join(directory, name)
            if not is_image(name):
                known = " ".join(sorted(IMAGE_SUFFIXES))
                raise DataError(f"{file} is not named like an image ({known}): move it out of the class folder")
            yield file
