"""``levelfield runs``: whatever was fine-tuned, probed, trained or raced, side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

EXAMPLES = "Example:  levelfield runs runs/ --csv runs.csv"


def runs(
    directories: Annotated[list[Path], typer.Argument(help="Where to look, and below.")],
    trials: Annotated[
        bool, typer.Option("--trials", help="Every trial of a study, too, not its winners alone.")
    ] = False,
    csv: Annotated[Path | None, typer.Option(help="Write all of it to this file, too.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON for a program.")] = False,
) -> None:
    """List fine-tunes, probes, trained runs, trials and studies; those judged alike are ranked, others stand apart.

    What cannot be read is named at the end, with exit code 2.
    """
    from levelfield.cli.console import say, say_json, say_report_table
    from levelfield.records.errors import InputError
    from levelfield.records.writing import write_atomically
    from levelfield.report.tables.found import compared_tables, table_of_all
    from levelfield.study.outcome.found import found_runs

    unreadable: list[str] = []
    found = tuple(found_runs(directories, trials=trials, unreadable=unreadable))
    if csv is not None:
        write_atomically(csv, table_of_all(found).csv().encode())
    if json:
        say_json(found)
    else:
        tables = compared_tables(found)
        for table in tables:
            say_report_table(table)
        if any(run.ranked_by is not None for run in found):
            say()
            say("intervals are 90 %: over the images that judged one run, over seeds where there are several")
        if sum(run.ranked_by is not None for run in found) and len(tables) > 1:
            say("numbers of two tables do not compare: other images, another split or another measure")
        if not found and not unreadable:
            say(f"nothing was trained, probed or raced under {', '.join(map(str, directories))}")
    if unreadable:
        listed = "\n".join(f"  {each}" for each in unreadable)
        raise InputError(f"{len(unreadable)} of what lies there cannot be read:\n{listed}")
