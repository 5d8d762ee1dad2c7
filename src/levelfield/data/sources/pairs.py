"""A folder of pictures and masks: ``images/NAME.jpg`` beside ``masks/NAME.png``, in parts or not."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from levelfield.data.canonical import DIGEST_RULE, digest_of
from levelfield.data.encoded import MAX_ENCODED_BYTES
from levelfield.data.ingest.tree import is_image, visible
from levelfield.data.kept_digests import KeptDigests
from levelfield.data.sources.masked import MaskedSource
from levelfield.data.sources.masked_parquet import PARTS, classes_of
from levelfield.records.data import MaskedImagesSpec, Split
from levelfield.records.errors import DataError, did_you_mean
from levelfield.records.fields import IGNORED
from levelfield.records.files import FileRefusedError, read_regular

_CLASSES = "classes.txt"
_MOST_CLASS_BYTES = 2**20


def open_pairs(spec: MaskedImagesSpec, *, rehash: bool = False) -> MaskedSource:
    """The pairs under ``spec.path``, in the folders ``train``, ``val`` and ``test`` where there are such.

    Raises:
        DataError: a folder is missing, a picture has no mask or a mask no picture, or nothing says how many classes
            there are.
    """
    columns = {
        "image_column": spec.image_column,
        "mask_column": spec.mask_column,
        "split_column": spec.split_column,
        "sequence_column": spec.sequence_column,
        "report_path": spec.report_path,
    }
    for name, said in columns.items():
        if said is not None:
            raise DataError(f"{name} is of Parquet, and {spec.path} is none: leave it out")
    root = Path(spec.path).expanduser()
    if not root.is_dir():
        raise DataError(f"path {spec.path!r} is not a folder here ({root.absolute()}): expected images and masks in it")
    named = {name: root / name for name in PARTS if (root / name).is_dir()}
    if named and "train" not in named:
        raise DataError(f"{root} holds {', '.join(named)} and no train: expected one to train on")
    twice = [name for name in named if sum(PARTS[other] == PARTS[name] for other in named) > 1]
    if twice:
        raise DataError(f"{root} holds {' and '.join(twice)}, which are one part: keep one of them")
    folders: dict[Split, Path] = {PARTS[name]: folder for name, folder in named.items()} or {"train": root}
    parts: dict[Split, _Pairs] = {split: _Pairs(folder, rehash=rehash) for split, folder in folders.items()}
    ignored = IGNORED if spec.ignore_index is None else spec.ignore_index
    return MaskedSource(spec, parts, classes_of(spec, _class_names(root), ignored, of=str(root)))


def _class_names(root: Path) -> list[str]:
    try:
        lines = read_regular(root / _CLASSES, at_most=_MOST_CLASS_BYTES).decode().splitlines()
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{root / _CLASSES} cannot be read: {error}; expected a class a line") from None
    return [line.strip() for line in lines if line.strip()]


class _Pairs:
    """A :class:`levelfield.data.sources.masks.MaskedContainer` of files."""

    def __init__(self, folder: Path, *, rehash: bool = False) -> None:
        pictures, masks = (_files(folder / name) for name in ("images", "masks"))
        for name in sorted(pictures.keys() ^ masks.keys()):
            has, lacks, others = ("picture", "mask", masks) if name in pictures else ("mask", "picture", pictures)
            raise DataError(f"{folder} has the {has} {name!r} and no {lacks} of that name{did_you_mean(name, others)}")
        self._pairs = [(pictures[name], masks[name]) for name in sorted(pictures)]
        self.frames = tuple(sorted(pictures))
        kept = KeptDigests(folder, DIGEST_RULE, rehash=rehash)
        digests = [kept.of(path, lambda path=path: [_digest(path)]) for pair in self._pairs for path in pair]
        self.digests = np.concatenate(digests).reshape(len(self._pairs), 2, -1)
        kept.save()

    def read(self, row: int) -> tuple[bytes, bytes]:
        picture, mask = self._pairs[row]
        return read_regular(picture, at_most=MAX_ENCODED_BYTES), read_regular(mask, at_most=MAX_ENCODED_BYTES)

    def name(self, row: int) -> str:
        return str(self._pairs[row][0])


def _files(folder: Path) -> dict[str, Path]:
    """The images in ``folder`` by their names without ending."""
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder: expected pictures in images and their masks in masks, named alike")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if not visible(path.name):
            continue
        if not is_image(path.name):
            raise DataError(f"{path} is not named like an image: move it away")
        if path.stem in found:
            raise DataError(f"{folder} holds {path.name!r} and {found[path.stem].name!r}: expected one of that name")
        found[path.stem] = path
    if not found:
        raise DataError(f"{folder} holds no images")
    return found


def _digest(path: Path) -> bytes:
    try:
        return digest_of(read_regular(path, at_most=MAX_ENCODED_BYTES))
    except FileRefusedError as error:
        raise DataError(f"{error}: move it away") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}") from None
