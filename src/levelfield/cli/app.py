"""The table of verbs."""

from __future__ import annotations

import typer

from levelfield.cli import (
    compare,
    count,
    export,
    families,
    fit,
    import_runs,
    plan,
    predict,
    quickstart,
    report,
    run,
    status,
    verify,
)

app = typer.Typer(
    name="levelfield",
    help="Judge ConvNets and Vision Transformers at equal compute: plan, train, fit, predict, compare, report.",
    epilog="Start with:  levelfield quickstart",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

_VERBS = (quickstart, plan, run, status, fit, predict, compare, report, verify, export, import_runs, count, families)
for verb in _VERBS:
    name = verb.__name__.rpartition(".")[2]
    app.command(name.removesuffix("_runs"), epilog=verb.EXAMPLES)(getattr(verb, name))
