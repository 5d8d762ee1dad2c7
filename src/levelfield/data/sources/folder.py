"""A folder of class folders (the ImageFolder layout): sorted class names number the classes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from levelfield.data.encoded import MAX_ENCODED_BYTES
from levelfield.data.sources.images import Container, ImageSource, ImageTable, digest_of, digest_table
from levelfield.records.data import FolderSpec
from levelfield.records.errors import DataError
from levelfield.records.files import FileRefusedError, read_regular

IMAGE_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".pgm", ".tif", ".tiff", ".webp"})

MAX_IMAGES = 2**25
"""Of a folder: twice ImageNet-21k. Listing and hashing as many files takes hours."""

_TRAIN, _HELD_OUT = "train", ("test", "val", "validation")


def open_folder(spec: FolderSpec) -> ImageSource:
    """The images under ``spec.path``, one folder a class, sub-folders of a class included, hidden files left out.

    A root that holds nothing but ``train`` and some of ``test``, ``val`` and ``validation`` is such a data set: train
    is the path and, unless ``report_path`` says otherwise, the first of test, val and validation that exists is the
    report split; the others are not used. Classes of the report part must be classes of the training part.

    Raises:
        DataError: a folder is missing or empty, or holds what is no image.
    """
    root, held_out = _parts(_existing(spec.path))
    report_root = _existing(spec.report_path) if spec.report_path is not None else held_out
    names = [folder.name for folder in _folders(root)]
    if not names:
        raise DataError(f"{root} holds no class folders: expected {root}/<class>/<image>")
    mask_corrupt = spec.corrupt == "mask"
    table = ImageTable(_ClassFolders(root, names), resolution=spec.resolution, mask_corrupt=mask_corrupt)
    report = None
    if report_root is not None:
        report = ImageTable(_ClassFolders(report_root, names), resolution=spec.resolution, mask_corrupt=mask_corrupt)
    return ImageSource(spec, table, report, names)


def labelled_folder(place: str) -> tuple[Container, tuple[str, ...], Path]:
    """All images under ``place`` to be judged on, their classes' names, and where they lie.

    Of a root with train and held-out parts, see :func:`open_folder`, it is the held-out part.

    Raises:
        DataError: the folder is missing or empty, or holds what is no image.
    """
    root, held_out = _parts(_existing(place))
    root = held_out or root
    names = [folder.name for folder in _folders(root)]
    return _ClassFolders(root, names), tuple(names), root


def _parts(root: Path) -> tuple[Path, Path | None]:
    """Where the training images lie under ``root``, and where the held-out ones do if they lie apart."""
    parts = {folder.name: folder for folder in _folders(root)}
    if _TRAIN in parts and set(parts) <= {_TRAIN, *_HELD_OUT} and _folders(parts[_TRAIN]):
        return parts[_TRAIN], next((parts[name] for name in _HELD_OUT if name in parts), None)
    return root, None


class _ClassFolders:
    """A :class:`levelfield.data.sources.images.Container` of files."""

    def __init__(self, root: Path, names: list[str]) -> None:
        listed = list(_listed(root, names))
        if not listed:
            raise DataError(f"{root} holds no class folders: expected {root}/<class>/<image>")
        self._paths = [path for _, path in listed]
        self.labels = np.array([label for label, _ in listed], dtype=np.int64)
        self.digests = digest_table([digest_of(_content(path)) for path in self._paths])

    def read(self, row: int) -> bytes:
        return read_regular(self._paths[row], at_most=MAX_ENCODED_BYTES)

    def name(self, row: int) -> str:
        return self._paths[row]


def _content(path: str) -> bytes:
    try:
        return read_regular(path, at_most=MAX_ENCODED_BYTES)
    except FileRefusedError as error:
        raise DataError(f"{error}: move it out of the class folder") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}") from None


def _existing(path: str) -> Path:
    root = Path(path).expanduser()
    if not root.is_dir():
        raise DataError(f"path {path!r} is not a folder here ({root.absolute()}): expected a folder of class folders")
    return root


def _folders(root: Path) -> list[Path]:
    """Visible sub-folders, sorted by the bytes of their names."""
    folders = [entry for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith(".")]
    return sorted(folders, key=lambda folder: os.fsencode(folder.name))


def _listed(root: Path, names: list[str]) -> Iterator[tuple[int, str]]:
    """Labels and image files."""
    total = 0
    for folder in _folders(root):
        if folder.name not in names:
            raise DataError(f"{folder} is a class that the training folder does not have (known: {', '.join(names)})")
        files = list(islice(_images(folder), MAX_IMAGES + 1))
        total += len(files)
        if total > MAX_IMAGES:
            raise DataError(f"{root} holds more than {MAX_IMAGES:,} images: keep as many in Parquet")
        if not files:
            raise DataError(f"class folder {folder} holds no images: remove it, or put its images there")
        label = names.index(folder.name)
        yield from ((label, file) for file in files)


def _images(folder: Path) -> Iterator[str]:
    seen: dict[tuple[int, int], str] = {}
    for directory, inner, files in os.walk(folder, followlinks=True):
        _refuse_again(directory, seen)
        inner[:] = [name for name in inner if not name.startswith(".")]
        for name in inner:
            if os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES:
                raise DataError(f"{os.path.join(directory, name)} is a folder that is named like an image: rename it")
        for name in files:
            if name.startswith("."):
                continue
            file = os.path.join(directory, name)
            if os.path.splitext(name)[1].lower() not in IMAGE_SUFFIXES:
                known = " ".join(sorted(IMAGE_SUFFIXES))
                raise DataError(f"{file} is not named like an image ({known}): move it out of the class folder")
            yield file


def _refuse_again(directory: str, seen: dict[tuple[int, int], str]) -> None:
    """Refuse a folder that links lead to twice: its pictures would count twice, and round a loop for ever."""
    found = os.stat(directory)
    if (before := seen.setdefault((found.st_dev, found.st_ino), directory)) != directory:
        raise DataError(f"{directory} is the same folder as {before}, by a link: remove the link")
