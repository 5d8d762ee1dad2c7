"""``levelfield plan``: the bill, before anything is spent."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from levelfield.cli.run import Changes, Data, ReportData, Threads

if TYPE_CHECKING:
    from collections.abc import Sequence

    from levelfield.records.study import StudySpec
    from levelfield.study.bill.bill import Bill
    from levelfield.study.bill.transfer_bill import TransferBillRow
    from levelfield.study.facts import DataFacts
    from levelfield.study.plan.undecidable import Undecidable
    from levelfield.study.planned import Plan

EXAMPLES = "Example:  levelfield plan study.toml --workers 2"


def plan(
    study: Annotated[Path | None, typer.Argument(help="The study, in TOML.")] = None,
    *,
    workers: Annotated[int, typer.Option(help="Trials at a time, for the estimate of hours.", min=1)] = 1,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda: where to calibrate.")] = "auto",
    threads: Threads = None,
    calibrate: Annotated[bool, typer.Option(help="Foretell seconds from speeds measured here, once.")] = True,
    anew: Annotated[bool, typer.Option("--anew", help="Measure speeds again that were kept from before.")] = False,
    cluster: Annotated[
        str | None, typer.Option(help="What it takes on devices that are not here, such as '64x h100'.")
    ] = None,
    mfu: Annotated[
        float | None, typer.Option(help="With --cluster: the share of their bf16 peak that training reaches.")
    ] = None,
    per_trial: Annotated[int, typer.Option(help="With --cluster: devices a trial.", min=1)] = 1,
    data: Data = None,
    report_data: ReportData = None,
    changes: Changes = None,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of a study for your editor.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON for a program.")] = False,
) -> None:
    """Show what a study costs at most before anything is spent."""
    from levelfield.cli.cluster import cluster_asked, say_cluster
    from levelfield.cli.console import say, say_json
    from levelfield.records.errors import SpecError
    from levelfield.scaling.verdicts.margins import smallest_decidable_margin
    from levelfield.study.bill import calibrate as calibration
    from levelfield.study.bill.bill import bill
    from levelfield.study.bill.cluster import cluster_bill
    from levelfield.study.bill.noise import supposed_noise
    from levelfield.study.bill.supposed import supposed_courses
    from levelfield.study.bill.transfer_bill import transfer_bill
    from levelfield.study.plan.plan import plan as plan_study
    from levelfield.study.plan.plan import refuse_if_nothing_is_allowed
    from levelfield.study.plan.undecidable import gives_no_verdict, undecidable
    from levelfield.study.run import study_facts
    from levelfield.study.spec_file import executed, load_study, relocated, study_schema

    if schema:
        say(study_schema().rstrip())
        return
    if study is None:
        raise SpecError("plan needs a study in TOML: levelfield plan study.toml")
    if study.is_dir() or study.suffix in (".csv", ".parquet"):
        raise SpecError(
            f"{study} holds results, expected a study in TOML; `levelfield next {study}` says what to run next"
        )
    if cluster is None and (mfu is not None or per_trial > 1):
        raise SpecError("--mfu and --per-trial are about a --cluster: say which, such as --cluster '64x h100'")
    spec = executed(relocated(load_study(study, changes or ()), data, report_data), threads=threads)
    facts = study_facts(spec)
    planned = plan_study(spec, facts, {})
    if not json:
        _say_cells(spec, planned)
    refuse_if_nothing_is_allowed(planned)
    found = undecidable(spec, facts, planned)
    courses = supposed_courses(spec, facts, planned, at_most=bill(spec, facts, planned).trials_at_most)
    speeds = (
        calibration.calibrate(spec, facts, planned, courses, device=device, anew=anew) if calibrate or anew else None
    )
    there = None
    if cluster is not None:
        asked = cluster_asked(
            cluster, mfu=mfu, each=per_trial, device=device, spec=spec, facts=facts, courses=courses, speeds=speeds
        )
        there = cluster_bill(spec, facts, planned, asked)
    charged, transfers = bill(spec, facts, planned, courses, speeds), transfer_bill(spec, facts, planned, speeds)
    if json:
        answer: dict[str, Any] = {
            "rows": charged.rows,
            "trials_expected": charged.trials_expected,
            "trials_at_most": charged.trials_at_most,
            "seconds_expected": charged.seconds_expected(workers=workers),
            "seconds_at_most": charged.seconds_at_most(workers=workers),
        }
        answer |= {
            "undecidable": found,
            "no_verdict_at_all": gives_no_verdict(found, spec),
            "margin": spec.verdict.margin,
            "smallest_decidable_margin": smallest_decidable_margin(supposed_noise(spec, facts)),
        }
        say_json(answer | ({"transfers": transfers} if transfers else {}) | ({"cluster": there} if there else {}))
        return
    _say_bill(spec, facts, charged, workers)
    if spec.transfer:
        _say_transfers(transfers, workers)
    if there is not None:
        say_cluster(there)
    _say_undecidable(spec, found)


def _say_cells(spec: StudySpec, planned: Plan) -> None:
    from levelfield.cli.console import say, say_table
    from levelfield.report.words.numbers import epochs, family_name, flops
    from levelfield.report.words.told import told

    say(f"{spec.name}: {spec.question}", "strong")
    rows = [
        (
            family_name(cell.family),
            flops(cell.budget_flops),
            cell.architecture.removeprefix(f"{cell.family}:"),
            f"{cell.affordable.params:,}",
            f"{cell.affordable.steps} x {cell.affordable.global_batch_size}",
            epochs(cell.affordable.epochs),
            f"no: {told(cell.affordable.refusal)}" if cell.affordable.refusal else "yes",
        )
        for cell in planned.cells
    ]
    columns = ("family", "budget", "size", "parameters", "steps x batch", "epochs", "allowed")
    say_table("Cells", columns, rows, numeric=(False, True, False, True, True, True, False))


def _say_bill(spec: StudySpec, facts: DataFacts, charged: Bill, workers: int) -> None:
    from levelfield.cli.console import say, say_table
    from levelfield.report.words.numbers import family_name, flops, seconds
    from levelfield.scaling.verdicts.margins import smallest_decidable_margin
    from levelfield.study.bill.noise import ASSUMED_SEED_SD, num_judged, supposed_noise

    rows = [
        (
            family_name(row.family),
            flops(row.budget_flops),
            str(len(row.sizes)),
            f"{row.trials_expected:.0f}",
            str(row.trials_at_most),
            flops(row.train_flops),
            flops(row.evaluate_flops),
            *(
                "not calibrated" if each is None else seconds(each)
                for each in (row.seconds_expected, row.seconds_at_most)
            ),
        )
        for row in charged.rows
    ]
    columns = (
        *("family", "budget", "sizes", "trials expected", "at most", "training at most", "evaluation at most"),
        *("seconds here expected", "seconds at most"),
    )
    say_table("Bill", columns, rows, numeric=(False, *[True] * 8))
    say()
    say(
        f"about {charged.trials_expected:.0f} trials are expected, {charged.trials_at_most} at most; "
        f"{flops(charged.train_flops)} of training at most"
    )
    expected, most = charged.seconds_expected(workers=workers), charged.seconds_at_most(workers=workers)
    if expected is not None and most is not None:
        say(
            f"about {seconds(expected / workers)} are expected here with {workers} worker{'s' * (workers > 1)}, "
            f"at most {seconds(most / workers)}"
        )
    decidable, margin = smallest_decidable_margin(supposed_noise(spec, facts)), spec.verdict.margin
    say(
        f"with {spec.verdict.seeds} seeds and {num_judged(spec, facts)} report examples the smallest decidable "
        f"margin is about {decidable:.3f} in ln loss (seed noise of {ASSUMED_SEED_SD:.0%} assumed); the margin is "
        f"{margin}"
    )
    if decidable > margin:
        say(
            f"families that are equal could not be called equivalent within {margin}: take more seeds or report "
            f"examples, or a margin of {decidable:.2g}; a difference beyond it can still be found",
            "alarm",
        )


def _say_undecidable(spec: StudySpec, found: Sequence[Undecidable]) -> None:
    from levelfield.cli.console import say
    from levelfield.report.words.of_plans import NO_VERDICT_AT_ALL
    from levelfield.report.words.told import told
    from levelfield.study.plan.undecidable import gives_no_verdict

    if found:
        say()
        say("What this design cannot decide, whatever comes out", "strong")
    for each in found:
        say(f"  {told(each)}")
    if gives_no_verdict(found, spec):
        say(NO_VERDICT_AT_ALL, "alarm")


def _say_transfers(charged: Sequence[TransferBillRow], workers: int) -> None:
    from levelfield.cli.console import say, say_table
    from levelfield.report.words.numbers import flops, seconds

    rows = [
        (
            row.transfer,
            row.family,
            str(row.trials_at_most),
            str(row.probes_at_most),
            flops(row.train_flops),
            flops(row.evaluate_flops),
            "not calibrated" if row.seconds is None else seconds(row.seconds),
        )
        for row in charged
    ]
    columns = ("target", "family", "trials at most", "probes", "training", "evaluation", "device-seconds, estimated")
    say_table("Transfers", columns, rows)
    known = [row.seconds for row in charged if row.seconds is not None]
    if len(known) == len(charged):
        say(f"transfers: at most {seconds(sum(known) / workers)} more, at the speed of pre-training")
