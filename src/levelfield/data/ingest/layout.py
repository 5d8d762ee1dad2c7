"""How a folder of pictures is laid out: class folders, in parts or not; all else is refused with what was seen.

A layout that is taken for another gives classes that nobody meant: "train" and "test", an annotator's folder, the
wrapper that an archive was packed in. So what is not understood is not guessed.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from levelfield.data.classes import spellings
from levelfield.records.errors import DataError, quoted_names

IMAGE_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".pgm", ".tif", ".tiff", ".webp"})

_TRAIN, _HELD_OUT = "train", ("test", "val", "validation")
_PART = re.compile(
    r"(train(ing)?|trn|test(ing)?|tst|val(id(at(e|ion))?)?|dev|eval(uation)?|h[eo]ld[-_ ]?out)"
    r"([-_ ]?(set|data|images?|split|\d+))?"
)
_ANNOTATIONS = frozenset({"annotations", "annotation", "labels", "masks", "bboxes", "imagesets", "labelstxt"})
_CLUTTER = frozenset({"__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "@eadir", "$recycle.bin", "lost+found"})


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Where training images lie, where held-out ones do if they lie apart, and which parts are not used."""

    train: Path
    held_out: Path | None = None
    unused: tuple[str, ...] = ()


def is_parquet(place: str) -> bool:
    """Whether ``place`` names Parquet: a file, a glob, or a folder that holds some."""
    path = Path(place).expanduser()
    return path.suffix == ".parquet" or "*" in place or (path.is_dir() and any(path.glob("*.parquet")))


def parts_of(root: Path) -> Parts:
    """The parts of a root that holds nothing but ``train`` and some of ``test``, ``val`` and ``validation``.

    The first of those that exists is the held-out part. Any other root is its own training part.
    """
    parts = {folder.name: folder for folder in _folders(root)}
    if _TRAIN not in parts or not set(parts) <= {_TRAIN, *_HELD_OUT} or not _folders(parts[_TRAIN]):
        return Parts(train=root)
    held_out = [name for name in _HELD_OUT if name in parts]
    return Parts(train=parts[_TRAIN], held_out=parts[held_out[0]] if held_out else None, unused=tuple(held_out[1:]))


def part_of(path: Path) -> str | None:
    """The part of a data set that a file is called after, as Hugging Face's ``data/train-00000-of-00002.parquet``."""
    for word in (path.stem, *(folder.name for folder in path.parents)):
        if match := _PART.fullmatch(re.split(r"[-_.]", word.casefold())[0]):
            return match[1]
    return None


def class_folders(root: Path) -> list[Path]:
    """The class folders under ``root``, sorted by the bytes of their names.

    Raises:
        DataError: the layout is another, and the message says what was seen.
    """
    folders = _folders(root)
    expected = f"expected {root}/<class>/<image>"
    _refuse_loose(root, folders, expected)
    _refuse_parts(root, folders, expected)
    names = [folder.name for folder in folders]
    annotations = [folder for folder in folders if folder.name.casefold() in _ANNOTATIONS and not _holds_images(folder)]
    if annotations:
        raise DataError(
            f"{root} holds {quoted_names(names)}, of which {annotations[0].name!r} holds no pictures: annotations of "
            f"detection or segmentation are not read; {expected}"
        )
    for same in spellings(names).values():
        raise DataError(
            f"{root} holds {quoted_names(same)}, one class in several spellings: put their images into one folder, or "
            "call them something else"
        )
    _refuse_nested(root, folders, expected)
    return folders


def visible(name: str) -> bool:
    """Whether a file or folder of that name is part of the data: hidden ones and what systems leave are not."""
    return not name.startswith(".") and name.casefold() not in _CLUTTER


def is_image(name: str) -> bool:
    """Whether a file is named like an image, in whatever case."""
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES


def _refuse_loose(root: Path, folders: Sequence[Path], expected: str) -> None:
    """Images that lie in no class folder, or nothing at all."""
    files = sorted(entry.name for entry in os.scandir(root) if visible(entry.name) and not entry.is_dir())
    images, others = [name for name in files if is_image(name)], [name for name in files if not is_image(name)]
    if folders and not images:
        return
    beside = f", and {quoted_names(others)}, which is not read" if others and not folders else ""
    if not images:
        raise DataError(f"{root} holds no class folders{beside}: {expected}")
    if folders:
        raise DataError(
            f"{root} holds {len(images)} images ({quoted_names(images)}) beside its class folders, which have no "
            f"class: move them away; {expected}"
        )
    raise DataError(f"{root} holds {len(images)} images and no class folders{beside}: {expected}")


def _refuse_parts(root: Path, folders: Sequence[Path], expected: str) -> None:
    """Parts of a data set that would become classes; one folder of images so called among others is a class."""
    parts = [folder for folder in folders if _PART.fullmatch(folder.name.casefold())]
    if parts and (len(parts) == len(folders) or len(parts) > 1 or any(_folders(folder) for folder in parts)):
        which = "which" if len(parts) == len(folders) else f"of which {quoted_names([part.name for part in parts])}"
        raise DataError(
            f"{root} holds {quoted_names([folder.name for folder in folders])}, {which} are called like parts of a "
            f"data set and not like classes: {expected}, or {root}/train/<class>/<image> with test, val or validation "
            "beside it and nothing else, in lower case; or name the two parts one by one (path and report_path; --data "
            "and --report-data)"
        )


def _refuse_nested(root: Path, folders: Sequence[Path], expected: str) -> None:
    """Classes that lie one deeper than expected."""
    inner = {folder: [each.name for each in _folders(folder)] for folder in folders if not _holds_images(folder)}
    inner = {folder: names for folder, names in inner.items() if names}
    if len(folders) == 1 and inner:
        (wrapper, names), *_ = inner.items()
        raise DataError(
            f"{root} holds one folder, {wrapper.name!r}, and that holds {quoted_names(names)}: name {wrapper}"
        )
    often = Counter(name.casefold() for names in inner.values() for name in names)
    shared = sorted(name for name, count in often.items() if count > 1)
    if shared and len(often) > 1:  # one name in all, such as "images", tells no classes apart
        holders = [folder.name for folder, names in inner.items() if shared[0] in map(str.casefold, names)]
        raise DataError(
            f"{root} holds {quoted_names(holders)} without images of their own and each with a folder {shared[0]!r}: "
            f"nothing says which of the two levels names the classes; {expected}"
        )


def _folders(root: Path) -> list[Path]:
    """Visible sub-folders, sorted by the bytes of their names."""
    found = [Path(entry.path) for entry in os.scandir(root) if entry.is_dir() and visible(entry.name)]
    return sorted(found, key=lambda folder: os.fsencode(folder.name))


def _holds_images(folder: Path) -> bool:
    """Whether images lie in ``folder`` itself."""
    with os.scandir(folder) as entries:
        return any(visible(entry.name) and is_image(entry.name) and not entry.is_dir() for entry in entries)
