"""Which class of one list is which of another, by one rule: held-out parts and training parts, tables and networks.

===================  ====================  =========================================================================
theirs               ours                  matched
===================  ====================  =========================================================================
numbers              numbers               by number: ``00`` is ``0``, and ``10`` is not the third of ten
names                names                 by name; one that ours lacks is refused
numbers              names                 by number: the place of the name; ``class_3`` is number 3
names                numbers               ``class_3`` by its number; others where there are as many, in their order
===================  ====================  =========================================================================

A number is a name that consists of digits, as folders are called and as outputs that nobody named. What the rule cannot
decide is refused with what either list has alone. Names are equal as text (Unicode NFC), case included.
"""

from __future__ import annotations

import dataclasses
import functools
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from levelfield.records.errors import DataError, did_you_mean, quoted_names

How: TypeAlias = Literal["name", "number", "order"]


@dataclass(frozen=True, kw_only=True)
class Classes:
    """The ``names`` of some classes by place, and ``of`` whom they are, as a message calls it.

    ``sorted_as_text`` says that places come from sorting names, as those of folders do, and mean nothing themselves.
    """

    names: tuple[str, ...]
    of: str
    sorted_as_text: bool = False

    @classmethod
    def numbered(cls, count: int, *, of: str) -> Classes:
        """``count`` classes that nobody named."""
        return cls(names=tuple(map(str, range(count))), of=of)

    @property
    def numbers(self) -> tuple[int, ...] | None:
        """The number that each name is; None where one is none."""
        return tuple(map(int, self.names)) if all(map(_is_number, self.names)) else None

    @property
    def only_numbered(self) -> bool:
        """Whether the classes have no names but the numbers of their places."""
        return not self.sorted_as_text and self.numbers == tuple(range(len(self.names)))

    @property
    def numbers_at_end(self) -> tuple[int, ...] | None:
        """The numbers of ``class_0``, ``class_1``, …, after the same letters each; None where they are named otherwise.

        Every number below that of classes must stand there: wordnet's n01440764 is a name.
        """
        found = [_AT_END.fullmatch(name) for name in self.names]
        if not found or any(match is None for match in found) or len({match[1] for match in found if match}) > 1:
            return None
        numbers = tuple(int(match[2]) for match in found if match)
        return numbers if sorted(numbers) == list(range(len(numbers))) else None


_AT_END = re.compile(r"(.*\D)([0-9]{1,9})")


def match_classes(theirs: Classes, ours: Classes, used: Iterable[int]) -> tuple[NDArray[np.int64], How]:
    """The place in ``ours`` of every class of ``theirs``, -1 where it has none, and by what rule it was found.

    ``used`` are the places of ``theirs`` that pictures have: only those must be found.

    Raises:
        DataError: one of them is not in ``ours`` or in it twice, or nothing says which is which.
    """
    used = sorted(set(used))
    keys, known, how = _keys(theirs, ours)
    _refuse_twice(theirs, keys, used)
    wanted = {keys[place] for place in used}
    _refuse_twice(ours, known, [place for place, key in enumerate(known) if key in wanted])
    places = {key: place for place, key in enumerate(known)}
    strange = [place for place in used if keys[place] not in places]
    if strange:
        raise DataError(
            _difference(theirs, ours, strange, [p for p, key in enumerate(known) if key not in wanted], how)
        )
    return np.array([places.get(key, -1) for key in keys], dtype=np.int64), how


def join_classes(parts: Sequence[Classes]) -> tuple[tuple[str, ...], tuple[NDArray[np.int64], ...], tuple[How, ...]]:
    """The classes of all ``parts`` as one list, the place in it of every class of each part, and how each was matched.

    Classes that have names on both sides, or numbers on both, are joined: what the parts before lack comes after what
    they have. Where one side is named and the other numbered, :func:`match_classes` decides, and none can be added.

    Raises:
        DataError: nothing says which is which, a part has a class twice, or one class is spelt in two ways.
    """
    names, found, hows = parts[0].names, [np.arange(len(parts[0].names))], []
    for theirs in parts[1:]:
        ours = dataclasses.replace(parts[0], names=names, of=" and ".join(each.of for each in parts[: len(found)]))
        keys, known, how = _keys(theirs, ours)
        _refuse_twice(theirs, keys, range(len(keys)))
        _refuse_twice(ours, known, range(len(known)))
        if how == "name" or (theirs.numbers is not None and ours.numbers is not None):
            new = [place for place, key in enumerate(keys) if key not in set(known)]
            names = (*names, *(theirs.names[place] for place in new))
            places = {key: place for place, key in enumerate((*known, *(keys[place] for place in new)))}
            found.append(np.array([places[key] for key in keys], dtype=np.int64))
        else:
            matched, how = match_classes(theirs, ours, range(len(theirs.names)))
            found.append(matched)
        hows.append(how)
    for same in spellings(names).values():
        raise DataError(f"the parts of a mixture call a class {quoted_names(same)}: is it one? Spell it in one way")
    return names, tuple(found), tuple(hows)


