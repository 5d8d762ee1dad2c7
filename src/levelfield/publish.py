"""From a study's directory to its page: the one place where study and report meet."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path

from levelfield.records.allowed import Undecidable
from levelfield.records.data import (
    DigitPairsSpec,
    DigitStringsSpec,
    FractalsSpec,
    MixtureSpec,
    num_folds,
)
from levelfield.records.fingerprint import fingerprint
from levelfield.records.study import StudySpec
from levelfield.records.trial import CLASSIFICATION
from levelfield.report.facts import (
    ImportedFact,
    LockedPrediction,
    RecipeFact,
    RefusedCell,
    StudyFacts,
    StudyTotals,
    TransferFact,
    TrialRow,
)
from levelfield.report.words.executions import mixed_executions
from levelfield.report.words.measures import axis
from levelfield.report.words.more import more_sentences
from levelfield.report.words.numbers import family_name, flops, listed, plain
from levelfield.report.words.told import told
from levelfield.report.words.transfer import transfer_sentences
from levelfield.scaling.foretold import cuts_of
from levelfield.scaling.results.analysis import Analysis
from levelfield.scaling.results.refusals import PredictionOf, Refusal
from levelfield.study.bill.expected import left_of
from levelfield.study.outcome.outcome import Outcome, analyse_outcome, read_outcome
from levelfield.study.outcome.transfer_table import analyse_transfers, transfer_rows
from levelfield.study.plan.recipes import preset
from levelfield.study.plan.undecidable import undecidable
from levelfield.study.planned import LockedRecipe
from levelfield.study.race.more import next_step

_CODES_OF_SIZES = {"s": "stem stride", "p": "patch size in px", "w": "width", "d": "depth"}
"""What a letter in the name of a size stands for ("vit:w64-d3-p4")."""


def publish(directory: Path, *, fresh: bool = True, measure: str | None = None) -> tuple[Path, Analysis]:
    """Write the page and figures of the study in ``directory``, and give back the page and the analysis it shows.

    It is about ``measure`` instead of the one that selected, where one is named. Without ``fresh`` a page that is
    already there is left as it is.

    Raises:
        InputError: no study was run there, or nothing of that name was measured.
        StoreError: the directory cannot be written.
    """
    outcome = read_outcome(directory, measure=measure)
    analysis = analyse_outcome(outcome, directory)
    page = directory / "report.html"
    if fresh or not page.exists():
        from levelfield.report.page.files import write_report

        facts = dataclasses.replace(page_facts(outcome, analysis), transfers=transfer_facts(outcome, directory))
        write_report(directory, analysis, outcome.table, facts)
    return page, analysis


def page_facts(outcome: Outcome, analysis: Analysis) -> StudyFacts:
    """Everything that stands around the analysis of ``outcome`` on its page."""
    facts = _facts(outcome, analysis)
    more = _race_further(outcome, analysis) if outcome.spec.verdict.look else more_sentences(analysis, facts)
    return dataclasses.replace(facts, longer_run=more)


def _race_further(outcome: Outcome, analysis: Analysis) -> tuple[str, ...]:
    """The step that the race itself would take next, and what it is expected to cost; none while it runs."""
    if outcome.in_progress is not None:
        return ()
    further = next_step(outcome.spec, outcome.planned, analysis.comparisons)
    takes = left_of(further.spec, outcome.facts, outcome.results, None).train_flops
    return (f"{told(further.does)}; that takes about {flops(takes)} of training",)


def _facts(outcome: Outcome, analysis: Analysis) -> StudyFacts:
    spec, ledger = outcome.spec, outcome.ledger + outcome.transfer_ledger
    averaged = "averaged" if spec.verdict.weights == "ema" else "raw"
    return StudyFacts(
        title=spec.name,
        question=spec.question,
        hypothesis=spec.hypothesis,
        data=_data_sentence(outcome),
        metric=f"{axis(analysis.measure)}, {averaged} weights",
        measures=outcome.facts.measures,
        device=listed(sorted({result.execution.device for result in outcome.results.values()})) or None,
        budgets=spec.ladder.budgets,
        recipes=tuple(_recipe_facts(spec)),
        axes=_axes(spec),
        caveats=tuple(_caveats(outcome)),
        undecidable=tuple(_undecidable(outcome)),
        refusals=tuple(_unlocked(outcome)),
        commands=("levelfield run study.toml", "levelfield report runs/" + spec.name),
        versions=_versions(outcome),
        fingerprints={"study": fingerprint("study", spec), "data": outcome.facts.fingerprint},
        refused_cells=tuple(
            RefusedCell(
                family=cell.family,
                model=cell.architecture,
                budget_flops=cell.budget_flops,
                reason=cell.affordable.refusal,
            )
            for cell in outcome.planned.cells
            if cell.affordable.refusal
        ),
        trials=tuple(_trial_rows(outcome)),
        totals=StudyTotals(
            num_trials=outcome.planned.num_wanted - len(outcome.planned.pending(outcome.results, outcome.probes)),
            train_flops=ledger.train_flops,
            evaluate_flops=ledger.evaluate_flops,
            failed_flops=ledger.failed_flops,
            device_seconds=outcome.device_seconds,
        ),
        predictions=(*locked_predictions(outcome), *trained_predictions(outcome)),
        foretold=cuts_of(outcome.table),
        imported=tuple(
            ImportedFact(name=runs.name, source=runs.source, num_runs=len(runs.rows)) for runs in outcome.imported
        ),
    )


def transfer_facts(outcome: Outcome, directory: Path) -> tuple[TransferFact, ...]:
    """What the transfers of ``outcome`` have shown, in the order of the study's tables."""
    rows, targets = transfer_rows(outcome), {target.name: target for target in outcome.facts.targets}
    facts = []
    for found in analyse_transfers(outcome, directory):
        target = targets[found.transfer]
        facts.append(
            TransferFact(
                name=found.transfer,
                data=f"{target.num_train:,} training images of {target.head.num_outputs} classes at "
                f"{target.resolution} px, "
                f"judged on {target.num_report:,}.",
                sentences=tuple(transfer_sentences(found)),
                rows=tuple(row for row in rows if row.transfer == found.transfer),
                analysis=found,
                refused=tuple(
                    f"{family_name(refused.family)} at {flops(refused.budget_flops)}, {told(refused.arm)}: "
                    f"{told(refused.reason)}"
                    for refused in outcome.planned.refused_transfers
                    if refused.transfer == found.transfer
                ),
            )
        )
    return tuple(facts)


