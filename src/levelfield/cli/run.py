"""``levelfield run``: train what the plan wants; the same command resumes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

EXAMPLES = "Example:  levelfield run study.toml --dir runs/mine --workers 2"

JOBS = 64
"""Trials at a time on a cluster, where nobody says how many."""

Workers = Annotated[int, typer.Option(help="Trials at a time; results do not depend on it.", min=1, max=256)]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Threads = Annotated[
    int | None, typer.Option(help="Threads on a CPU, if not those of [execution]. What was begun keeps its own.")
]
TrialThreads = Annotated[int, typer.Option(help="Threads on a CPU. What was begun keeps its own.")]
Prefetch = Annotated[
    int | None, typer.Option(help="Threads that render batches ahead; the cores left free when left out.")
]
Data = Annotated[Path | None, typer.Option(help="Where the data lies now, if not where the study says.")]
ReportData = Annotated[Path | None, typer.Option(help="The same for report_path.")]
CheckpointEvery = Annotated[float, typer.Option(help="Seconds between checkpoints.", min=0)]

Asks = Annotated[
    list[str] | None,
    typer.Option("--ask", metavar="KEY=VALUE", help="What a cluster is asked for, for every job (repeatable)."),
]
Changes = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A value set otherwise (repeatable).")
]


def run(
    study: Annotated[Path, typer.Argument(help="The study, in TOML.")],
    directory: Annotated[
        Path | None, typer.Option("--dir", help="Where it lives; runs/<name of the study> when left out.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Trials at a time, 1 here and 64 on a cluster when left out.", min=1, max=4096)
    ] = None,
    device: Device = "auto",
    threads: Threads = None,
    prefetch: Prefetch = None,
    launcher: Annotated[
        str | None, typer.Option(help="local, slurm or ray, if not that of [execution]; results do not depend on it.")
    ] = None,
    asks: Asks = None,
    data: Data = None,
    report_data: ReportData = None,
    changes: Changes = None,
    retry: Annotated[str | None, typer.Option(help="'failed' tries failed trials again.")] = None,
    checkpoint_every: CheckpointEvery = 30.0,
    piece: Annotated[
        str | None, typer.Option("--for", help="Stop after '9m' (s, m, h): exit code 75 says to run it again.")
    ] = None,
    cheapest_first: Annotated[
        bool, typer.Option("--cheapest-first", help="Finish low rungs first, where time will not do for all.")
    ] = False,
    track: Annotated[
        list[str] | None, typer.Option(help="Send curves to tensorboard, wandb or trackio (repeatable).")
    ] = None,
) -> None:
    """Train every trial that the study wants, then write the report. Run again to resume; finished trials stay."""
    from levelfield.cli.progress import run_and_show
    from levelfield.records.errors import SpecError
    from levelfield.study.spec_file import executed, load_study, relocated

    if retry not in (None, "failed"):
        raise SpecError(f"--retry takes 'failed', saw {retry!r}")
    spec = relocated(load_study(study, changes or ()), data, report_data)
    spec = executed(spec, threads=threads, prefetch=prefetch, launcher=launcher)
    run_and_show(
        spec,
        directory or Path("runs") / spec.name,
        num_workers=workers or (1 if spec.execution.launcher == "local" else JOBS),
        device=device,
        retry_failed=retry == "failed",
        checkpoint_seconds=checkpoint_every,
        seconds=None if piece is None else seconds_of(piece),
        cheapest_first=cheapest_first,
        track=track or (),
        asks=asked_of_cluster(asks or ()),
    )


def asked_of_cluster(asks: Sequence[str]) -> dict[str, str]:
    """``partition=gpu`` and the like, by key.

    Raises:
        SpecError: one of them is no KEY=VALUE.
    """
    from levelfield.records.errors import SpecError

    found = {}
    for each in asks:
        key, equals, value = each.partition("=")
        if not (key.strip() and equals and value.strip()):
            raise SpecError(f"--ask takes KEY=VALUE, such as partition=gpu, saw {each!r}")
        found[key.strip().lstrip("-")] = value.strip()
    return found


def seconds_of(text: str) -> float:
    """``9m`` as 540."""
    import re

    from levelfield.records.errors import SpecError

    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", text.strip())
    if found is None or not float(found[1]):
        raise SpecError(f"--for takes a time such as '90s', '9m' or '1.5h', saw {text!r}")
    return float(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[found[2]]
