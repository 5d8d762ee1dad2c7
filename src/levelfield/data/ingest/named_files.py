"""The files that a path, a folder, a glob or a pattern with braces names."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator
from itertools import islice, takewhile
from pathlib import Path

from levelfield.records.errors import DataError
from levelfield.records.files import FileRefusedError, regular_stat

MAX_NAMED = 2**17
"""Files that are named at once."""

_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")


def before_pattern(path: str) -> Path:
    """The folder that all files lie below that ``path`` names; itself where it is one."""
    place = Path(path).expanduser()
    if place.is_dir():
        return place
    whole = list(takewhile(lambda part: not is_pattern(part), place.parts[:-1]))
    return Path(*whole)


def is_pattern(path: str) -> bool:
    """Whether ``path`` names several files by a glob or by braces."""
    return bool(_BRACES.search(path)) or any(sign in path for sign in "*?[")


def files_named(path: str, suffix: str) -> list[str]:
    """The files that end in ``suffix`` and that ``path`` names: itself, those in a folder, or of a pattern; sorted.

    None where it names others. ``shard-{000..017}.tar`` names eighteen, as WebDataset writes it.

    Raises:
        DataError: a pattern names a file that is not there, or too many.
    """
    place = Path(path).expanduser()
    if place.is_dir():
        found = sorted(str(each) for each in place.glob(f"*{suffix}"))
    elif place.suffix.lower() == suffix:
        found = [str(place)] if place.exists() else sorted(_matching(str(place)))
    else:
        return []
    try:
        for each in found:
            regular_stat(each)
    except FileRefusedError as error:
        raise DataError(str(error)) from None
    except FileNotFoundError as error:
        raise DataError(f"path {path!r} names {error.filename}, which is not there") from None
    return found


def _matching(pattern: str) -> list[str]:
    names = list(islice(spelt_out(pattern), MAX_NAMED + 1))
    found = [each for name in names for each in ([name] if len(names) > 1 else glob.glob(name))]
    if len(found) > MAX_NAMED:
        raise DataError(f"{pattern} names more than {MAX_NAMED:,} files: join them")
    return found


def spelt_out(pattern: str) -> Iterator[str]:
    """The names that a pattern with braces stands for."""
    braces = _BRACES.search(pattern)
    if braces is None:
        yield pattern
        return
    numbers = _RANGE.fullmatch(braces[1])
    if numbers is None:
        middles = iter(braces[1].split(","))
    else:
        width = len(numbers[1])
        middles = (f"{number:0{width}d}" for number in range(int(numbers[1]), int(numbers[2]) + 1))
    for middle in middles:
        yield from spelt_out(pattern[: braces.start()] + middle + pattern[braces.end() :])
