"""A folder of class folders (the ImageFolder layout): sorted class names number the classes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from levelfield.data.ingest.format import InPlace, Listing, Opener
from levelfield.data.ingest.layout import class_folders
from levelfield.data.ingest.tree import IMAGE_SUFFIXES, DiskFolder, is_image, visible, why_no_picture
from levelfield.data.manifest import Skipped
from levelfield.records.errors import DataError
from levelfield.records.files import FileRefusedError, walk

MAX_IMAGES = 2**25
"""Of a folder: twice ImageNet-21k. Listing and hashing as many files takes hours."""


class ClassFolders:
    """A :class:`levelfield.data.ingest.format.Format`: one folder a class, its sub-folders included, under ``root``.

    What is no picture is refused, or with ``passing_by`` noted and left out, as phones and programs put much beside
    pictures.
    """

    rule = "class folders"

    def __init__(self, root: DiskFolder, *, passing_by: bool = False) -> None:
        self.of, self._root, self._passing_by = str(root), root, passing_by
        self._class_names: tuple[str, ...] = ()
        self._found: list[tuple[int, str]] = []
        self._skipped: list[Skipped] = []

    def files(self) -> list[str]:
        """See :meth:`levelfield.data.ingest.format.Format.files`."""
        if not self._found:
            folders = class_folders(self._root)
            self._class_names = tuple(folder.name for folder in folders)
            self._found = list(self._in_classes())
        return [path for _, path in self._found]

    def listed(self) -> Listing:
        """See :meth:`levelfield.data.ingest.format.Format.listed`."""
        files, number = self.files(), len(self._found)
        return Listing(
            class_names=self._class_names,
            sorted_as_text=True,
            labels=np.array([label for label, _ in self._found], dtype=np.int64),
            shards=np.arange(number, dtype=np.uint32),
            offsets=np.zeros(number, dtype=np.uint64),
            lengths=np.zeros(number, dtype=np.uint64),
            names=[os.fsencode(os.path.relpath(path, self.of)) for path in files],
            skipped=self._skipped,
        )

    def opener(self) -> Opener:
        """See :meth:`levelfield.data.ingest.format.Format.opener`."""
        return self.in_place().opener(self.of)

    def in_place(self) -> InPlace:
        """See :meth:`levelfield.data.ingest.format.Format.in_place`."""
        return InPlace(kind="files", root=os.path.abspath(self.of))

    def _in_classes(self) -> Iterator[tuple[int, str]]:
        """Labels and image files."""
        total = 0
        for label, name in enumerate(self._class_names):
            folder = (self._root / name).path
            try:
                files = list(islice(self._images(folder), MAX_IMAGES + 1))
            except FileRefusedError as error:
                raise DataError(str(error)) from None
            total += len(files)
            if total > MAX_IMAGES:
                raise DataError(f"{self.of} holds more than {MAX_IMAGES:,} images: keep as many in Parquet")
            if not files:
                raise DataError(f"class folder {folder} holds no images: remove it, or put its images there")
            yield from ((label, file) for file in files)

    def _images(self, folder: Path) -> Iterator[str]:
        for directory, inner, files in walk(folder):
            inner[:] = filter(visible, inner)
            for name in filter(is_image, inner):
                raise DataError(f"{os.path.join(directory, name)} is a folder that is named like an image: rename it")
            for name in filter(visible, files):
                file = os.path.join(directory, name)
                if is_image(name):
                    yield file
                elif self._passing_by:
                    self._skipped.append(Skipped(os.path.relpath(file, self.of), why_no_picture(name)))
                else:
                    known = " ".join(sorted(IMAGE_SUFFIXES))
                    raise DataError(
                        f"{file} is not named like an image ({known}): move it out of the class folder, or let "
                        "`levelfield data build` pass such files by"
                    )


def existing_folder(path: str) -> DiskFolder:
    """The folder that ``path`` names.

    Raises:
        DataError: there is none.
    """
    root = Path(path).expanduser()
    if not root.is_dir():
        raise DataError(f"path {path!r} is not a folder here ({root.absolute()}): expected a folder of class folders")
    return DiskFolder(root)
