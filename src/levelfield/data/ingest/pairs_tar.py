"""Tar files of pictures with masks: folders called images and masks in them, or WebDataset's convention.

In folders ``images/NAME.jpg`` lies beside ``masks/NAME.png``, in parts or not, with ``classes.txt`` above them. By keys
``KEY.jpg`` lies beside ``KEY.mask.png`` (or ``seg``, ``label``, ``annotation``), or beside ``KEY.png`` alone.
A picture and its mask lie in one tar. What has no counterpart is left out and counted, as is all that archives hold
besides.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np

from levelfield.data.ingest.format import InPlace, Listing, Opener, PairedFormat
from levelfield.data.ingest.kept_layout import Layout, kept_layout
from levelfield.data.ingest.layout import PART_NAMES
from levelfield.data.ingest.mask_classes import MasksSaid, mask_facts
from levelfield.data.ingest.pairs import CLASSES, MASKS, MOST_CLASS_BYTES, PICTURES, class_names_in, names_in
from levelfield.data.ingest.tar import path_in, tars_by_part, unwrapped
from levelfield.data.ingest.tar_members import Member, Members, members_of
from levelfield.data.ingest.tree import Node, is_image, visible, why_no_picture
from levelfield.data.manifest import UNLABELLED, Skipped, SkipReason
from levelfield.data.stores.tar import Shards
from levelfield.records.errors import DataError

_MASK_WORDS = frozenset({"mask", "masks", "seg", "segmentation", "label", "labels", "annotation", "gt"})
_LOSSY = frozenset({"jpg", "jpeg", "webp", "heic"})


def is_paired_tars(paths: Sequence[str], *, of: str) -> bool:
    """Whether the tars at ``paths`` hold pictures with masks.

    Raises:
        DataError: one is no tar that can be read.
    """
    return all(_layout(own, of).below for own in tars_by_part(paths, of=of).values())


def paired_tars(paths: Sequence[str], said: MasksSaid, *, of: str) -> dict[str, PairedFormat]:
    """The parts of the pairs in the tars at ``paths``, which messages call ``of``.

    Raises:
        DataError: there are none, none to train on, or nothing says how many classes there are.
    """
    found: dict[str, PairedFormat] = {}
    names: tuple[str, ...] = ()
    for part, own in tars_by_part(paths, of=of).items():
        layout = _layout(own, of)
        if not layout.below:
            raise DataError(
                f"{of} holds no pictures with masks: expected images/NAME.jpg beside masks/NAME.png in a tar, or "
                "KEY.jpg beside KEY.mask.png"
            )
        if part and len(layout.below) > 1:
            raise DataError(f"{of} holds a tar called {part}, and in it {', '.join(layout.below)}: name one of both")
        names = names or layout.class_names
        sides = {part or inner: partial(TarSide, own, of=of, below=below) for inner, below in layout.below.items()}
        found |= {name: _paired(side, name, said, names, of) for name, side in sides.items()}
    if "train" not in found:
        raise DataError(f"{of} holds {', '.join(found)} and no train: expected one")
    return found


def _paired(side: partial[TarSide], part: str, said: MasksSaid, names: Sequence[str], of: str) -> PairedFormat:
    beside = Path(of).expanduser()
    known = names or (class_names_in(beside) if beside.is_dir() else [])
    facts = mask_facts(said, known, None, of=of, framed=True)
    return PairedFormat(of=f"{of} ({part})", pictures=side(masks=False), masks=side(masks=True), facts=facts)


class TarSide:
    """A :class:`levelfield.data.ingest.format.Format`: the pictures of one part of some tars, or their ``masks``.

    ``below`` is the folder that holds both; None where keys tell them.
    """

    def __init__(self, paths: Sequence[str], *, of: str, below: str | None, masks: bool) -> None:
        self.of, self._paths, self._below, self._masks = of, paths, below, masks
        self.rule = f"pairs in tars {below!r} {masks}"

    def files(self) -> Sequence[str]:
        """See :meth:`levelfield.data.ingest.format.Format.files`."""
        return self._paths

    def listed(self) -> Listing:
        """See :meth:`levelfield.data.ingest.format.Format.listed`."""
        members = members_of(self._paths)
        pairs, left = _pairs(members.files, self._below)
        if not pairs:
            raise DataError(f"{self.of} holds no picture with a mask of its name in the same tar")
        own = [pair.mask if self._masks else pair.picture for pair in pairs]
        return Listing(
            class_names=(UNLABELLED,),
            sorted_as_text=False,
            labels=np.zeros(len(own), dtype=np.int64),
            shards=np.array([member.shard for member in own], dtype=np.uint32),
            offsets=np.array([member.offset for member in own], dtype=np.uint64),
            lengths=np.array([member.length for member in own], dtype=np.uint64),
            names=[pair.name.encode("utf-8", "surrogateescape") for pair in pairs],
            skipped=[] if self._masks else [*members.skipped, *map(self._skipped, left)],
        )

    def _skipped(self, left: _Left) -> Skipped:
        return Skipped(f"{left.member.name} in {os.path.basename(self._paths[left.member.shard])}", left.why)

    def opener(self) -> Opener:
        """See :meth:`levelfield.data.ingest.format.Format.opener`."""
        return self.in_place().opener(self.of)

    def in_place(self) -> InPlace:
        """See :meth:`levelfield.data.ingest.format.Format.in_place`."""
        return InPlace(kind="tar", root="", files=tuple(map(os.path.abspath, self._paths)))


class _Pair(NamedTuple):
    name: str
    picture: Member
    mask: Member


class _Left(NamedTuple):
    member: Member
    why: SkipReason


_Samples: TypeAlias = dict[tuple[int, str], dict[str, Member]]
"""By tar and key: the files of a sample by their endings."""


def _layout(paths: Sequence[str], of: str) -> Layout:
    return kept_layout(paths, partial(_found, paths, of), of="masks")


def _found(paths: Sequence[str], of: str) -> Layout:
    """Where pairs lie in the tars at ``paths``: nowhere, where no folders and no keys tell any."""
    members = members_of(paths)
    root = unwrapped(members, of)
    parts = {PART_NAMES.get(folder.name.casefold()): folder for folder in root.folders()}
    parts = {part: folder for part, folder in parts.items() if part is not None and _holds_both(folder)}
    if not parts and _holds_both(root):
        parts = {"train": root}
    names = _class_names(paths, members, path_in(root, of))
    if parts:
        return Layout({part: path_in(folder, of) for part, folder in parts.items()}, names)
    pictures = sum(any(map(_names_image, endings)) for endings in _keyed(members.files, []).values())
    return Layout({"train": None} if 2 * len(_pairs(members.files, None)[0]) > pictures else {}, names)


def _holds_both(folder: Node) -> bool:
    return {PICTURES, MASKS} <= {each.name for each in folder.folders()}


def _class_names(paths: Sequence[str], members: Members, root: str) -> tuple[str, ...]:
    """What a list in the folder ``root`` of the tars, or above it, calls the classes."""
    lists = [
        member
        for member in members.files
        if member.name.endswith(CLASSES) and f"{root}/{CLASSES}".startswith(member.name.removesuffix(CLASSES))
    ]
    if not lists:
        return ()
    if lists[0].length > MOST_CLASS_BYTES:
        raise DataError(f"{lists[0].name} in {paths[lists[0].shard]} has {lists[0].length:,} bytes: expected names")
    content = Shards(paths).read(lists[0].shard, lists[0].offset, lists[0].length)
    return tuple(names_in(content.decode("utf-8", "replace").splitlines()))


def _pairs(files: Sequence[Member], below: str | None) -> tuple[list[_Pair], list[_Left]]:
    """Pictures with their masks in the order of their bytes, and what is none."""
    found: list[_Pair] = []
    left: list[_Left] = []
    samples = _keyed(files, left) if below is None else _in_folders(files, f"{below}/".lstrip("/"), left)
    for (_, name), own in samples.items():
        pictures = [ending for ending in own if _names_image(ending)]
        mask = _mask_of(pictures)
        if mask is not None:
            (picture,) = (ending for ending in pictures if ending != mask)
            found.append(_Pair(f"{name}.{picture.removeprefix('image.')}", own[picture], own[mask]))
        for ending, member in own.items():
            if mask is None or ending not in pictures:
                left.append(_Left(member, _why_no_pair(ending, len(pictures))))
    return sorted(found, key=lambda pair: (pair.picture.shard, pair.picture.offset)), left


def _keyed(files: Iterable[Member], left: list[_Left]) -> _Samples:
    """Files by what stands before the first dot of their names."""
    found: _Samples = {}
    for member in files:
        folder, _, name = member.name.rpartition("/")
        stem, _, ending = name.partition(".")
        if stem and all(map(visible, member.name.split("/"))) and name != CLASSES:
            own = found.setdefault((member.shard, f"{folder}/{stem}".lstrip("/")), {})
            if own.setdefault(ending.lower(), member) is not member:
                left.append(_Left(member, "same-name"))
    return found


def _in_folders(files: Iterable[Member], start: str, left: list[_Left]) -> _Samples:
    """Files in the two folders after ``start``: an image as ``image.ENDING``, its mask as ``mask.ENDING``."""
    found: _Samples = {}
    for member, side, name in _sides(files, start):
        stem, ending = os.path.splitext(name)
        own = found.setdefault((member.shard, stem), {})
        kind = "image" if side == PICTURES else "mask"
        if not is_image(name):
            left.append(_Left(member, why_no_picture(name)))
        elif any(other.startswith(f"{kind}.") for other in own):
            left.append(_Left(member, "same-name"))
        else:
            own[f"{kind}{ending}"] = member
    return found


def _sides(files: Iterable[Member], start: str) -> Iterator[tuple[Member, str, str]]:
    for member in files:
        if member.name.startswith(start) and all(map(visible, member.name.split("/"))):
            side, _, name = member.name[len(start) :].partition("/")
            if side in (PICTURES, MASKS) and name:
                yield member, side, name


def _names_image(ending: str) -> bool:
    return is_image(f"x.{ending}")


def _mask_of(endings: Sequence[str]) -> str | None:
    """Which of the endings of a sample's images is that of its mask; None where that cannot be told."""
    if len(endings) != 2:
        return None
    said = [ending for ending in endings if ending.partition(".")[0].lower() in _MASK_WORDS]
    if not said and set(endings) - _LOSSY == {"png"}:
        said = ["png"]
    return said[0] if len(said) == 1 else None


def _why_no_pair(ending: str, pictures: int) -> SkipReason:
    if not _names_image(ending):
        return why_no_picture(f"x.{ending}")
    if pictures > 1:
        return "same-name"
    return "missing" if ending.partition(".")[0].lower() in _MASK_WORDS else "unlabelled"
