"""``levelfield data inspect``: what a data set holds, and what of it leaks, before anything is spent."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from levelfield.cli.data import PlaceOptions, says_place
from levelfield.cli.data_build import counted

if TYPE_CHECKING:
    from levelfield.data.ingest.inspect import PartInspection, PartLeaks

EXAMPLES = "Example:  levelfield data inspect photos/ --out sheets"
_SHOWN = 20


@says_place
def inspect(
    source: Annotated[str, typer.Argument(help="Any data that `run` reads, built or not.")],
    options: PlaceOptions,
    out: Annotated[Path | None, typer.Option(help="A folder for contact sheets, a picture a part.")] = None,
    workers: Annotated[int | None, typer.Option(help="Threads; as many as there are cores unsaid.", min=1)] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON for a program.")] = False,
) -> None:
    """Look at every picture: classes, sizes, what cannot be read, and held-out pictures that are also trained on."""
    from levelfield.cli.console import say, say_json
    from levelfield.cli.data_demonstrations import say_demonstrations
    from levelfield.data.ingest.demonstrations import DemonstrationsSaid
    from levelfield.data.ingest.inspect import contact_sheet
    from levelfield.data.ingest.inspect import inspect as run_inspect
    from levelfield.data.ingest.masked_places import MaskedPlaceSaid, looked_at_pairs
    from levelfield.data.ingest.places import looked_at, texts_counted
    from levelfield.data.said import said_elsewhere
    from levelfield.records.errors import SpecError
    from levelfield.report.words.skipped import skipped_sentences

    said = options.said_of(source)
    if isinstance(said, DemonstrationsSaid):
        if out is not None:
            raise SpecError("--out draws contact sheets of classes, and demonstrations have none: leave it out")
        say_demonstrations(said, workers=workers or min(os.cpu_count() or 1, 16), as_json=json)
        return
    pairs = {}
    with said_elsewhere():  # what is left out stands below
        if isinstance(said, MaskedPlaceSaid):
            pairs, skipped = looked_at_pairs(said)
            stores = {part: each.pictures for part, each in pairs.items()}
        else:
            stores, skipped = looked_at(said)
    total = sum(store.contents.num_examples for store in stores.values())
    with counted("pictures") as told:
        found = run_inspect(
            stores,
            skipped,
            masked=pairs,
            workers=workers or min(os.cpu_count() or 1, 16),
            told=lambda done: told(done, total),
        )
    sheets = []
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        for part, store in stores.items():
            sheets.append(out / f"{part}.png")
            contact_sheet(store).save(sheets[-1])
    if not isinstance(said, MaskedPlaceSaid):
        counts = texts_counted(said)
        more = {part: {"num_texts": each.texts, "num_texted": each.pictures} for part, each in counts.items()}
        parts = {part: replace(facts, **more.get(part, {})) for part, facts in found.parts.items()}
        found = replace(found, parts=parts)
    if json:
        say_json(found)
        return
    for part, facts in found.parts.items():
        _say_part(part, facts)
    for part, leaks in found.leaks.items():
        _say_leaks(part, leaks)
    for sentence in skipped_sentences(found.skipped):
        say(sentence)
    for sheet in sheets:
        say(f"written: {sheet}")


def _say_part(part: str, facts: PartInspection) -> None:
    from levelfield.cli.console import say, say_table
    from levelfield.report.words.skipped import skipped_sentences

    classes = "1 class" if len(facts.num_by_class) == 1 else f"{len(facts.num_by_class)} classes"
    say(f"{part}: {facts.num_examples:,} pictures of {classes}", "strong")
    if facts.sides is not None:
        (least, median, most), longer = facts.sides.shorter, facts.sides.longer
        say(f"  shorter side {least} to {most} px, half of them {median} or more; longer side up to {longer[2]} px")
    if facts.twins:
        say(f"  {facts.twins:,} pictures are there twice, byte for byte: splits may part them")
    if facts.contradicted:
        say(f"  {facts.contradicted:,} of them stand under two classes: nobody can be right about both", "alarm")
    if facts.num_texts is not None and facts.num_texted is not None:
        say(f"  {facts.num_texts:,} texts are said of {facts.num_texted:,} of them")
    for sentence in skipped_sentences(facts.unusable):
        say(f"  {sentence}", "alarm")
    for each in facts.named_unusable:
        say(f"    {each.name} is {each.said}")
    counts = sorted(facts.num_by_class.items(), key=lambda item: -item[1])
    shown = counts if len(counts) <= _SHOWN else [*counts[: _SHOWN // 2], *counts[-_SHOWN // 2 :]]
    if facts.masked:
        say_table("Classes of pixels", ("class", "pictures that show it"), [(name, f"{n:,}") for name, n in shown])
        return
    title = "Classes" if len(shown) == len(counts) else f"Classes: the {_SHOWN // 2} largest and smallest"
    say_table(title, ("class", "pictures"), [(name, f"{number:,}") for name, number in shown])


def _say_leaks(part: str, leaks: PartLeaks) -> None:
    from levelfield.cli.console import say

    if not leaks.exact and not leaks.near:
        where = "there again" if part == "train" else "in train"
        say(f"{part}: no picture of it was found {where}")
        return
    seen = (
        f"{leaks.exact:,} pictures are there again, byte for byte, and {leaks.near:,} look like another: splits drawn "
        "out of it may part them, so keep one of each, or give held-out pictures a part of their own"
    )
    if part != "train":
        seen = (
            f"{leaks.exact:,} pictures are also in train, byte for byte, and {leaks.near:,} look like one there: a "
            "loss on them is no held-out loss"
        )
    say(f"{part}: {seen}", "alarm")
    for each in leaks.named:
        how = "is" if each.correlation is None else f"looks like ({each.correlation:.3f})"
        say(f"  {each.held_out} {how} {each.trained}")
