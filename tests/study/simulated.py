"""Studies whose losses come from a formula, so that the plan can be run to its end in milliseconds."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from pathlib import Path

from levelfield.compute.analytic import count
from levelfield.records.data import Split
from levelfield.records.execution import Execution
from levelfield.records.fields import FieldFacts
from levelfield.records.head import LinearHead
from levelfield.records.sealed import write_record
from levelfield.records.store import StudyDirectory
from levelfield.records.study import StudySpec
from levelfield.records.trial import HeldOutMeans, TrialResult, TrialTiming
from levelfield.study.facts import DataFacts
from levelfield.study.outcome.fixed import fix
from levelfield.study.plan.plan import plan
from levelfield.study.planned import Lock, Plan, PlannedTrial
from levelfield.study.spec_file import study_from_plain
from levelfield.tasks.classification import Classification
from tests.narrowed import of_kind

MEASURES = Classification().measures(FieldFacts(num_classes=100))
FACTS = DataFacts(
    head=LinearHead(num_outputs=100),
    measures=MEASURES,
    in_channels=1,
    resolution=32,
    num_train=2**40,
    fingerprint="simulated",
)


def study(**changes) -> StudySpec:
    """A small but complete study; ``changes`` replace whole tables."""
    plain = {
        "name": "simulated",
        "question": "Which formula wins?",
        "data": {"source": "digit-pairs"},
        "ladder": {"budgets": [2e10, 6e10, 2e11, 6e11]},
        "families": [
            {
                "name": "nfnet",
                "recipe": "nfnet-short",
                "sizes": ["nfnet:w8-d1x1-s4", "nfnet:w12-d1x1-s4", "nfnet:w16-d1x1-s4", "nfnet:w24-d1x1-s4"],
                "base_lr": {"low": 0.1, "start": 0.8, "high": 12.8},
                "lr_batch_exponent": 1.0,
                "axes": {"batch": {"field": "batch_factor", "values": [0.25, 0.5, 1, 2, 4]}},
            },
            {
                "name": "vit",
                "recipe": "vit-short",
                "sizes": ["vit:w16-d2-p8", "vit:w24-d2-p8", "vit:w32-d2-p8", "vit:w48-d2-p8"],
                "base_lr": {"low": 1e-3, "start": 8e-3, "high": 0.128},
                "lr_batch_exponent": 0.5,
                "axes": {"batch": {"field": "batch_factor", "values": [0.25, 0.5, 1, 2, 4]}},
            },
        ],
    }
    return study_from_plain({**plain, **changes})


def bowl(trial: PlannedTrial) -> float:
    """A loss with an interior optimum in size and learning rate, falling with compute; seeds move it a little."""
    spec = trial.spec
    budget = math.log10(trial.budget_flops)
    grids = {"nfnet": 1.6, "vit": 0.016}
    off_lr = math.log2(trial.base_lr / grids[trial.family]) + 0.3 * (budget - 10)
    size = math.log2(int(spec.architecture.split("w")[1].split("-")[0]) / 14)
    noise = random.Random(spec.fingerprint).gauss(0, 0.01)
    batch = 0.05 if trial.variant else 0.0
    return 2.0 * 10 ** (-0.1 * (budget - 10)) * math.exp(0.02 * off_lr**2 + 0.05 * size**2 + noise + batch) + 0.5


def outcome_of(trial: PlannedTrial, loss: float, facts: DataFacts = FACTS) -> TrialResult:
    """The record that a trial with held-out ``loss`` leaves; infinite means diverged."""
    spec = trial.spec
    finished = math.isfinite(loss)
    held_out: dict[Split, HeldOutMeans] = {}
    if finished:
        held_out[spec.held_out] = HeldOutMeans(values={"loss": loss, "error": 0.5}, num_examples=100)
    return TrialResult(
        fingerprint=spec.fingerprint,
        status="finished" if finished else "diverged",
        params=count(spec.architecture, resolution=32, num_outputs=100, in_channels=1).params,
        steps=spec.steps,
        examples_seen=spec.examples,
        epochs=spec.examples / facts.num_train,
        train_flops=trial.budget_flops,
        evaluate_flops=1.0,
        held_out=held_out,
        measures=MEASURES,
        seen_digest="0" * 32,
        data_fingerprint="simulated",
        executions=(Execution(device="none", torch_version="0"),),
        levelfield_version="0",
    )


def written_down(
    path: Path, spec: StudySpec, planned: Plan, results: Mapping[str, TrialResult], *, facts: DataFacts = FACTS
) -> StudyDirectory:
    """The directory that running such a study would leave; every trial took as many seconds as it took FLOPs / 1e9."""
    directory = StudyDirectory(path)
    directory.save_spec(spec)
    write_record(directory.facts_path, facts)
    fix(directory, spec, num_results=0)
    for trial in planned.trials:
        if (result := results.get(trial.spec.fingerprint)) is not None:
            held = directory.trial(trial.spec)
            held.open(trial.spec)
            timing = TrialTiming(
                fingerprint=result.fingerprint,
                device="none",
                wall_seconds=1.0,
                device_seconds=result.train_flops / 1e9,
                data_seconds=0.0,
                evaluate_seconds=0.0,
            )
            held.finish(result, timing)
            held.tell(result, timing)
    return directory


def run_to_the_end(
    spec: StudySpec,
    *,
    loss: Callable[[PlannedTrial], float] = bowl,
    choose: Callable[[tuple[PlannedTrial, ...]], PlannedTrial] = lambda pending: pending[0],
    facts: DataFacts = FACTS,
    locks: Mapping[float, Lock] | None = None,
) -> tuple[Plan, dict[str, TrialResult]]:
    """Plan, finish the trial that ``choose`` picks, plan again, until nothing is pending."""
    results: dict[str, TrialResult] = {}
    while True:
        planned = plan(spec, facts, results, locks)
        pending = planned.pending(results)
        if not pending:
            return planned, results
        trial = choose(tuple(of_kind(PlannedTrial, each) for each in pending))
        results[trial.spec.fingerprint] = outcome_of(trial, loss(trial), facts)
