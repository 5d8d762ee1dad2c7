"""``levelfield data verify``: whether every byte of a data set is what it was."""

from __future__ import annotations

from typing import Annotated

import typer

from levelfield.cli.data import ImageColumn, LabelColumn

EXAMPLES = "Example:  levelfield data verify built/photos"


def verify(
    source: Annotated[str, typer.Argument(help="What `data build` made, or any data that `run` reads.")],
    image_column: ImageColumn = None,
    label_column: LabelColumn = None,
) -> None:
    """Read and hash everything, believing nothing that was kept: built data must be what its manifest says."""
    from levelfield.cli.console import say
    from levelfield.data.ingest.places import PlaceSaid, forms_at
    from levelfield.data.ingest.verify import verified

    said = PlaceSaid(path=source, image_column=image_column, label_column=label_column)
    for part, form in forms_at(said, source).items():
        contents, compared = verified(form)
        told = "all as it was built" if compared else "listed and hashed anew: nothing to compare it with"
        say(f"{part}: {contents.num_examples:,} pictures, fingerprint {contents.fingerprint}: {told}")
