"""``levelfield report``: the page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

EXAMPLES = "Example:  levelfield report runs/quickstart"


def report(
    directory: Annotated[Path, typer.Argument(help="The directory of a study.")],
    *,
    measure: Annotated[
        str | None, typer.Option(help="What to show instead of what selected, of what was measured: error.")
    ] = None,
) -> None:
    """Write report.html and its figures (SVG, PNG) into the study's directory: self-contained, no network."""
    from levelfield.cli.console import say
    from levelfield.publish import publish
    from levelfield.report.words.verdicts import headline

    page, analysis = publish(directory, measure=measure)
    say(headline(analysis), "strong")
    say(f"report: {page}")
