"""How a folder of pictures is laid out: class folders, in parts or not; all else is refused with what was seen.

A layout that is taken for another gives classes that nobody meant: "train" and "test", an annotator's folder, the
wrapper that an archive was packed in. So what is not understood is not guessed.
"""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from levelfield.data.classes import spellings
from levelfield.data.ingest.tree import Node, is_image
from levelfield.records.errors import DataError, quoted_names
from levelfield.records.files import open_regular

PART_NAMES = {
    "train": "train",
    "training": "train",
    "test": "test",
    "testing": "test",
    "val": "val",
    "valid": "val",
    "validation": "val",
}
"""What others call the parts of a data set, in whatever case, and we."""
_PARQUET = b"PAR1"
_WHERE_HUBS_PUT_IT = ("", "data", "train", "default/train")
_PART = re.compile(
    r"(train(ing)?|trn|test(ing)?|tst|val(id(at(e|ion))?)?|dev|eval(uation)?|h[eo]ld[-_ ]?out)"
    r"([-_ ]?(set|data|images?|split|\d+))?"
)
_ANNOTATIONS = frozenset({"annotations", "annotation", "labels", "masks", "bboxes", "imagesets", "labelstxt"})


def is_parquet(place: str) -> bool:
    """Whether ``place`` names Parquet: a file, a glob, or a folder that holds some, itself or where hubs put it."""
    path = Path(place).expanduser()
    if path.suffix == ".parquet":
        return True
    if path.is_file():
        with contextlib.suppress(OSError), open_regular(path) as file:  # whoever opens it next says what is wrong
            return file.read(len(_PARQUET)) == _PARQUET
        return False
    if path.is_dir():
        return any(next((path / folder).glob("*.parquet"), None) for folder in _WHERE_HUBS_PUT_IT)
    return "*" in place and path.suffix != ".tar"


def parts_of(root: Node) -> dict[str, Node]:
    """The parts, called as in :data:`PART_NAMES`, of a root that holds nothing but a training part and others.

    Any other root is its own training part.

    Raises:
        DataError: two of its folders are one part.
    """
    folders = root.folders()
    names = {folder.name: PART_NAMES.get(folder.name.casefold()) for folder in folders}
    parts = {part: folder for folder in folders if (part := names[folder.name]) is not None}
    if None in names.values() or "train" not in parts or not parts["train"].folders():
        return {"train": root}
    if len(parts) < len(folders):
        twice = [folder.name for folder in folders if parts[PART_NAMES[folder.name.casefold()]] is not folder]
        raise DataError(f"{root} holds {quoted_names(list(names))}: {twice[0]!r} and another are one part")
    return parts


def part_of(path: Path) -> str | None:
    """The part of a data set that a file is called after, as Hugging Face's ``data/train-00000-of-00002.parquet``, or
    ``flowers_train.tar``."""
    said = {word for word in re.split(r"[-_.]", path.stem.casefold()) if word in PART_NAMES}
    if len({PART_NAMES[word] for word in said}) == 1:
        return min(said)
    for word in (path.stem, *(folder.name for folder in path.parents)):
        if match := _PART.fullmatch(re.split(r"[-_.]", word.casefold())[0]):
            return match[1]
    return None


def class_folders(root: Node) -> list[Node]:
    """The class folders under ``root``, sorted by the bytes of their names.

    Raises:
        DataError: the layout is another, and the message says what was seen.
    """
    folders = root.folders()
    expected = f"expected {root}/<class>/<image>"
    _refuse_loose(root, folders, expected)
    _refuse_parts(root, folders, expected)
    names = [folder.name for folder in folders]
    annotations = [folder for folder in folders if folder.name.casefold() in _ANNOTATIONS and not folder.holds_images()]
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


def _refuse_loose(root: Node, folders: Sequence[Node], expected: str) -> None:
    """Images that lie in no class folder, or nothing at all."""
    files = root.files()
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


def _refuse_parts(root: Node, folders: Sequence[Node], expected: str) -> None:
    """Parts of a data set that would become classes; one folder of images so called among others is a class."""
    parts = [folder for folder in folders if _PART.fullmatch(folder.name.casefold())]
    if parts and (len(parts) == len(folders) or len(parts) > 1 or any(folder.folders() for folder in parts)):
        which = "which" if len(parts) == len(folders) else f"of which {quoted_names([part.name for part in parts])}"
        raise DataError(
            f"{root} holds {quoted_names([folder.name for folder in folders])}, {which} are called like parts of a "
            f"data set and not like classes: {expected}, or {root}/train/<class>/<image> with test, val or valid "
            "beside it and nothing else; or name the two parts one by one (path and report_path; --data "
            "and --report-data)"
        )


def _refuse_nested(root: Node, folders: Sequence[Node], expected: str) -> None:
    """Classes that lie one deeper than expected."""
    inner = {folder: [each.name for each in folder.folders()] for folder in folders if not folder.holds_images()}
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
