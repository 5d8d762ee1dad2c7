"""``levelfield fit``: the law of loss against compute."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

EXAMPLES = "Example:  levelfield fit runs.csv --compute flops --loss val_loss --family arch"


def fit(
    source: Annotated[Path, typer.Argument(help="A study's directory, or anybody's CSV of training runs.")],
    compute: Annotated[str, typer.Option(help="CSV: column of training compute, or 6ND.")] = "flops",
    loss: Annotated[str, typer.Option(help="CSV: column of held-out loss.")] = "loss",
    family: Annotated[str | None, typer.Option(help="CSV: column that names the family.")] = None,
    params: Annotated[str | None, typer.Option(help="CSV: column of parameter counts.")] = None,
    examples: Annotated[
        str | None,
        typer.Option(help="CSV: column of examples or tokens seen; needed, with --params, for the optimum."),
    ] = None,
    epochs: Annotated[str | None, typer.Option(help="CSV: column of epochs.")] = None,
    rate: Annotated[str | None, typer.Option(help="CSV: column of peak learning rates.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON for a program.")] = False,
) -> None:
    """Fit the laws of held-out loss against compute, and the optimum of a budget, or say why there is none."""
    from levelfield.cli.analysis import read_analysis, say_optima, say_refusals
    from levelfield.cli.console import say_json, say_report_table
    from levelfield.report.optimum_tables import optima_table, rates_table, size_laws_table
    from levelfield.report.tables import laws_table

    columns = {
        "compute": compute,
        "loss": loss,
        "family": family,
        "params": params,
        "examples": examples,
        "epochs": epochs,
        "base_lr": rate,
    }
    analysis = read_analysis(source, columns=columns, compared=False)
    if json:
        say_json(
            {
                "laws": analysis.laws,
                "size_laws": analysis.size_laws,
                "allocations": analysis.allocations,
                "optima": analysis.optima,
                "rate_surfaces": analysis.rate_surfaces,
                "refusals": analysis.refusals,
            }
        )
        return
    say_report_table(laws_table(analysis))
    say_report_table(size_laws_table(analysis))
    say_report_table(optima_table(analysis))
    say_optima(analysis)
    say_report_table(rates_table(analysis))
    say_refusals(analysis)
