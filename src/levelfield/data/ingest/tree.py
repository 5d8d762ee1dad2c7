"""Folders and files, on a disk or named in an archive or a table, as the rules of layouts see both."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

from levelfield.data.manifest import SkipReason

IMAGE_SUFFIXES = frozenset(
    {".bmp", ".gif", ".heic", ".heif", ".jpeg", ".jpg", ".png", ".ppm", ".pgm", ".tif", ".tiff", ".webp"}
)
_CLUTTER = frozenset({"__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "@eadir", "$recycle.bin", "lost+found"})


_VIDEOS = frozenset({".mov", ".mp4", ".m4v", ".avi", ".3gp", ".mkv", ".webm"})
_SIDECARS = frozenset({".aae", ".xmp", ".thm", ".json", ".plist", ".pp3", ".dop"})


def why_no_picture(name: str) -> SkipReason:
    """What a file that is not named like a picture is."""
    suffix = os.path.splitext(name)[1].lower()
    return "video" if suffix in _VIDEOS else "sidecar" if suffix in _SIDECARS else "not-a-picture"


def visible(name: str) -> bool:
    """Whether a file or folder of that name is part of the data: hidden ones and what systems leave are not."""
    return not name.startswith(".") and name.casefold() not in _CLUTTER


def is_image(name: str) -> bool:
    """Whether a file is named like an image, in whatever case."""
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES


class Node(Protocol):
    """A folder; hidden ones and what systems leave are in none."""

    @property
    def name(self) -> str: ...

    def folders(self) -> list[Node]:
        """Its folders, sorted by the bytes of their names."""
        ...

    def files(self) -> list[str]:
        """The names of its files, sorted."""
        ...

    def holds_images(self) -> bool:
        """Whether images lie in the folder itself."""
        ...

    def __truediv__(self, name: str) -> Node: ...


class DiskFolder:
    """A folder on a disk, links followed."""

    def __init__(self, path: Path) -> None:
        self.path, self.name = path, path.name

    def __str__(self) -> str:
        return str(self.path)

    def __truediv__(self, name: str) -> DiskFolder:
        return DiskFolder(self.path / name)

    def folders(self) -> list[Node]:
        with os.scandir(self.path) as entries:
            found = [entry.name for entry in entries if visible(entry.name) and entry.is_dir()]
        return [self / name for name in sorted(found, key=os.fsencode)]

    def files(self) -> list[str]:
        with os.scandir(self.path) as entries:
            return sorted(entry.name for entry in entries if visible(entry.name) and not entry.is_dir())

    def holds_images(self) -> bool:
        with os.scandir(self.path) as entries:
            return any(visible(entry.name) and is_image(entry.name) and not entry.is_dir() for entry in entries)


class NamedFolder:
    """A folder of an archive, of which the names of files are all that is known."""

    def __init__(self, name: str, of: str) -> None:
        self.name, self._of = name, of
        self._folders: dict[str, NamedFolder] = {}
        self._files: list[str] = []

    @classmethod
    def of_names(cls, names: Iterable[str], *, of: str) -> NamedFolder:
        """The root of files called ``names``, folders between slashes."""
        root = cls("", of)
        for path in names:
            *folders, file = path.split("/")
            if not all(map(visible, (*folders, file))):
                continue
            here = root
            for name in folders:
                if name not in here._folders:
                    here._folders[name] = cls(name, f"{here._of}/{name}")
                here = here._folders[name]
            here._files.append(file)
        return root

    def __str__(self) -> str:
        return self._of

    def __truediv__(self, name: str) -> NamedFolder:
        return self._folders[name]

    def folders(self) -> list[Node]:
        return [self._folders[name] for name in sorted(self._folders, key=os.fsencode)]

    def files(self) -> list[str]:
        return sorted(self._files)

    def holds_images(self) -> bool:
        return any(map(is_image, self._files))

    def below(self) -> Iterator[str]:
        """The paths of all files in it and its folders, from here."""
        yield from self._files
        for name, folder in self._folders.items():
            yield from (f"{name}/{path}" for path in folder.below())
