"""What ``levelfield data inspect`` says of demonstrations."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from levelfield.data.ingest.demonstrations import DemonstrationsSaid
    from levelfield.data.ingest.inspect_demonstrations import NumbersFacts


def say_demonstrations(said: DemonstrationsSaid, *, workers: int, as_json: bool) -> None:
    """Look at every frame at a place, and say what was found.

    Raises:
        DataError: what lies there is not understood.
    """
    from levelfield.cli.console import say, say_json, say_table
    from levelfield.cli.data_build import counted
    from levelfield.data.ingest.demonstrations import demonstrations_at
    from levelfield.data.ingest.inspect_demonstrations import inspect_demonstrations

    held = demonstrations_at(said)
    with counted("frames") as told:
        found = inspect_demonstrations(held, workers=workers, told=lambda done: told(done, len(held.rows)))
    if as_json:
        say_json(found)
        return
    least, median, most = found.lengths
    say(f"{found.num_episodes:,} episodes of {found.num_frames:,} frames", "strong")
    say(f"  {least} to {most} frames an episode, half of them {median} or more")
    if found.num_unusable:
        say(f"  {found.num_unusable:,} pictures cannot be read", "alarm")
        for each in found.named_unusable:
            say(f"    {each.name} is {each.said}")
    for remark in found.remarks:
        say(f"  {remark}", "alarm")
    rows = [*_rows("state", found.state), *_rows("action", found.action)]
    say_table("Numbers of a frame", ("which", "least", "mean", "most"), rows)


def _rows(name: str, facts: NumbersFacts) -> list[tuple[str, str, str, str]]:
    each = zip(facts.least, facts.mean, facts.most, strict=True)
    return [
        (f"{name} {place}", f"{least:.4g}", f"{mean:.4g}", f"{most:.4g}")
        for place, (least, mean, most) in enumerate(each)
    ]
