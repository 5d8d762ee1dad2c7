"""``levelfield families``: who can compete."""

from __future__ import annotations

from typing import Annotated

import typer

EXAMPLES = "Example:  levelfield families --json"


def families(json: Annotated[bool, typer.Option("--json", help="Print JSON for a program.")] = False) -> None:
    """List the families, their named variants and the grammar of their sizes."""
    from levelfield.cli.console import say, say_json
    from levelfield.families.registry import list_families

    listed = list_families()
    if json:
        say_json(
            [
                {
                    "name": family.name,
                    "variants": family.variants,
                    "ladder": family.ladder,
                    "options": dict(family.options),
                    "source": family.source,
                }
                for family in listed
            ]
        )
        return
    for family in listed:
        say(f"{family.name}: {family.title}", "strong")
        say(f"  named    {', '.join(family.variants)}")
        say(f"  ladder   {family.ladder}")
        for option, values in family.options:
            say(f"  option   ,{option}={'|'.join(values)} (the first is the default)")
        say(f"  such as  {', '.join(family.examples)}")
        say(f"  source   {family.source}")
