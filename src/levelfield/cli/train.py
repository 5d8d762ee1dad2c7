"""``levelfield train``: the run that a study was made for, from the prediction to a backbone on disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from levelfield.cli.run import CheckpointEvery, Data, Device, Prefetch, ReportData, Threads

if TYPE_CHECKING:
    from levelfield.records.study import StudySpec
    from levelfield.records.trial import TrialResult
    from levelfield.scaling.foretold import Foretold
    from levelfield.study.bill.foretold import Speeds
    from levelfield.study.outcome.commission import Commission
    from levelfield.study.outcome.outcome import Outcome
    from levelfield.study.outcome.trained import TrainedDirectory

EXAMPLES = "Example:  levelfield train runs/race-photos --budget 1e17"


def train(
    study: Annotated[Path, typer.Argument(help="The directory of a study, or of a race.")],
    budget: Annotated[float, typer.Option(help="Training FLOPs of the run, such as 1e17.")],
    family: Annotated[str | None, typer.Option(help="Whom to train, if not the foretold best.")] = None,
    device: Device = "auto",
    threads: Threads = None,
    prefetch: Prefetch = None,
    data: Data = None,
    report_data: ReportData = None,
    calibrate: Annotated[bool, typer.Option(help="Foretell seconds from speeds measured here, once.")] = True,
    bill: Annotated[bool, typer.Option("--bill", help="Say what would be trained and what it takes; do not.")] = False,
    checkpoint_every: CheckpointEvery = 30.0,
    json: Annotated[bool, typer.Option("--json", help="Print JSON for a program.")] = False,
) -> None:
    """Train the best recipe for a budget, foretold and locked beforehand; score that; export the backbone.

    Run again to resume.
    """
    from levelfield.cli.console import say, say_json
    from levelfield.records.store import StudyDirectory
    from levelfield.study.outcome.commission import commissioned, lock_for, scored
    from levelfield.study.outcome.outcome import analyse_outcome, read_outcome
    from levelfield.study.outcome.trained import trained_directory
    from levelfield.study.spec_file import executed, relocated

    outcome = read_outcome(study)
    spec = executed(relocated(outcome.spec, data, report_data), threads=threads, prefetch=prefetch)
    place = trained_directory(StudyDirectory(study), budget, family)
    lock = place.lock(budget, data=outcome.facts.fingerprint)
    held = lock is not None
    if lock is None:
        lock = lock_for(outcome, analyse_outcome(outcome, study), budget, family)
    commission = commissioned(spec, outcome.facts, lock, family)
    done = held and place.trial.result() is not None
    if not json:
        _say_commission(commission, outcome)
    if bill or not (json or done):
        speeds = _speeds(spec, outcome, commission, device) if calibrate else None
        if not json:
            _say_bill(commission, outcome, speeds)
        if bill:
            if json:
                say_json({"lock": lock, "trial": commission.spec, "seconds": _seconds(commission, outcome, speeds)})
            return
    if not held:
        place.write_lock(lock)
    if not json:
        say(f"locked {lock.written}: {place.lock_path} (the same command resumes)")
    result = _trained(study, spec, commission, place, device, checkpoint_every, shown=not json)
    came = scored(spec, commission, result.loss("report"))
    _hand_over(study, place, came, result, json=json)


def _speeds(spec: StudySpec, outcome: Outcome, commission: Commission, device: str) -> Speeds:
    """The speed here of this run alone."""
    from levelfield.study.bill.calibrate import calibrate
    from levelfield.study.planned import Plan, PlannedTrial

    recipe, budget = commission.recipe, commission.lock.budget_flops
    trial = PlannedTrial(
        spec=commission.spec, role="prediction", family=recipe.family, budget_flops=budget, base_lr=recipe.base_lr
    )
    alone = Plan(cells=(), trials=(trial,), tuned=(), winners=())
    return calibrate(spec, outcome.facts, alone, [[trial]], device=device)


def _seconds(commission: Commission, outcome: Outcome, speeds: Speeds | None) -> float | None:
    if speeds is None:
        return None
    held = outcome.facts.held(outcome.spec.data)["report"]
    first = speeds.first_seconds(train_examples=commission.spec.examples, held_examples=held)
    return speeds.of(commission.spec, held_examples=held).total + first


def _say_commission(commission: Commission, outcome: Outcome) -> None:
    """What is foretold of whom, who is chosen, and how far that lies from what was searched."""
    from levelfield.cli.console import say
    from levelfield.report.words.numbers import count, epochs, family_name, flops, plain
    from levelfield.report.words.predictions import choice_sentences
    from levelfield.report.words.told import all_told

    lock, recipe, bought = commission.lock, commission.recipe, commission.bought
    say(f"{outcome.spec.name}: {outcome.spec.question}", "strong")
    for sentence in choice_sentences(lock.recipes, lock.refused, recipe, measure=outcome.measure.name):
        say(sentence)
    if outcome.in_progress is not None:
        done, wanted = outcome.in_progress.done, outcome.in_progress.wanted
        say(f"the study is not done: {done} of {wanted} trials wanted so far have told this", "alarm")
    axes = "".join(f", {name} {value}" for name, value in recipe.axes.items())
    say(
        f"{family_name(recipe.family)} {bought.architecture}, {count(bought.params)} parameters, base learning rate "
        f"{plain(recipe.base_lr)}{axes}: {bought.steps:,} steps of {bought.global_batch_size}, "
        f"{epochs(bought.epochs)} epochs"
    )
    if recipe.notes:
        say(f"  note: {all_told(recipe.notes)}", "faint")
    top = outcome.spec.ladder.budgets[-1]
    say(
        f"{flops(lock.budget_flops)} of training, {plain(lock.budget_flops / top)} times a run of the largest budget "
        f"that was searched, {plain(lock.budget_flops / max(1.0, outcome.ledger.train_flops))} times all that the "
        "study has taken"
    )


def _say_bill(commission: Commission, outcome: Outcome, speeds: Speeds | None) -> None:
    from levelfield.cli.console import say
    from levelfield.report.words.numbers import seconds

    takes = _seconds(commission, outcome, speeds)
    if takes is not None:
        say(f"about {seconds(takes)} here, by speeds measured for it", "strong")


def _trained(
    study: Path,
    spec: StudySpec,
    commission: Commission,
    place: TrainedDirectory,
    device: str,
    checkpoint_every: float,
    *,
    shown: bool,
) -> TrialResult:
    from levelfield.cli.progress import steps_shown
    from levelfield.data.sources import open_source
    from levelfield.records.errors import TrialError
    from levelfield.records.store import StudyDirectory
    from levelfield.study.execute.backbones import backbone_in
    from levelfield.study.execute.trial import run_trial
    from levelfield.train.device import resolve_device

    where, start = resolve_device(device), commission.spec.start
    with steps_shown(commission.spec.steps, shown=shown) as on_step:
        result = run_trial(
            commission.spec,
            place.trial,
            open_source(commission.spec.data),
            device=where,
            execution=spec.execution,
            backbone=None if start is None else backbone_in(StudyDirectory(study), start, device=where),
            keeps_weights=True,
            checkpoint_seconds=checkpoint_every,
            on_step=lambda report: on_step(report.step),
        )
    if result.status == "diverged":
        raise TrialError(
            f"{place.path} has diverged: {result.reason}; what was foretold did not come. --family trains another "
            "family, and another --budget another size at another rate"
        )
    return result


def _hand_over(study: Path, place: TrainedDirectory, came: Foretold, result: TrialResult, *, json: bool) -> None:
    """Export what was trained, put its score onto the study's page, and say both."""
    from levelfield.cli.console import say, say_json
    from levelfield.publish import publish
    from levelfield.report.words.foretold import score_sentence
    from levelfield.report.words.measures import in_words
    from levelfield.weights.trial import load_trial
    from levelfield.weights.write import save_hub

    call = save_hub(load_trial(place.trial.path), place.backbone_path)
    page, _ = publish(study)
    backbone = place.backbone_path.absolute()
    in_python = (
        f"timm.create_model('local-dir:{backbone}', pretrained=True)"
        if call
        else f"levelfield.weights.read.load_model(pathlib.Path('{backbone}')).model"
    )
    uses = {"python": in_python, "shell": f"levelfield classify {backbone} PICTURES"}
    if json:
        answer: dict[str, Any] = {"score": came, "inside": came.inside, "error": came.error, "result": result}
        say_json(answer | {"backbone": str(backbone), "timm": call is not None, "use": uses, "report": str(page)})
        return
    say(score_sentence(came), "strong")
    held_out = result.held_out["report"]
    say(f"{in_words(result.measures, held_out)} on {held_out.num_examples} held-out images")
    say(f"report: {page}")
    say(f"backbone: {backbone}", "strong")
    if call is None:
        say("  timm has no network of that shape: the weights are plain safetensors, with their card in config.json")
    say(f"  {uses['python']}")
    say(f"  {uses['shell']}")
