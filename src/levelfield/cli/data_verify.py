"""``levelfield data verify``: whether every byte of a data set is what it was."""

from __future__ import annotations

from typing import Annotated

import typer

from levelfield.cli.data import PlaceOptions, says_place

EXAMPLES = "Example:  levelfield data verify built/photos"


@says_place
def verify(
    source: Annotated[str, typer.Argument(help="What `data build` made, or any data that `run` reads.")],
    options: PlaceOptions,
) -> None:
    """Read and hash everything, believing nothing that was kept: built data must be what its manifest says."""
    from levelfield.cli.console import say
    from levelfield.data.ingest.demonstrations import DemonstrationsSaid, demonstrations_at
    from levelfield.data.ingest.masked_places import MaskedPlaceSaid, masked_forms_at
    from levelfield.data.ingest.places import PlaceSaid, forms_at
    from levelfield.data.ingest.verify import verified

    said = options.said_of(source)
    if isinstance(said, DemonstrationsSaid):
        held = demonstrations_at(said, rehash=True)
        say(
            f"{held.num_episodes:,} episodes, {len(held.rows):,} frames, fingerprint {held.fingerprint}: listed and "
            "hashed anew: nothing to compare it with"
        )
        return
    forms = masked_forms_at(said, source) if isinstance(said, MaskedPlaceSaid) else forms_at(said, source)
    for part, form in forms.items():
        contents, compared = verified(form, texted=isinstance(said, PlaceSaid) and said.texts is not None)
        told = "all as it was built" if compared else "listed and hashed anew: nothing to compare it with"
        say(f"{part}: {contents.num_examples:,} pictures, fingerprint {contents.fingerprint}: {told}")
