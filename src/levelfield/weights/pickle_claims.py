"""What a pickle would make, worked out from its instructions alone: nothing is imported, called or allocated.

A pickle is a program for a stack machine. A few hundred bytes of it can nest tuples so that hashing one takes for
ever, hold a list that holds itself, or ask for storages of any size. This walks through the program with names in the
place of objects and refuses such; what it lets pass costs its reader no more than the file is long.
"""

from __future__ import annotations

import io
import pickletools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from levelfield.records.errors import WeightsError

MAX_INSTRUCTIONS = 2**22
"""A state dict takes some fifty a tensor."""

MAX_NESTED = 2**10
"""Values in one tuple, those in the tuples within it counted each time: hashing it takes as long."""

MAX_ITEMS = 2**22
"""Values in all, those that are held twice counted twice: walking through them takes as long."""

MAX_DEPTH = 64
MAX_INTEGER_BITS = 256
_MARK = object()
_PUTS, _GETS = ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"), ("GET", "BINGET", "LONG_BINGET")
_INTO = ("APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS", "BUILD")
_TO_MARK = ("APPENDS", "SETITEMS", "ADDITEMS", "LIST", "TUPLE", "DICT", "FROZENSET", "POP_MARK", "INST", "OBJ")


class Made:
    """An object that a pickle makes: ``parts`` are those it is made of, ``tuple`` whether as a tuple is."""

    __slots__ = ("nested", "parts", "tuple")

    def __init__(self, parts: list[Any], *, tuple: bool) -> None:
        self.parts, self.tuple = parts, tuple
        self.nested = 1 + sum(part.nested if isinstance(part, Made) and part.tuple else 1 for part in parts)


def claims_of(file: BinaryIO, path: Path) -> list[Made]:
    """The tuples by which the next pickle in ``file`` asks for storages outside itself; ``file`` is left after it.

    Raises:
        WeightsError: it is damaged, longer or deeper than weights are, or refers to itself.
    """
    machine, held = _Machine(path), cast(BinaryIO, _Held(file))
    try:
        for number, (code, argument, _) in enumerate(pickletools.genops(held)):
            if number >= MAX_INSTRUCTIONS:
                raise WeightsError(f"{path} is a pickle of more than {MAX_INSTRUCTIONS:,} instructions, as no weights")
            machine.take(code, argument)
        root = machine.stack.pop()
    except (ValueError, IndexError, KeyError, OverflowError) as error:
        raise WeightsError(f"{path} is a damaged pickle ({error})") from None
    _refuse_endless(root, path)
    return machine.asked


class _Held:
    """``file``, which is asked for no more than it holds: a length that is only claimed takes no memory."""

    def __init__(self, file: BinaryIO) -> None:
        here = file.tell()
        self._file, self._size = file, file.seek(0, io.SEEK_END)
        file.seek(here)
        self.readline, self.tell = file.readline, file.tell

    def read(self, size: int) -> bytes:
        return self._file.read(min(size, self._size - self._file.tell()))


class _Machine:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.asked: list[Made] = []

    def take(self, code: pickletools.OpcodeInfo, argument: Any) -> None:
        name = code.name
        if name == "MARK":
            self.stack.append(_MARK)
        elif name == "POP":
            self.stack.pop()
        elif name == "DUP":
            self.stack.append(self.stack[-1])
        elif name in _PUTS:
            self.memo[len(self.memo) if argument is None else argument] = self.stack[-1]
        elif name in _GETS:
            self.stack.append(self.memo[argument])
        elif name in ("GLOBAL", "STACK_GLOBAL"):
            parts = argument.split(" ") if argument is not None else self._popped(2)
            self.stack.append(".".join(map(str, parts)))
        elif name not in ("PROTO", "FRAME", "STOP"):
            self._make(code, argument)

    def _make(self, code: pickletools.OpcodeInfo, argument: Any) -> None:
        if isinstance(argument, int) and argument.bit_length() > MAX_INTEGER_BITS:
            raise WeightsError(
                f"{self.path} is a pickle with a number of {argument.bit_length():,} bits, as no weights"
            )
        if code.name in _TO_MARK:
            parts = self._to_mark()
        else:
            parts = self._popped(len(code.stack_before) - (code.name in _INTO))
        if code.name in _INTO:
            if isinstance(self.stack[-1], Made):
                self.stack[-1].parts.extend(parts)
        elif code.name != "POP_MARK":
            self.stack.append(self._made(code.name, parts, argument))

    def _made(self, name: str, parts: list[Any], argument: Any) -> Any:
        if name == "REDUCE" and parts[0] == "builtins.bytearray":
            raise WeightsError(f"{self.path} is a pickle that asks for memory to be filled, as no weights do")
        if not parts and name not in ("EMPTY_LIST", "EMPTY_DICT", "EMPTY_SET", "LIST", "DICT"):
            return argument if isinstance(argument, int | str) else None
        made = Made(parts, tuple="TUPLE" in name or name == "FROZENSET")
        if made.tuple and made.nested > MAX_NESTED:
            raise WeightsError(f"{self.path} is a pickle of tuples nested to more than {MAX_NESTED:,} values")
        if name in ("PERSID", "BINPERSID"):
            self.asked.append(made)
        return made

    def _popped(self, number: int) -> list[Any]:
        if number > len(self.stack):
            raise IndexError("it takes more than it has")
        found = self.stack[len(self.stack) - number :]
        del self.stack[len(self.stack) - number :]
        return found

    def _to_mark(self) -> list[Any]:
        found: list[Any] = []
        while (value := self.stack.pop()) is not _MARK:
            found.append(value)
        return found[::-1]


def _refuse_endless(root: Any, path: Path) -> None:
    """Refuse what holds itself, is nested deeper, or holds more when walked through, than weights do."""
    sizes: dict[int, int] = {}
    open_: dict[int, Iterator[Any]] = {}
    way = [root] if isinstance(root, Made) else []
    while way:
        here = way[-1]
        parts = open_.setdefault(id(here), (part for part in here.parts if isinstance(part, Made)))
        step = next((part for part in parts if id(part) not in sizes), None)
        if step is None:
            way.pop()
            del open_[id(here)]
            sizes[id(here)] = 1 + sum(sizes[id(part)] if isinstance(part, Made) else 1 for part in here.parts)
            if sizes[id(here)] > MAX_ITEMS:
                raise WeightsError(f"{path} is a pickle that unfolds to more than {MAX_ITEMS:,} values, as no weights")
        elif id(step) in open_:
            raise WeightsError(f"{path} is a pickle of something that holds itself, as no weights do")
        else:
            way.append(step)
            if len(way) > MAX_DEPTH:
                raise WeightsError(f"{path} is a pickle nested more than {MAX_DEPTH} deep, as no weights are")
