"""``levelfield report``: the page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

EXAMPLES = "Example:  levelfield report runs/quickstart"


def report(directory: Annotated[Path, typer.Argument(help="The directory of a study.")]) -> None:
    """Write report.html and its figures (SVG, PNG) into the study's directory: self-contained, no network."""
    from levelfield.cli.analysis import write_study_report
    from levelfield.cli.console import say

    say(f"report: {write_study_report(directory)}")
