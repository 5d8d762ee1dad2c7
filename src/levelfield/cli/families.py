"""``levelfield families``: who can compete."""

from __future__ import annotations

from typing import Annotated

import typer

EXAMPLES = "Example:  levelfield families --json"


def families(json: Annotated[bool, typer.Option("--json", help="Print JSON for a program.")] = False) -> None:
    """List the families, their named variants and the grammar of their sizes."""
    from levelfield.cli.console import say, say_json, say_table
    from levelfield.families.registry import list_families

    listed = list_families()
    if json:
        say_json(listed)
        return
    for family in listed:
        say(f"{family.name}: {family.grammar}")
    rows = [(family.name, variant) for family in listed for variant in family.variants]
    say_table("Named variants", ("family", "variant"), rows)
