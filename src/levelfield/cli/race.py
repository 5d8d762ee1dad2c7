"""``levelfield race``: from data and hours to a verdict, a recipe and a page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from levelfield.cli.data import ImageColumn, LabelColumn, ReportPlace
from levelfield.cli.run import CheckpointEvery, Device, seconds_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from levelfield.records.study import StudySpec
    from levelfield.scaling.results.analysis import Analysis
    from levelfield.study.bill.expected import Spend
    from levelfield.study.bill.foretold import Speeds
    from levelfield.study.facts import DataFacts
    from levelfield.study.run import RunProgress

EXAMPLES = (
    "Examples:  levelfield race photos/ --for 2h;  levelfield race digit-pairs --for 10m;  "
    "levelfield race photos/ --spend 1e15 --families nfnet,vit --for-budget 1e18"
)
_TIME, _FAMILIES = "30m", "nfnet,vit"
_MARGIN, _SEEDS = 0.05, 5
_FOR_TRAINING = 0.85
"""Of the time; the rest is for measuring speeds, for the page, and for what a plan may err."""


def race(
    data: Annotated[str, typer.Argument(help="Labelled images, or digit-pairs, digit-strings or fractals.")],
    hours: Annotated[str | None, typer.Option("--for", help=f"Time in all, such as '2h' ({_TIME}).")] = None,
    spend: Annotated[float | None, typer.Option(help="Training FLOPs in all, instead of time.")] = None,
    families: Annotated[
        str | None, typer.Option(help="Who races, such as nfnet,timm:resnet50; nfnet,vit when left out.")
    ] = None,
    weights: Annotated[
        list[str] | None,
        typer.Option(help="Weights to fine-tune beside them: a file, a trial, or ARCHITECTURE=FILE; repeatable."),
    ] = None,
    screen: Annotated[
        int | None, typer.Option(help="Of more weights, so many race: the best frozen features; 4.", min=1)
    ] = None,
    report_data: ReportPlace = None,
    resolution: Annotated[
        int | None, typer.Option(help="Image side in px; that of the weights, else 32.", min=1)
    ] = None,
    image_column: ImageColumn = None,
    label_column: LabelColumn = None,
    margin: Annotated[
        float | None, typer.Option(help="Equivalent within it, in ln loss, fixed beforehand; 0.05 when left out.")
    ] = None,
    seeds: Annotated[int | None, typer.Option(help="Fresh seeds of every winner; 5, or 3 in folds.", min=3)] = None,
    for_budget: Annotated[
        float | None, typer.Option(help="Say the recipe for a run of so many training FLOPs, too.")
    ] = None,
    directory: Annotated[Path | None, typer.Option("--dir", help="Where it lives; runs/race-<data>.")] = None,
    workers: Annotated[int | None, typer.Option(help="Trials at a time; one a core when left out.", min=1)] = None,
    device: Device = "auto",
    checkpoint_every: CheckpointEvery = 30.0,
) -> None:
    """Find out which family is better here within a time: plan, search, compare, report. Run again to go on."""
    import os
    import time

    from levelfield.records.errors import SpecError
    from levelfield.study.race.race import study_file

    if hours is not None and spend is not None:
        raise SpecError("--for and --spend both say how much a race may take: give one of them")
    begun = time.monotonic()
    place = directory or Path("runs") / f"race-{_stem(data)}"
    workers = workers or len(os.sched_getaffinity(0))
    allowed = None if spend is not None else seconds_of(hours or _TIME)
    columns = {"image_column": image_column, "label_column": label_column}
    fields = {name: value for name, value in columns.items() if value is not None}
    if study_file(place).exists():
        said = {
            "families": families, "weights": weights, "screen": screen, "resolution": resolution, "margin": margin,
            "seeds": seeds,
        }  # fmt: skip
        _refuse_fixed(place, [name for name, value in {**said, **fields}.items() if value is not None])
        spec, speeds = _gone_on(place, data, report_data, device, asked=hours is not None or spend is not None)
    else:
        spec, speeds = _begun(
            place, data, report_data, (families or _FAMILIES).split(","), weights or [], screen, resolution,
            fields, allowed, spend, _MARGIN if margin is None else margin, seeds, workers, device,
        )  # fmt: skip
    left = None if allowed is None else max(1.0, allowed - (time.monotonic() - begun))
    analysis = run_race(
        spec, place, data, workers=workers, device=device, checkpoint_every=checkpoint_every, seconds=left
    )
    _say_recipe(analysis, for_budget)
    say_next(place, data, analysis, speeds, workers)


def run_race(
    spec: StudySpec,
    place: Path,
    data: str,
    *,
    workers: int,
    device: str,
    checkpoint_every: float,
    seconds: float | None,
) -> Analysis:
    """Run the race of ``spec`` in ``place`` on ``data`` and show what it found, for ``seconds`` at the most.

    Raises:
        UnfinishedError: they are over; the page shows what is known, and how to go on has been said.
    """
    from levelfield.cli.progress import run_and_show
    from levelfield.records.errors import UnfinishedError

    try:
        return run_and_show(
            spec,
            place,
            num_workers=workers,
            device=device,
            retry_failed=False,
            checkpoint_seconds=checkpoint_every,
            seconds=seconds,
            cheapest_first=True,
            watch=_noise_told(spec, place),
        )
    except UnfinishedError:
        _say_unfinished(place, data)
        raise


def _begun(
    place: Path,
    data: str,
    report_data: Path | None,
    families: list[str],
    weights: list[str],
    screen: int | None,
    resolution: int | None,
    fields: dict[str, str],
    allowed: float | None,
    flops: float | None,
    margin: float,
    seeds: int | None,
    workers: int,
    device: str,
) -> tuple[StudySpec, Speeds | None]:
    """Look at the data, write the study down, and say what it will take and can tell."""
    from levelfield.cli.console import say
    from levelfield.cli.shelf import shortened
    from levelfield.records.data import num_folds
    from levelfield.records.execution import ExecutionSpec
    from levelfield.records.study import PROTOCOL_MIN_SEEDS
    from levelfield.records.trial import CLASSIFICATION
    from levelfield.study.race.data import race_data
    from levelfield.study.race.design import race_study, started_from
    from levelfield.study.race.race import write_study
    from levelfield.study.race.shelf import shelf_of
    from levelfield.study.race.spend import sized_by_flops, sized_by_seconds
    from levelfield.study.run import data_facts, opened

    names = tuple(name.strip() for name in families if name.strip())
    shelf, side = shelf_of(weights)
    spec = race_data(data, report_data, resolution=resolution or side, fields=fields)
    source = opened(spec)
    facts = data_facts(source, CLASSIFICATION)
    racing = shortened(shelf, source, place, keep=screen, device=device)
    facts = started_from(facts, racing)
    question = f"On {_stem(data)}: {' or '.join([*names, *(each.name for each in racing)])}, for the same compute?"
    if len(racing) < len(shelf):
        question += f" ({len(racing)} of {len(shelf)} weights, the best by frozen probes)"
    choosing, judging = facts.held(spec).values()
    judge = f"{judging:,} judge"
    if (folds := num_folds(spec)) > 1:
        judge = f"each of the others judges once, in {folds} folds"
        seeds = seeds or PROTOCOL_MIN_SEEDS
    say(
        f"{data}: {facts.num_train:,} training images of {facts.head.num_outputs} classes at {facts.resolution} px, "
        f"{choosing:,} choose, {judge}"
    )

    def design(top: float, axes: Sequence[str]) -> StudySpec:
        return race_study(
            spec, facts, names, top, axes=axes, shelf=racing,
            name=f"race-{_stem(data)}", question=question, margin=margin, seeds=seeds or _SEEDS,
            execution=ExecutionSpec(),
        )  # fmt: skip

    if flops is not None:
        sized = sized_by_flops(design, facts, flops)
    else:
        assert allowed is not None
        say("measuring how fast networks train here ...")
        sized = sized_by_seconds(design, facts, _FOR_TRAINING * allowed * workers, device=device)
    _say_design(sized.spec, facts, sized.spend, workers)
    write_study(place, sized.spec)
    return sized.spec, sized.speeds


def _refuse_fixed(place: Path, said: list[str]) -> None:
    """What was fixed when the race began is not said again, since it would be ignored.

    Raises:
        SpecError: some of it was ``said``.
    """
    from levelfield.records.errors import SpecError
    from levelfield.study.race.race import study_file

    if said:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in said)
        raise SpecError(
            f"{options}: {place} holds a race that was begun as {study_file(place)} says; leave it out to go on, or "
            "race in another directory (--dir)"
        )


def _gone_on(
    place: Path, data: str, report_data: Path | None, device: str, *, asked: bool
) -> tuple[StudySpec, Speeds | None]:
    """The race as it was left; one that is done takes a step further where more is ``asked``."""
    from levelfield.cli.console import say
    from levelfield.records.errors import SpecError
    from levelfield.records.store import StudyDirectory
    from levelfield.report.words.told import told
    from levelfield.study.outcome.outcome import analyse_outcome, read_outcome
    from levelfield.study.race.data import STREAMS
    from levelfield.study.race.race import further, speeds_for, study_file, write_study
    from levelfield.study.spec_file import load_study, relocated

    spec = load_study(study_file(place))
    if data in STREAMS and spec.data.source != data:
        raise SpecError(
            f"{place} holds a race on {spec.data.source!r}, not on {data!r}; race in another directory (--dir)"
        )
    if data not in STREAMS and "://" not in data:
        spec = relocated(spec, Path(data), report_data)
    if not StudyDirectory(place).is_one:
        return spec, None
    outcome = read_outcome(place)
    if not outcome.complete or not asked:
        return spec, None
    speeds = speeds_for(spec, outcome.facts, device=device)
    more = further(outcome, analyse_outcome(outcome, place), speeds)
    say(f"look {more.spec.verdict.look}: {told(more.does)}", "strong")
    write_study(place, more.spec)
    return more.spec, speeds


def _say_design(spec: StudySpec, facts: DataFacts, spend: Spend, workers: int) -> None:
    from levelfield.cli.console import say
    from levelfield.records.study import PROTOCOL_MAX_EPOCHS
    from levelfield.report.words.numbers import flops, listed, seconds
    from levelfield.study.bill.noise import ASSUMED_SEED_SD

    say(f"rungs: {listed([flops(budget) for budget in spec.ladder.budgets])} of training a run")
    axes = listed(["rate", "size", *spec.families[0].axes])
    say(f"searched, for each of {listed([entry.name for entry in spec.families])} alike: {axes}")
    if spec.ladder.max_epochs > PROTOCOL_MAX_EPOCHS:
        say(
            f"images are few for that: runs see them more than {PROTOCOL_MAX_EPOCHS:g} times, so the verdict is about "
            "training that is limited by data"
        )
    time = "" if spend.seconds is None else f", about {seconds(spend.seconds / workers)} with {workers} at a time"
    say(f"about {spend.trials:.0f} trials are expected, {flops(spend.train_flops)} of training in all{time}")
    _say_gap(spec, facts, ASSUMED_SEED_SD, "assumed")


def _say_gap(spec: StudySpec, facts: DataFacts, seed_sd: float, how: str) -> None:
    from levelfield.cli.console import say
    from levelfield.report.words.numbers import percent
    from levelfield.scaling.verdicts.margins import smallest_decidable_gap, smallest_decidable_margin
    from levelfield.study.bill.noise import supposed_noise

    noise = supposed_noise(spec, facts, seed_sd=seed_sd)
    say(
        f"with a seed noise of {percent(seed_sd)} ({how}) a gap of {percent(smallest_decidable_gap(noise))} of loss is "
        f"told in 8 of 10 races, and equal families are called so within {percent(smallest_decidable_margin(noise))} "
        f"(the margin is {percent(spec.verdict.margin)})"
    )


def _noise_told(spec: StudySpec, place: Path) -> Callable[[RunProgress], None]:
    """Says what can be told as soon as the lowest rung shows the noise."""
    from levelfield.records.sealed import read_record
    from levelfield.records.store import StudyDirectory
    from levelfield.study.facts import DataFacts
    from levelfield.study.race.seen import LowestRung

    lowest = LowestRung(spec)

    def watch(progress: RunProgress) -> None:
        if progress.event.kind != "finished":
            return
        seen = lowest.learn(progress.event.trial, progress.result)
        if seen is not None:
            facts = read_record(DataFacts, StudyDirectory(place).facts_path)
            _say_gap(spec, facts, seen, "measured on the lowest rung")

    return watch


def _say_unfinished(place: Path, data: str) -> None:
    """What is known when the time is over: the page as far as it goes, and how to go on."""
    from levelfield.cli.analysis import say_findings
    from levelfield.cli.console import say
    from levelfield.publish import publish

    page, analysis = publish(place)
    say_findings(analysis)
    say(f"report so far: {page}")
    say(f"to go on: levelfield race {data} --for 10m --dir {place}")


def _say_recipe(analysis: Analysis, budget: float | None) -> None:
    """The recipe for the budget that was asked about, if one was."""
    from levelfield.cli.predict import say_prediction
    from levelfield.records.errors import InputError
    from levelfield.scaling.next.predict import predict

    if budget is None:
        return
    try:
        predictions = predict(analysis, budget=budget)
    except InputError as error:
        from levelfield.cli.console import say

        say(f"no recipe for {budget:.3g} training FLOPs: {error}", "alarm")
        return
    for prediction in predictions:
        say_prediction(prediction, analysis)


def say_next(place: Path, data: str, analysis: Analysis, speeds: Speeds | None, workers: int) -> None:
    """What it would take to know more, the command that does it, and where the study is written down."""
    from levelfield.cli.console import say
    from levelfield.report.words.numbers import flops, seconds
    from levelfield.report.words.told import told
    from levelfield.study.outcome.outcome import read_outcome
    from levelfield.study.race.race import further, study_file

    more = further(read_outcome(place), analysis, speeds)
    spend = more.spend
    takes = flops(spend.train_flops) + " of training"
    if spend.seconds is not None:
        takes += f", about {seconds(spend.seconds / workers)} here"
    say(f"to know more: {told(more.does)}; {takes}: levelfield race {data} --for {_time(spend, workers)} --dir {place}")
    say(f"study: {study_file(place)}")


def _time(spend: Spend, workers: int) -> str:
    """Enough of it for ``spend``, as the command line takes it."""
    import math

    from levelfield.study.race.spend import FLOPS_A_SECOND

    each = spend.seconds if spend.seconds is not None else spend.train_flops / FLOPS_A_SECOND
    return f"{max(1, math.ceil(1.5 * each / workers / 60))}m"


def _stem(data: str) -> str:
    from levelfield.records.stated import is_name

    name = Path(data.rstrip("/")).name.partition(".")[0]
    return name if is_name(name) else "data"
