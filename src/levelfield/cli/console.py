"""What the verbs share: where they print, and how tables and numbers look there."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from levelfield.report.table import Table


def complain(message: str) -> None:
    """An error, on standard error."""
    print(f"levelfield: {message}", file=sys.stderr)


def say(message: str = "") -> None:
    """A line of the answer."""
    print(message)


def say_json(value: Any) -> None:
    """The answer for a program: records become plain tables."""
    from levelfield.records.codec import to_plain

    print(json.dumps(to_plain(value), indent=2, ensure_ascii=False, allow_nan=False))


def say_report_table(table: Table) -> None:
    """One of the report's own tables."""
    say_table(table.title, [column.title for column in table.columns], [[c.text for c in row] for row in table.rows])


def say_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table: drawn by rich on a terminal, tab-separated elsewhere."""
    rows = [tuple(row) for row in rows]
    if not rows:
        return
    if not sys.stdout.isatty():
        print(f"# {title}")
        for row in (columns, *rows):
            print("\t".join(row))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console().print(table)