def _told_recipe(recipe: LockedRecipe) -> str:
    size = recipe.architecture.removeprefix(f"{recipe.family}:")
    axes = "".join(f", {name} {value}" for name, value in recipe.axes.items())
    return f"{size}, learning rate {plain(recipe.base_lr)}{axes}"


def _axes(spec: StudySpec) -> dict[str, str]:
    """What each searched axis is, family by family where they differ."""
    told: dict[str, str] = {}
    for name in dict.fromkeys(name for entry in spec.families for name in entry.axes):
        meant: dict[str, list[str]] = {}
        for entry in spec.families:
            if name in entry.axes:
                meant.setdefault(_axis_words(entry.axes[name].field), []).append(family_name(entry.name))
        everywhere = len(meant) == 1
        told[name] = ", ".join(words if everywhere else f"{words} of {listed(who)}" for words, who in meant.items())
    return told


def _axis_words(field: str) -> str:
    section, _, code = field.partition(".")
    if section == "batch_factor":
        return "a factor on the rule that sets the batch from the number of examples"
    if section == "recipe":
        return code.replace("_", " ")
    return _CODES_OF_SIZES.get(code, f"{code} in the name of a size")


def _caveats(outcome: Outcome) -> Iterator[str]:
    if outcome.in_progress:
        yield "the study is in progress: every verdict is provisional"
    for grown in outcome.grown:
        yield f"the study has grown: {grown}"
    if mixed := mixed_executions(outcome.executions):
        yield mixed
    if outcome.facts.no_verdict_because:
        yield told(outcome.facts.no_verdict_because)
    yield from outcome.facts.remarks


def _undecidable(outcome: Outcome) -> Iterator[Undecidable]:
    """What no outcome could decide, but for what stands among the caveats."""
    for each in undecidable(outcome.spec, outcome.facts, outcome.planned):
        if each.why != (outcome.facts.no_verdict_because,):
            yield each


def _unlocked(outcome: Outcome) -> Iterator[Refusal]:
    """The predictions that could not be locked before their rung ran."""
    for budget, lock in sorted(outcome.locks.items()):
        for family, why in lock.refused.items():
            yield Refusal(what=PredictionOf(family=family, budget_flops=budget), why=(why,))


def locked_predictions(outcome: Outcome) -> Iterator[LockedPrediction]:
    """Every locked prediction with the mean loss of its seeds, once all of them are done."""
    for budget, lock in sorted(outcome.locks.items()):
        for recipe in lock.recipes:
            rows = [
                row.loss
                for row in outcome.table
                if (row.role, row.family, row.budget_flops) == ("prediction", recipe.family, budget)
            ]
            done = len(rows) == outcome.spec.verdict.seeds
            trials = [
                trial.spec.fingerprint
                for trial in outcome.planned.trials
                if (trial.role, trial.family, trial.budget_flops) == ("prediction", recipe.family, budget)
            ]
            ended = [outcome.results[key].status for key in trials if key in outcome.results]
            yield LockedPrediction(
                family=recipe.family,
                budget_flops=budget,
                predicted=recipe.loss,
                recipe=_told_recipe(recipe),
                locked=lock.written,
                fingerprint=lock.fingerprint,
                seen=math.exp(sum(map(math.log, rows)) / len(rows)) if done else None,
                diverged="diverged" in ended,
            )


