"""``levelfield export``: a study as a table for others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

EXAMPLES = "Example:  levelfield export runs/quickstart results/"


def export(
    directory: Annotated[Path, typer.Argument(help="The directory of a study.")],
    folder: Annotated[Path, typer.Argument(help="Where trials.csv and columns.csv go.")],
) -> None:
    """Write a row a trial, with the code that made it, and a dictionary of the columns."""
    from levelfield.cli.console import say
    from levelfield.study.outcome.export import export_study
    from levelfield.study.outcome.outcome import read_outcome

    for path in export_study(read_outcome(directory), folder):
        say(str(path))
