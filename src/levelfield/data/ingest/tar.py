"""Tar files of pictures, read where they lie: of class folders, or in WebDataset's convention."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from levelfield.data.ingest.format import InPlace, Listing, Opener
from levelfield.data.ingest.kept_layout import Layout, kept_layout
from levelfield.data.ingest.layout import PART_NAMES, class_folders, part_of, parts_of
from levelfield.data.ingest.tar_members import Members, members_of
from levelfield.data.ingest.tree import NamedFolder, Node, is_image, visible, why_no_picture
from levelfield.data.ingest.webdataset import Samples, is_keyed, samples_of
from levelfield.data.manifest import Skipped
from levelfield.records.errors import DataError, quoted_names


def tar_parts(paths: Sequence[str], *, of: str, label: str | None, text: str | None = None) -> dict[str, TarPictures]:
    """The parts of the tars at ``paths``, which messages call ``of``: told by folders in them, or by their names.

    Raises:
        DataError: nothing says which class a picture is of, or which part a tar is.
    """
    found: dict[str, TarPictures] = {}
    for part, own in tars_by_part(paths, of=of).items():
        find = partial(_unparted if part else _parted, own, of)
        for inner, below in kept_layout(own, find, of="classes").below.items():
            name = part or inner
            found[name] = TarPictures(own, of=of, part=name, label=label, text=text, below=below)
    return found


def tars_by_part(paths: Sequence[str], *, of: str) -> dict[str, list[str]]:
    """The tars at ``paths`` by the part that each is called after; all under "" where that tells no parts apart.

    Raises:
        DataError: some are called after parts and others are not, or none is to train on.
    """
    by_part: dict[str, list[str]] = {}
    for path in paths:
        by_part.setdefault(PART_NAMES.get(part_of(Path(Path(path).name)) or "", ""), []).append(path)
    if len(by_part) == 1:
        return {"": list(paths)}
    if "" in by_part or "train" not in by_part:
        seen = quoted_names([Path(path).name for path in paths])
        raise DataError(f"{of} holds {seen}: expected parts called train, val and test; name one of them")
    return by_part


def _parted(paths: Sequence[str], of: str) -> Layout:
    """The folder of each part, None where samples are told by keys."""
    members = members_of(paths)
    if is_keyed(members):
        return Layout({"train": None})
    return Layout({part: path_in(folder, of) for part, folder in parts_of(unwrapped(members, of)).items()})


def _unparted(paths: Sequence[str], of: str) -> Layout:
    """The same of archives that are one part as a whole."""
    members = members_of(paths)
    return Layout({"train": None if is_keyed(members) else path_in(unwrapped(members, of), of)})


def path_in(folder: Node, of: str) -> str:
    """Where in the archives ``of`` that name ``folder`` lies."""
    return str(folder).removeprefix(of).strip("/")


class TarPictures:
    """A :class:`levelfield.data.ingest.format.Format`: one part of some tars.

    ``below`` is the folder in them that holds the class folders; None where samples are in WebDataset's convention, of
    which ``label`` and ``text`` name the keys in their JSON.
    """

    def __init__(
        self,
        paths: Sequence[str],
        *,
        of: str,
        part: str,
        label: str | None,
        text: str | None = None,
        below: str | None = None,
    ) -> None:
        self.of, self._paths, self._below, self._label, self._text = of, paths, below, label, text
        self.rule = f"tar {part} {below!r} {label!r}" + ("" if text is None else f" {text!r}")

    def files(self) -> Sequence[str]:
        """See :meth:`levelfield.data.ingest.format.Format.files`."""
        return self._paths

    def listed(self) -> Listing:
        """See :meth:`levelfield.data.ingest.format.Format.listed`."""
        members = members_of(self._paths)
        if self._below is None:
            return _listing(samples_of(self._paths, members, label=self._label, text=self._text, of=self.of))
        return _listing(self._in_classes(members, self._below))

    def opener(self) -> Opener:
        """See :meth:`levelfield.data.ingest.format.Format.opener`."""
        return self.in_place().opener(self.of)

    def in_place(self) -> InPlace:
        """See :meth:`levelfield.data.ingest.format.Format.in_place`."""
        return InPlace(kind="tar", root="", files=tuple(map(os.path.abspath, self._paths)))

    def _in_classes(self, members: Members, below: str) -> Samples:
        start = f"{below}/" if below else ""
        inside = [member for member in members.files if member.name.startswith(start)]
        tree = NamedFolder.of_names(
            (member.name[len(start) :] for member in inside), of=f"{self.of}/{below}".rstrip("/")
        )
        names = tuple(folder.name for folder in class_folders(tree))
        places = {name: place for place, name in enumerate(names)}
        pictures, labels, skipped = [], [], [*members.skipped]
        for member in inside:
            own, _, file = member.name[len(start) :].partition("/")
            if own not in places or not all(map(visible, file.split("/"))):
                continue
            if not is_image(file):
                skipped.append(Skipped(member.name, why_no_picture(file)))
                continue
            pictures.append(member)
            labels.append(places[own])
        empty = set(range(len(names))) - set(labels)
        if empty:
            raise DataError(f"class folder {names[min(empty)]} of {self.of} holds no images: leave it out")
        return Samples(pictures=pictures, labels=labels, class_names=names, sorted_as_text=True, skipped=skipped)


def _listing(samples: Samples) -> Listing:
    def column(values: Iterable[int], dtype: type) -> np.ndarray:
        return np.fromiter(values, dtype=dtype, count=len(samples.pictures))

    return Listing(
        class_names=samples.class_names,
        sorted_as_text=samples.sorted_as_text,
        labels=np.array(samples.labels, dtype=np.int64),
        shards=column((member.shard for member in samples.pictures), np.uint32),
        offsets=column((member.offset for member in samples.pictures), np.uint64),
        lengths=column((member.length for member in samples.pictures), np.uint64),
        names=[member.name.encode("utf-8", "surrogateescape") for member in samples.pictures],
        texts=samples.texts,
        skipped=list(samples.skipped),
    )


def unwrapped(members: Members, of: str) -> Node:
    """The folder in a tar that holds more than another folder: what an archive was packed in is no class."""
    here: Node = NamedFolder.of_names((member.name for member in members.files), of=of)
    while len(folders := here.folders()) == 1 and not here.holds_images() and not folders[0].holds_images():
        here = folders[0]
    return here