def trained_predictions(outcome: Outcome) -> Iterator[LockedPrediction]:
    """Every prediction that was locked for a run of one's own, with what came of it once that is done."""
    for run in outcome.trained:
        yield LockedPrediction(
            family=run.recipe.family,
            budget_flops=run.lock.budget_flops,
            predicted=run.recipe.loss,
            recipe=_told_recipe(run.recipe),
            locked=run.lock.written,
            fingerprint=run.lock.fingerprint,
            seen=run.came,
            diverged=run.diverged,
        )


def _data_sentence(outcome: Outcome) -> str:
    data, facts = outcome.spec.data, outcome.facts
    drawn = data if isinstance(data, DigitPairsSpec | DigitStringsSpec | FractalsSpec) else None
    size = "an unlimited stream" if drawn else f"{facts.num_train:,} training images"
    if isinstance(data, MixtureSpec):
        size = _mixed(data, facts.num_train)
    noise = f", {drawn.label_noise:.0%} label noise" if drawn and drawn.label_noise else ""
    classes = outcome.spec.task == CLASSIFICATION
    answers = f"of {facts.head.num_outputs} classes" if classes else f"for the task {outcome.spec.task}"
    held, folds = facts.held(data), num_folds(data)
    choosing, judging = held["select"], held["report"]
    judged = f"{judging:,} others" if folds == 1 else f"the {judging * folds:,} others, each in one of {folds} folds,"
    return (
        f"{data.source}: {size} {answers} at {facts.resolution} px{noise}; "
        f"{choosing:,} images chose the recipe, {judged} judged the winners"
    )


def _mixed(data: MixtureSpec, num_train: int) -> str:
    """What is mixed, and how many examples are an epoch of it."""
    weights = data.weights or (None,) * len(data.parts)
    told = [
        f"{part.data.source} ({getattr(part.data, 'path', '') or 'drawn'}){'' if weight is None else f' x {weight}'}"
        for part, weight in zip(data.parts, weights, strict=True)
    ]
    return f"{' and '.join(told)}, an epoch of {num_train:,} examples,"


def _recipe_facts(spec: StudySpec) -> Iterator[RecipeFact]:
    for entry in spec.families:
        recipe = preset(entry.recipe, peak_lr=entry.base_lr.start, override=entry.override)
        defaults = {field.name: field.default for field in dataclasses.fields(recipe)}
        told = [
            f"{name.replace('_', ' ')} {_written(getattr(recipe, name))}"
            for name in defaults
            if name not in ("preset", "optimizer", "peak_lr") and getattr(recipe, name) != defaults[name]
        ]
        grid = f"base learning rate {plain(entry.base_lr.low)} to {plain(entry.base_lr.high)} by factors of 2"
        axes = [f"{name} in {', '.join(map(_written, axis.values))}" for name, axis in entry.axes.items()]
        text = "; ".join([f"{recipe.optimizer}, {', '.join(told)}", f"searched: {grid}", *axes])
        yield RecipeFact(family=entry.name, preset=entry.recipe, text=text)


def _written(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return plain(value) if isinstance(value, float) else str(value)


def _versions(outcome: Outcome) -> dict[str, str]:
    found: dict[str, set[str]] = {"levelfield": set(), "torch": set()}
    for key, result in outcome.results.items():
        timing = outcome.timings.get(key)
        found["levelfield"].add((timing and timing.code_version) or result.levelfield_version)
        found["torch"].update(each.torch_version for each in result.executions)
    return {name: ", ".join(sorted(versions)) for name, versions in found.items()}


def _trial_rows(outcome: Outcome) -> Iterator[TrialRow]:
    for trial in outcome.planned.trials:
        spec = trial.spec
        result, timing = outcome.results.get(spec.fingerprint), outcome.timings.get(spec.fingerprint)
        held_out = result.held_out.get(spec.held_out) if result else None
        yield TrialRow(
            name=spec.name,
            family=trial.family,
            model=spec.architecture,
            budget_flops=trial.budget_flops,
            role=trial.role,
            status=result.status if result else "failed" if spec.fingerprint in outcome.failed else "wanted",
            peak_lr=spec.recipe.peak_lr,
            global_batch_size=spec.global_batch_size,
            seed=spec.seed,
            values=tuple(held_out.values.items()) if held_out else (),
            device_seconds=timing.device_seconds if timing else None,
            reason=result.reason if result else outcome.failed.get(spec.fingerprint, ""),
        )
