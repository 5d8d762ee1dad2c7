"""``levelfield import``: others' results beside a study's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from levelfield.cli.columns import TableOptions, reads_table

EXAMPLES = "Example:  levelfield import runs.csv runs/mine --source 'Table 3 of arXiv 2310.16764' --family arch"


@reads_table
def import_runs(
    csv: Annotated[Path, typer.Argument(help="A table of training runs.")],
    directory: Annotated[Path, typer.Argument(help="The directory of the study that takes them in.")],
    *,
    source: Annotated[str, typer.Option(help="Where they come from, in words: shown beside every point.")],
    name: Annotated[str | None, typer.Option(help="What to call them; the file's name when left out.")] = None,
    table: TableOptions,
) -> None:
    """Show others' results beside a study's own: drawn and listed as imported, in no law and no verdict."""
    from levelfield.cli.console import say
    from levelfield.publish import publish
    from levelfield.records.store import StudyDirectory
    from levelfield.study.outcome.imported import import_runs as take_in

    taken = take_in(StudyDirectory(directory), csv, source=source, name=name, **table.reading)
    page, _ = publish(directory)
    for notice in taken.notices:
        say(f"note: {notice}")
    say(f"{len(taken.rows)} runs imported as {taken.name!r}: shown, never judged")
    say(f"report: {page}")
