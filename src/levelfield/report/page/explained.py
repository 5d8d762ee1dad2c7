"""Words explained where they first stand on a page: a link to the list of words whose title says what one means."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape

from levelfield.report.words.glossary import TERMS, Term, anchor

_PARTS = re.compile(r"<!--.*?-->|<[^>]*>", re.DOTALL)
_TAG = re.compile(r"</?([a-zA-Z][a-zA-Z0-9]*)")
_SILENT = frozenset(
    ("head", "svg", "script", "style", "pre", "code", "a", "h1", "h2", "h3", "nav", "dt", "th", "button", "footer")
)
"""Elements whose words are left as they are: titles, names, what can be clicked already, and what is no prose."""


def explained(page: str, entries: Iterable[str]) -> str:
    """``page`` with the first use of every term that is among the ``entries`` of its list of words linked to it.

    Texts are escaped in it, so that ``<`` begins a tag and nothing else.
    """
    there = set(entries)
    left = [term for term in TERMS if term.entry in there]
    written: list[str] = []
    within: list[str] = []
    end = 0
    for tag in _PARTS.finditer(page):
        text = page[end : tag.start()]
        written += [_told(text, left, within), tag[0]]
        end = tag.end()
        _enter_or_leave(within, tag[0])
    return "".join([*written, page[end:]])


def _enter_or_leave(within: list[str], tag: str) -> None:
    """Keep in ``within`` those of the elements open here that matter, the innermost last."""
    named = _TAG.match(tag)
    name = named[1].lower() if named else ""
    if name not in (*_SILENT, "summary") or tag.endswith("/>"):
        return
    if not tag.startswith("</"):
        within.append(name)
    elif name in within:
        del within[len(within) - 1 - within[::-1].index(name) :]


def _told(text: str, left: list[Term], within: list[str]) -> str:
    """``text`` with those of the terms ``left`` explained that it has, which are left no more.

    In a summary, which a click unfolds, no link may stand: there the title alone says it.
    """
    if not _SILENT.isdisjoint(within):
        return text
    found = []
    for term in list(left):
        place = re.search(rf"(?<![\w&/-])(?:{term.pattern})(?![\w-])", text)
        if place is not None:
            found.append((place.start(), place.end(), term))
            left.remove(term)
    for start, end, term in sorted(found, reverse=True, key=lambda each: each[0]):
        said = f'class="term" title="{escape(term.clause)}"'
        link = f'a {said} href="#{anchor(term.entry)}"' if not within else f"abbr {said}"
        text = f"{text[:start]}<{link}>{text[start:end]}</{link.partition(' ')[0]}>{text[end:]}"
    return text
