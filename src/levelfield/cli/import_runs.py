"""``levelfield import``: others' results beside a study's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

EXAMPLES = "Example:  levelfield import runs.csv runs/mine --source 'Table 3 of arXiv 2310.16764' --family arch"


def import_runs(
    csv: Annotated[Path, typer.Argument(help="A CSV of training runs.")],
    directory: Annotated[Path, typer.Argument(help="The directory of the study that takes them in.")],
    source: Annotated[str, typer.Option(help="Where they come from, in words: shown beside every point.")],
    compute: Annotated[str, typer.Option(help="Column of training FLOPs.")] = "flops",
    loss: Annotated[str, typer.Option(help="Column of held-out loss.")] = "loss",
    family: Annotated[str | None, typer.Option(help="Column that names the family.")] = None,
    model: Annotated[str | None, typer.Option(help="Column that names the model.")] = None,
    params: Annotated[str | None, typer.Option(help="Column of parameter counts.")] = None,
    seconds: Annotated[str | None, typer.Option(help="Column of device-seconds.")] = None,
    name: Annotated[str | None, typer.Option(help="What to call them; the file's name when left out.")] = None,
) -> None:
    """Show others' results beside a study's own: drawn and listed as imported, in no law and no verdict."""
    from levelfield.cli.console import say
    from levelfield.publish import publish
    from levelfield.records.store import StudyDirectory
    from levelfield.study.imported import import_runs as take_in

    columns = {
        "compute": compute, "loss": loss, "family": family, "model": model, "params": params, "device_seconds": seconds,
    }  # fmt: skip
    named = {meaning: column for meaning, column in columns.items() if column}
    taken = take_in(StudyDirectory(directory), csv, columns=named, source=source, name=name)
    page, _ = publish(directory)
    say(f"{len(taken.rows)} runs imported as {taken.name!r}: shown, never judged")
    say(f"report: {page}")
