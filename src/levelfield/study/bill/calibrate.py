"""How long the trials of a plan take here, from speeds measured once and kept.

:func:`calibrate` has them measured by a process of its own (:mod:`levelfield.study.bill.measure`), so that planning
never loads torch.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Sequence

from levelfield.records.codec import from_plain, to_plain
from levelfield.records.errors import InputError, TrialError
from levelfield.records.study import StudySpec
from levelfield.records.trial import TrialSpec
from levelfield.study.bill.foretold import Speeds
from levelfield.study.bill.speed import AskedSpeeds, FoundSpeeds, Rendering, Shape, rendering_of, shape_of
from levelfield.study.facts import DataFacts
from levelfield.study.launch.environment import worker_environment
from levelfield.study.plan.candidate import trial_spec
from levelfield.study.planned import Candidate, Cell, Plan, PlannedTrial

MOST_MEASURED_SHAPES = 64
"""There is time for so many; what others take is interpolated, in every plan alike."""


def calibrate(
    spec: StudySpec,
    facts: DataFacts,
    planned: Plan,
    courses: Sequence[Sequence[PlannedTrial]],
    *,
    device: str,
    anew: bool = False,
) -> Speeds:
    """Measured speeds of the shapes that ``courses`` and the cells of ``planned`` ask for, the most used first.

    Those that are kept from before are not measured again, but with ``anew``.

    Raises:
        InputError, TrialError: the measuring process was refused something, or failed; its message is passed on.
    """
    trials = shapes_by_use(spec, facts, planned, courses)
    if not trials:
        return Speeds(facts=facts, networks={}, data={})
    asked = AskedSpeeds(trials=trials, facts=facts, device=device, execution=spec.execution, anew=anew)
    done = subprocess.run(
        [sys.executable, "-m", "levelfield.study.bill.measure"],
        input=json.dumps(to_plain(asked)),
        capture_output=True,
        text=True,
        env=worker_environment(spec.execution.threads),
        check=False,
    )
    answer = json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else None
    if isinstance(answer, str):
        raise InputError(answer)
    if answer is None:
        said = [line for line in done.stderr.splitlines() if line.strip()] or ["it died without a word"]
        raise TrialError(f"the calibration failed: {said[-1].strip()}; --no-calibrate leaves it out")
    found = from_plain(FoundSpeeds, answer)
    return Speeds(facts=facts, networks=dict(found.networks), data=dict(found.data))


def trial_of(spec: StudySpec, facts: DataFacts, cell: Cell, *, held_out: str = "select") -> TrialSpec:
    """The trial of an allowed ``cell`` at the rate that its search starts from."""
    entry = next(entry for entry in spec.families if entry.name == cell.family)
    candidate = Candidate(architecture=cell.architecture, base_lr=entry.base_lr.start)
    return trial_spec(spec, facts, entry, candidate, cell.affordable, cell.budget_flops, held_out=held_out)


def shapes_by_use(
    spec: StudySpec, facts: DataFacts, planned: Plan, courses: Iterable[Sequence[PlannedTrial]]
) -> tuple[TrialSpec, ...]:
    """A trial of each shape and rendering that may be wanted, those first that most FLOPs are expected to go into; of
    more than there is time for one at least of every family and rendering."""
    use: dict[tuple[Shape, Rendering], float] = {}
    first: dict[tuple[Shape, Rendering], TrialSpec] = {}
    cells = (trial_of(spec, facts, cell) for cell in planned.cells if not cell.affordable.refusal)
    expected = ((trial.spec, trial.budget_flops) for course in courses for trial in course)
    for trial, flops in (*expected, *((trial, 0.0) for trial in cells)):
        key = shape_of(trial, facts), rendering_of(trial, facts)
        use[key] = use.get(key, 0.0) + flops
        first.setdefault(key, trial)
    told: set[tuple[str, Rendering]] = set()
    chosen = []
    for shape, rendering in sorted(use, key=lambda key: -use[key]):
        kind = first[shape, rendering].family, rendering
        if len(chosen) < MOST_MEASURED_SHAPES or kind not in told:
            chosen.append(first[shape, rendering])
            told.add(kind)
    return tuple(chosen)
