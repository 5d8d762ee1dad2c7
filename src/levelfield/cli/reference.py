"""``levelfield reference``: what others published, in one currency."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

EXAMPLES = "Example:  levelfield reference --figure published.svg"


def reference(
    points: Annotated[bool, typer.Option("--points", help="Also every published result with its confounds.")] = False,
    figure: Annotated[Path | None, typer.Option(help="Draw it: a path that ends in .svg or .png.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON for a program.")] = False,
) -> None:
    """Say what published NFNets and ViTs support at equal compute, and what they do not."""
    from collections import Counter

    from levelfield.cli.console import say, say_json, say_report_table
    from levelfield.reference.currency import PRETRAIN_PX
    from levelfield.reference.evidence import published_evidence
    from levelfield.report.published.tables import published_tables
    from levelfield.report.words.published import bottom_line, concluded, not_concluded

    if figure is not None:
        _draw(figure)
    evidence = published_evidence()
    if json:
        say_json(
            {
                "verdict": bottom_line(evidence),
                "concluded": concluded(evidence),
                "not_concluded": not_concluded(evidence),
                "evidence": evidence,
            }
        )
        return
    say(bottom_line(evidence))
    for title, sentences in (
        ("What can be concluded", concluded(evidence)),
        ("What cannot", not_concluded(evidence)),
    ):
        say()
        say(f"{title}:")
        for sentence in sentences:
            say(f"  - {sentence}")
    say()
    for table in published_tables(evidence, points=points):
        say_report_table(table)
    known = Counter(point.compute.basis for point in evidence.points)
    say(
        f"{len(evidence.points)} results have a place: compute counted by our own rule at {PRETRAIN_PX} px for "
        f"{known['counted']}, stated by the source for {known['stated']}, converted from device time for "
        f"{known['converted']}. Left out:"
    )
    for each in evidence.left_out:
        say(f"  {each.num_points:>3}  {each.why}")
    if figure is not None:
        say(f"drawn: {figure}")


def _draw(path: Path) -> None:
    from levelfield.records.errors import SpecError
    from levelfield.records.writing import write_atomically
    from levelfield.report.page.svg import draw_png, draw_svg, stacked
    from levelfield.report.published.figures import published_figure

    if path.suffix not in (".svg", ".png"):
        raise SpecError(f"--figure must end in .svg or .png, saw {str(path)!r}")
    if not path.parent.is_dir():
        raise SpecError(f"--figure: the directory {str(path.parent)!r} does not exist")
    panels = published_figure(width=680, height=430).panels
    svg = stacked([(panel.title, draw_svg(panel.specification, panel.name)) for panel in panels])
    write_atomically(path, draw_png(svg) if path.suffix == ".png" else svg.encode())
