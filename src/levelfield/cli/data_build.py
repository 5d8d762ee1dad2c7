"""``levelfield data build``: what people bring, as shards, an index and a manifest."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from levelfield.cli.data import PlaceOptions, says_place

EXAMPLES = "Example:  levelfield data build photos/ built/photos"
_EVERY_S = 10.0


@says_place
def build(
    source: Annotated[str, typer.Argument(help="Class folders, tars, Parquet, a hub's folder, or a table of paths.")],
    out: Annotated[Path, typer.Argument(help="A new folder for the data set.")],
    options: PlaceOptions,
    workers: Annotated[int | None, typer.Option(help="Processes; as many as there are cores unsaid.", min=1)] = None,
    shard_mb: Annotated[int, typer.Option("--shard-mb", help="Size of a shard, about.", min=1)] = 256,
    in_place: Annotated[
        bool, typer.Option("--in-place", help="Leave pictures where they lie, and keep an index of them alone.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the manifest for a program.")] = False,
) -> None:
    """Hash and check every picture once, and keep the bytes of those that can be read in tars. Run again to go on."""
    from levelfield.cli.console import say, say_json
    from levelfield.data.ingest.build import build as run_build
    from levelfield.data.ingest.demonstrations import DemonstrationsSaid
    from levelfield.data.ingest.masked_places import MaskedPlaceSaid, listed_pairs
    from levelfield.data.ingest.places import listed_forms
    from levelfield.records.errors import SpecError
    from levelfield.report.words.skipped import skipped_sentences

    said = options.said_of(source)
    if isinstance(said, DemonstrationsSaid):
        raise SpecError(f"{source} holds demonstrations, which are read where they lie: use it as it is")
    forms = listed_pairs(said) if isinstance(said, MaskedPlaceSaid) else listed_forms(said)
    with counted("pictures") as told:
        found = run_build(
            forms,
            out,
            workers=workers or min(os.cpu_count() or 1, 16),
            shard_bytes=shard_mb * 2**20,
            in_place=in_place,
            told=lambda progress: told(progress.done, progress.total),
        )
    if json:
        say_json(found)
        return
    for part, facts in found.parts.items():
        contents = facts.contents
        num_bytes = sum(shard.num_bytes for shard in facts.shards)
        where = f"in {len(facts.shards)} shards ({num_bytes / 1e6:,.0f} MB)" if facts.shards else "where they lie"
        which = "of 1 class" if len(contents.used) == 1 else f"of {len(contents.used)} classes"
        if facts.masks is not None:
            which = f"with masks of {len(facts.masks.facts.names)} classes"
        say(f"{part}: {contents.num_examples:,} pictures {which} {where}, fingerprint {contents.fingerprint}")
        if facts.texts is not None:
            say(f"  {facts.texts.num_texts:,} texts are said of {facts.texts.contents.num_examples:,} of them")
        if contents.twins:
            say(f"  {contents.twins:,} of them are there twice, byte for byte")
        if shared := found.also_in_train.get(part):
            say(f"  {shared:,} of them are also in train, byte for byte", "alarm")
    for sentence in skipped_sentences(found.skipped):
        say(sentence)
    if found.skipped:
        say(f"each is named in {out / 'skipped.csv'}")
    decided = ", ".join(f"{name} {version}" for name, version in found.decoders.items())
    say(f"built: {out} (what can be read was decided by {decided})")


@contextlib.contextmanager
def counted(what: str) -> Iterator[Callable[[int, int], None]]:
    """How many ``what`` of how many are done: a bar on a terminal, a line now and then elsewhere."""
    from levelfield.cli.console import is_quiet

    if is_quiet():
        yield lambda done, total: None
        return
    if not sys.stderr.isatty():
        last = time.monotonic()

        def line(done: int, total: int) -> None:
            nonlocal last
            if time.monotonic() - last > _EVERY_S:
                last = time.monotonic()
                print(f"levelfield: {done:,} of {total:,} {what}", file=sys.stderr)

        yield line
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bars:
        bar = bars.add_task(what, total=None)
        yield lambda done, total: bars.update(bar, completed=done, total=total)
