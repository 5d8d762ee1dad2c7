"""What the verbs share: where they print, and how tables and numbers look there."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from levelfield.cli.streams import harmless, says_unicode
from levelfield.cli.terminal import paragraph, table_lines

if TYPE_CHECKING:
    from levelfield.report.tables.table import Table

Style: TypeAlias = Literal["plain", "strong", "faint", "alarm"]
_CODES: dict[Style, str] = {"plain": "", "strong": "1", "faint": "2", "alarm": "1;31"}
_WIDEST_TEXT = 100


_quiet = False


def speak(*, verbose: bool, quiet: bool) -> None:
    """How much is told beside the answer: warnings, more, or errors alone."""
    global _quiet
    _quiet = quiet
    if verbose or quiet:
        import logging

        level = logging.ERROR if quiet else logging.DEBUG
        logging.basicConfig(level=logging.WARNING, format="levelfield: %(message)s", force=True)
        logging.getLogger("levelfield").setLevel(level)


def is_quiet() -> bool:
    return _quiet


def complain(message: str) -> None:
    """An error, on standard error."""
    print(f"levelfield: {harmless(message)}", file=sys.stderr)


def say(message: str = "", style: Style = "plain") -> None:
    """A line of the answer; on a terminal it is broken between words, elsewhere it stays one line."""
    if sys.stdout.isatty():
        lines = message.split("\n")
        message = "\n".join(_dressed(paragraph(line, min(_width(), _WIDEST_TEXT)), style) for line in lines)
    print(message)


def say_json(value: Any) -> None:
    """The answer for a program: records become plain tables, with a sentence beside every code."""
    print(json.dumps(plain_with_sentences(value), indent=2, ensure_ascii=not says_unicode(), allow_nan=False))


def plain_with_sentences(value: Any) -> Any:
    """``value`` as plain tables, with a sentence beside every code."""
    from levelfield.records.codec import to_plain
    from levelfield.report.words.told import told

    return to_plain(value, describe=told)


def say_json_line(value: Any) -> None:
    """One of many answers for a program, on a line of its own."""
    from levelfield.records.codec import to_plain

    text = json.dumps(to_plain(value), sort_keys=True, ensure_ascii=not says_unicode(), allow_nan=False)
    print(text, flush=True)


def say_report_table(table: Table) -> None:
    """One of the report's own tables."""
    columns = [column.title for column in table.columns]
    say_table(table.title, columns, table.plain(), numeric=[column.numeric for column in table.columns])


def say_table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], *, numeric: Sequence[bool] = ()
) -> None:
    """A table: laid out for its width on a terminal, tab-separated elsewhere."""
    rows = [tuple(row) for row in rows]
    if not rows:
        return
    print()
    if not sys.stdout.isatty():
        print(f"# {title}")
        for row in (columns, *rows):
            print("\t".join(row))
        return
    say(title, "strong")
    for line in table_lines(columns, rows, _width(), numeric=numeric, faint=lambda line: _dressed(line, "faint")):
        print(line)


def _width() -> int:
    return shutil.get_terminal_size().columns


def _dressed(text: str, style: Style) -> str:
    """``text`` in its style, where the terminal has styles and nobody asked for none (https://no-color.org)."""
    if not text or not _CODES[style] or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    return f"\x1b[{_CODES[style]}m{text}\x1b[0m"
