"""``levelfield fit``: the law of loss against compute."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from levelfield.cli.columns import TableOptions, reads_table

EXAMPLES = "Example:  levelfield fit runs.csv --compute flops --loss val_loss --family arch"


@reads_table
def fit(
    source: Annotated[Path, typer.Argument(help="A study's directory, or anybody's table of training runs.")],
    table: TableOptions,
    json: Annotated[bool, typer.Option("--json", help="Print JSON for a program.")] = False,
) -> None:
    """Fit the laws of held-out loss against compute, and the optimum of a budget, or say why there is none."""
    from levelfield.cli.analysis import read_analysis, say_notices, say_optima, say_refusals
    from levelfield.cli.console import say_json, say_report_table
    from levelfield.report.optimum_tables import optima_table, rates_table, size_laws_table
    from levelfield.report.tables import laws_table

    analysis = read_analysis(source, table, compared=False)
    if json:
        say_json(
            {
                "laws": analysis.laws,
                "size_laws": analysis.size_laws,
                "allocations": analysis.allocations,
                "optima": analysis.optima,
                "rate_surfaces": analysis.rate_surfaces,
                "refusals": analysis.refusals,
                "notices": analysis.notices,
            }
        )
        return
    say_notices(analysis)
    say_report_table(laws_table(analysis))
    say_report_table(size_laws_table(analysis))
    say_report_table(optima_table(analysis))
    say_optima(analysis)
    say_report_table(rates_table(analysis))
    say_refusals(analysis)
