"""A folder of class folders (the ImageFolder layout): sorted class names number the classes."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from levelfield.data.classes import Classes
from levelfield.data.encoded import MAX_ENCODED_BYTES
from levelfield.data.sources.digests import KeptDigests
from levelfield.data.sources.images import DIGEST_RULE, Container, digest_of
from levelfield.data.sources.layout import IMAGE_SUFFIXES, class_folders, is_image, parts_of, visible
from levelfield.data.sources.splits import ImageSource, image_source
from levelfield.records.data import FolderSpec
from levelfield.records.errors import DataError
from levelfield.records.files import FileRefusedError, read_regular, walk

logger = logging.getLogger(__name__)

MAX_IMAGES = 2**25
"""Of a folder: twice ImageNet-21k. Listing and hashing as many files takes hours."""


def open_folder(spec: FolderSpec, *, rehash: bool = False) -> ImageSource:
    """The images under ``spec.path``, one folder a class, sub-folders of a class included, hidden files left out.

    A root that holds nothing but ``train`` and some of ``test``, ``val`` and ``validation`` is such a data set: train
    is the path and, unless ``report_path`` says otherwise, the first of test, val and validation that exists is the
    report split; the others are not used. Classes of the report part must be classes of the training part.

    Raises:
        DataError: a folder is missing or empty, holds what is no image, or is laid out otherwise.
    """
    parts = parts_of(_existing(spec.path))
    report_root = parts.held_out
    if spec.report_path is not None:
        report_root = _existing(spec.report_path)
    for name in parts.unused if spec.report_path is None else ():
        logger.warning("%s is not used: the report split is %s", parts.train.with_name(name), report_root)
    report = _ClassFolders(report_root, rehash=rehash) if report_root is not None else None
    return image_source(spec, _ClassFolders(parts.train, rehash=rehash), report)


def labelled_folder(place: str) -> tuple[Container, Path]:
    """All images under ``place`` to be judged on, and where they lie.

    Of a root with train and held-out parts, see :func:`open_folder`, it is the held-out part.

    Raises:
        DataError: the folder is missing or empty, holds what is no image, or is laid out otherwise.
    """
    parts = parts_of(_existing(place))
    root = parts.held_out or parts.train
    return _ClassFolders(root), root


class _ClassFolders:
    """A :class:`levelfield.data.sources.images.Container` of files."""

    def __init__(self, root: Path, *, rehash: bool = False) -> None:
        folders = class_folders(root)
        listed = list(_listed(root, folders))
        self.classes = Classes(names=tuple(folder.name for folder in folders), of=str(root), sorted_as_text=True)
        self._paths = [path for _, path in listed]
        self.labels = np.array([label for label, _ in listed], dtype=np.int64)
        kept = KeptDigests(root, DIGEST_RULE, rehash=rehash)
        self.digests = np.concatenate([kept.of(path, lambda path=path: [_digest(path)]) for path in self._paths])
        kept.save()

    def read(self, row: int) -> bytes:
        return read_regular(self._paths[row], at_most=MAX_ENCODED_BYTES)

    def name(self, row: int) -> str:
        return self._paths[row]


def _digest(path: str) -> bytes:
    try:
        return digest_of(read_regular(path, at_most=MAX_ENCODED_BYTES))
    except FileRefusedError as error:
        raise DataError(f"{error}: move it out of the class folder") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}") from None


def _existing(path: str) -> Path:
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
