"""A folder of pictures and masks: ``images/NAME.jpg`` beside ``masks/NAME.png``, in parts or not."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from levelfield.data.ingest.format import InPlace, Listing, Opener, PairedFormat
from levelfield.data.ingest.layout import PART_NAMES
from levelfield.data.ingest.mask_classes import MasksSaid, mask_facts
from levelfield.data.ingest.tree import is_image, visible, why_no_picture
from levelfield.data.manifest import UNLABELLED, MaskFacts, Skipped
from levelfield.records.errors import DataError, did_you_mean
from levelfield.records.files import FileRefusedError, read_regular

PICTURES, MASKS = "images", "masks"
CLASSES = "classes.txt"
MOST_CLASS_BYTES = 2**20


def is_paired(root: Path) -> bool:
    """Whether ``root`` holds pictures and masks, itself or in its training part."""
    parts = [folder for folder in root.iterdir() if folder.name.casefold() in PART_NAMES and folder.is_dir()]
    return any((folder / PICTURES).is_dir() and (folder / MASKS).is_dir() for folder in (root, *parts))


def paired_folders(root: Path, said: MasksSaid, *, passing_by: bool) -> dict[str, PairedFormat]:
    """The parts of the pairs under ``root``: in folders called after parts, where there are such.

    What has no counterpart, and what is no picture, is refused, or with ``passing_by`` noted and left out.

    Raises:
        DataError: a folder is missing, or nothing says how many classes there are.
    """
    folders = _folders(root)
    if "train" not in folders:
        raise DataError(
            f"{root} holds {', '.join(folder.name for folder in folders.values())} and no train: expected one"
        )
    facts = mask_facts(said, class_names_in(root), None, of=str(root), framed=True)
    return {part: _pairs(folder, passing_by=passing_by, facts=facts) for part, folder in folders.items()}


def _folders(root: Path) -> dict[str, Path]:
    """The folder of every part, ``root`` itself where none is called after one.

    Raises:
        DataError: two are one part.
    """
    found: dict[str, Path] = {}
    for folder in sorted(root.iterdir()):
        part = PART_NAMES.get(folder.name.casefold()) if folder.is_dir() else None
        if part is not None and part in found:
            raise DataError(f"{root} holds {found[part].name} and {folder.name}, which are one part: keep one of them")
        if part is not None:
            found[part] = folder
    return found or {"train": root}


def _pairs(folder: Path, *, passing_by: bool, facts: MaskFacts) -> PairedFormat:
    skipped: list[Skipped] = []
    pictures, masks = (_files(folder / name, skipped if passing_by else None) for name in (PICTURES, MASKS))
    for stem in sorted(pictures.keys() ^ masks.keys()):
        has, lacks, others = ("picture", "mask", masks) if stem in pictures else ("mask", "picture", pictures)
        if not passing_by:
            raise DataError(f"{folder} has the {has} {stem!r} and no {lacks} of that name{did_you_mean(stem, others)}")
        if stem in pictures:
            skipped.append(Skipped(f"{PICTURES}/{pictures.pop(stem)}", "unlabelled"))
        else:
            skipped.append(Skipped(f"{MASKS}/{masks.pop(stem)}", "missing"))
    stems = sorted(pictures)
    if not stems:
        raise DataError(f"{folder} holds no picture with a mask")
    return PairedFormat(
        of=str(folder),
        pictures=NamedFiles(folder / PICTURES, [pictures[stem] for stem in stems], skipped),
        masks=NamedFiles(folder / MASKS, [masks[stem] for stem in stems]),
        facts=facts,
    )


class NamedFiles:
    """A :class:`levelfield.data.ingest.format.Format`: the files ``names`` in the folder ``root``, none of them
    labelled."""

    rule = "named files"

    def __init__(self, root: Path, names: Sequence[str], skipped: Sequence[Skipped] = ()) -> None:
        self.of, self._names, self._skipped = str(root), names, skipped

    def files(self) -> list[str]:
        """See :meth:`levelfield.data.ingest.format.Format.files`."""
        return [os.path.join(self.of, name) for name in self._names]

    def listed(self) -> Listing:
        """See :meth:`levelfield.data.ingest.format.Format.listed`."""
        number = len(self._names)
        return Listing(
            class_names=(UNLABELLED,),
            sorted_as_text=False,
            labels=np.zeros(number, dtype=np.int64),
            shards=np.arange(number, dtype=np.uint32),
            offsets=np.zeros(number, dtype=np.uint64),
            lengths=np.zeros(number, dtype=np.uint64),
            names=[os.fsencode(name) for name in self._names],
            skipped=list(self._skipped),
        )

    def opener(self) -> Opener:
        """See :meth:`levelfield.data.ingest.format.Format.opener`."""
        return self.in_place().opener(self.of)

    def in_place(self) -> InPlace:
        """See :meth:`levelfield.data.ingest.format.Format.in_place`."""
        return InPlace(kind="files", root=os.path.abspath(self.of))


def class_names_in(root: Path) -> list[str]:
    """What the list of classes in the folder ``root`` calls them; nothing where there is none.

    Raises:
        DataError: it cannot be read.
    """
    try:
        lines = read_regular(root / CLASSES, at_most=MOST_CLASS_BYTES).decode().splitlines()
    except FileNotFoundError:
        return []
    except FileRefusedError as error:
        raise DataError(str(error)) from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{root / CLASSES} cannot be read: {error}") from None
    return names_in(lines)


def names_in(lines: Sequence[str]) -> list[str]:
    """The names of classes that stand a line each."""
    return [line.strip() for line in lines if line.strip()]


def _files(folder: Path, skipped: list[Skipped] | None) -> dict[str, str]:
    """The names of the images in ``folder`` by what stands before their ending; others are refused, or noted as
    ``skipped`` where that is wanted."""
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder: expected pictures in images and their masks in masks, named alike")
    found: dict[str, str] = {}
    for name in filter(visible, sorted(os.listdir(folder))):
        stem = os.path.splitext(name)[0]
        if is_image(name) and stem not in found:
            found[stem] = name
        elif skipped is not None:
            why = "same-name" if is_image(name) else why_no_picture(name)
            skipped.append(Skipped(f"{folder.name}/{name}", why))
        elif is_image(name):
            raise DataError(f"{folder} holds {name!r} and {found[stem]!r}: expected one of that name")
        else:
            raise DataError(f"{folder / name} is not named like an image: move it away")
    if not found:
        raise DataError(f"{folder} holds no images")
    return found
