"""The three standard streams, made fit to be written to whatever they are: closed, of another encoding, or a pipe."""

from __future__ import annotations

import codecs
import io
import os
import re
import sys

_SPELT = str.maketrans(
    {
        "–": "-", "−": "-", "─": "-", "│": "|", "×": "x", "±": "+-", "…": "...", "·": ".", "→": "->", "←": "<-",
        "↑": "^", "↓": "v", "′": "'", "“": '"', "”": '"', "\u2009": " ", "\u202f": " ", "\u00a0": " ",
        **dict(zip("⁻⁰¹²³⁴⁵⁶⁷⁸⁹ᵅᵝᵇᶜ", "-0123456789abbc", strict=True)),
    }
)  # fmt: skip
_RAISED = re.compile("[⁻⁰¹²³⁴⁵⁶⁷⁸⁹ᵅᵝᵇᶜ]+")
_ENDLESS = re.compile(r"\S{400,}")
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def prepare_streams() -> bool:
    """Make the streams writable whatever is said; False where there is no standard output to answer on.

    What an encoding lacks is spelt in ASCII (``10⁻³`` as ``10^-3``). A closed stream becomes the null device, so that
    no file opened later takes its number and is written to by mistake.
    """
    answered = True
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            answered = answered and name != "stdout"
            _open_nowhere(number, name)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            encoding = stream.encoding if _is_unicode(stream.encoding) else "ascii"
            stream.reconfigure(encoding=encoding, errors=_SPELLING)
    return answered


def drop_output(*numbers: int) -> None:
    """Let what is left to be written there go nowhere: whoever read it has gone, or it has no room."""
    with open(os.devnull, "wb") as nowhere:
        for number in numbers:
            os.dup2(nowhere.fileno(), number)


def says_unicode() -> bool:
    """Whether standard output can carry any character."""
    return _is_unicode(sys.stdout.encoding)


def harmless(text: str) -> str:
    """``text`` that quotes what others wrote: it commands no terminal, and a word without end is cut in the middle."""
    text = _ENDLESS.sub(lambda word: f"{word[0][:100]}... ({len(word[0]):,} characters) ...{word[0][-100:]}", text)
    return _CONTROL.sub(lambda found: repr(found[0])[1:-1], text)


def _open_nowhere(number: int, name: str) -> None:
    while (nowhere := os.open(os.devnull, os.O_RDWR)) < number:  # the lowest free number comes first
        pass
    if nowhere != number:
        os.dup2(nowhere, number)
        os.close(nowhere)
    setattr(sys, name, open(number, "r" if number == 0 else "w", closefd=False))  # noqa: SIM115


def _is_unicode(encoding: str | None) -> bool:
    return bool(encoding) and codecs.lookup(encoding).name.startswith("utf")


def _spell(error: UnicodeError) -> tuple[str, int]:
    """What cannot be encoded, in ASCII: what has a likeness by that, the rest by its number."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = _RAISED.sub(lambda found: "^" + found[0], error.object[error.start : error.end])
    return text.translate(_SPELT).encode("ascii", "backslashreplace").decode(), error.end


_SPELLING = "levelfield-spelling"
codecs.register_error(_SPELLING, _spell)
