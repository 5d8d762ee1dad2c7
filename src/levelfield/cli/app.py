"""The table of verbs."""

from __future__ import annotations

from typing import Annotated

import typer

from levelfield.cli import (
    classify,
    compare,
    convert,
    count,
    data_audit,
    data_build,
    data_demonstrate,
    data_inspect,
    data_verify,
    evaluate,
    export,
    families,
    finetune,
    fit,
    import_runs,
    next_trials,
    plan,
    predict,
    probe,
    quickstart,
    race,
    reference,
    report,
    run,
    runs,
    status,
    train,
    trial_run,
    verify,
    watch,
)
from levelfield.cli.console import say, speak

_HELP = {"help_option_names": ["-h", "--help"]}

app = typer.Typer(
    name="levelfield",
    help="Judge ConvNets and Vision Transformers at equal compute: plan, train, fit, predict, compare, report.",
    epilog="Start with:  levelfield quickstart",
    no_args_is_help=True,
    context_settings=_HELP,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help starts three times sooner than boxes drawn by rich
)

_VERBS = {
    race: "Which family is better here, within a time.",
    quickstart: "Race NFNets and ViTs on real digits: some minutes.",
    plan: "Every cell and the bill, before anything is spent.",
    run: "Train what a study wants; run again to resume.",
    status: "What is done, wanted next, failed, and spent.",
    watch: "A study's page, live in a browser while it runs.",
    fit: "The laws of loss against compute.",
    predict: "The best recipe for a budget not yet spent.",
    train: "That run, trained and scored: a backbone on disk.",
    next_trials: "The trials that tell most of it, per FLOP.",
    compare: "The verdict at equal compute, with intervals.",
    report: "The page and its figures.",
    finetune: "A trained backbone on other data.",
    probe: "What frozen features are worth on other data.",
    runs: "Fine-tunes, probes and races side by side.",
    classify: "What a network sees in one's own pictures.",
    evaluate: "How good a network is on labelled images.",
    convert: "Weights in and out: timm, hub, ONNX, torch.export.",
    verify: "Train finished trials again, and compare.",
    export: "A row a trial, and what the columns mean.",
    import_runs: "Others' results beside a study's own.",
    count: "Parameters, MACs and training FLOPs.",
    reference: "What others published, in one currency.",
    families: "Families, variants and the grammar of sizes.",
}
for verb, summary in _VERBS.items():
    name = verb.__name__.rpartition(".")[2]
    named = app.command(name.partition("_")[0], short_help=summary, epilog=verb.EXAMPLES, context_settings=_HELP)
    named(getattr(verb, name))

_OF_DATA = {
    data_build: "What people bring, as shards, an index and a manifest.",
    data_inspect: "Classes, sizes, faults, and what leaks.",
    data_verify: "Whether every byte is what it was.",
    data_demonstrate: "A scripted robot, recorded to be learnt from.",
    data_audit: "How often a trial saw each example, proven.",
}
data = typer.Typer(
    help="What a source holds, and what was seen of it.",
    no_args_is_help=True,
    context_settings=_HELP,
    rich_markup_mode=None,
)
app.add_typer(data, name="data", short_help="What a source holds, and what was seen of it.")
for verb, summary in _OF_DATA.items():
    name = verb.__name__.rpartition("_")[2]
    data.command(name, short_help=summary, epilog=verb.EXAMPLES, context_settings=_HELP)(getattr(verb, name))

trial = typer.Typer(
    help="One trial or probe of a study, by itself.",
    no_args_is_help=True,
    context_settings=_HELP,
    rich_markup_mode=None,
)
app.add_typer(trial, name="trial", short_help="One trial or probe of a study, by itself.")
trial.command(
    "run", short_help="To its end, wherever it is started.", epilog=trial_run.EXAMPLES, context_settings=_HELP
)(trial_run.run)


def _say_version(asked: bool) -> None:
    if asked:
        from levelfield import __version__

        say(f"levelfield {__version__}")
        raise typer.Exit


@app.callback()
def told_of_all_verbs(
    version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Print the version.")
    ] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Say more of what is done, on stderr.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Say errors and the answer, no progress.")] = False,
) -> None:
    speak(verbose=verbose, quiet=quiet)