def _keys(theirs: Classes, ours: Classes) -> tuple[Sequence[str | int], Sequence[str | int], How]:
    """What tells the classes of either list, and what that is."""
    their_numbers, our_numbers = theirs.numbers, ours.numbers
    if our_numbers is not None and not theirs.sorted_as_text and ours.only_numbered:
        by_name = their_numbers or theirs.numbers_at_end
        if by_name is not None and list(by_name) != list(range(len(by_name))):
            label = next(place for place, number in enumerate(by_name) if place != number)
            raise DataError(
                f"{theirs.of} calls label {label} {theirs.names[label]!r}, and {ours.of} has numbers alone: "
                "nothing says whether the number or the name is meant; give both the same names"
            )
    if their_numbers is not None and our_numbers is not None:
        return their_numbers, our_numbers, "number"
    if their_numbers is not None:
        return their_numbers, ours.numbers_at_end or range(len(ours.names)), "number"
    if our_numbers is None:
        return [_name(name) for name in theirs.names], [_name(name) for name in ours.names], "name"
    if (at_end := theirs.numbers_at_end) is not None:
        return at_end, our_numbers, "number"
    if len(theirs.names) != len(ours.names) or not ours.only_numbered or _ambiguous(theirs):
        raise DataError(
            f"{theirs.of} names its {len(theirs.names)} classes ({_few(theirs.names)}) and {ours.of} numbers "
            f"{len(ours.names)}: nothing says which is which; call folders by the numbers (0, 1, …), or give the "
            "network the names of its outputs"
        )
    return range(len(theirs.names)), range(len(ours.names)), "order"


def _ambiguous(classes: Classes) -> bool:
    """Whether some of the names are numbers and others not, or places come from sorting names that somebody else would
    sort otherwise: by the numbers in them, or as another file system spells them."""
    if any(map(_is_number, classes.names)):
        return True
    if not classes.sorted_as_text:
        return False
    forms = (functools.partial(unicodedata.normalize, form) for form in ("NFC", "NFD"))
    return any(sorted(classes.names, key=key) != sorted(classes.names) for key in (_by_numbers, *forms))


def _by_numbers(name: str) -> list[str | int]:
    """A key that puts ``10`` after ``9``."""
    return [int(part) if odd % 2 else part for odd, part in enumerate(_PARTS.split(name))]


_PARTS = re.compile(r"([0-9]+)")


def spellings(names: Sequence[str]) -> Mapping[str, list[str]]:
    """Those of ``names`` that are one class in several spellings: case, blanks, Unicode forms, leading zeros, and signs
    that nobody sees.

    Single letters are told apart by case, as handwriting is.
    """
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(_spelt(name), []).append(name)
    return {key: same for key, same in found.items() if len(same) > 1}


def _spelt(name: str) -> str:
    plain = " ".join("".join(sign for sign in _name(name) if unicodedata.category(sign) != "Cf").split())
    if _is_number(plain):
        return str(int(plain))
    return plain if len(plain) == 1 else plain.casefold()


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdigit() and len(name) <= 9


def _name(name: str) -> str:
    """File systems hand the same name out composed and decomposed."""
    return unicodedata.normalize("NFC", name)


def _refuse_twice(classes: Classes, keys: Sequence[str | int], used: Sequence[int]) -> None:
    often = Counter(keys)
    twice = [classes.names[place] for place in used if often[keys[place]] > 1]
    if twice:
        raise DataError(f"{classes.of} has the class {twice[0]!r} twice: nothing says which of the two is meant")


def _difference(theirs: Classes, ours: Classes, strange: Sequence[int], unmet: Sequence[int], how: How) -> str:
    said = [theirs.names[place] for place in strange]
    hint = did_you_mean(said[0], ours.names) if how == "name" and len(ours.names) <= 20 else ""
    if how == "number":
        hint = f" (it has the numbers {_range(ours)}; labels count from 0)"
    alone = f"; without a picture in {theirs.of}: {_few([ours.names[place] for place in unmet])}" if unmet else ""
    return f"{theirs.of}: {ours.of} has no class {_few(said)}{hint}{alone}; call equal classes by equal names"


def _range(classes: Classes) -> str:
    numbers = classes.numbers or classes.numbers_at_end or range(len(classes.names))
    return f"{min(numbers)} to {max(numbers)}"


def _few(names: Sequence[str]) -> str:
    return quoted_names(names, most=3)
