"""The directory of a race: begun once, and gone on with by the same command ever after."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from levelfield.records.reason import Reason
from levelfield.records.study import StudySpec
from levelfield.records.writing import write_atomically
from levelfield.scaling.results.analysis import Analysis
from levelfield.study.bill.bill import bill
from levelfield.study.bill.calibrate import calibrate
from levelfield.study.bill.expected import Spend, left_of
from levelfield.study.bill.foretold import Speeds
from levelfield.study.bill.supposed import supposed_courses
from levelfield.study.facts import DataFacts
from levelfield.study.outcome.outcome import Outcome
from levelfield.study.plan.plan import plan
from levelfield.study.race.more import next_step
from levelfield.study.spec_file import study_text

_HEAD = """\
# A race as it was begun, complete: `levelfield run study.toml --dir .` goes on with it, and so does `levelfield race`.
# What is fixed once there are results stays fixed; sealed.json says what has grown since, and when.
"""


@dataclass(frozen=True, kw_only=True)
class Priced:
    """How a race goes on after a look: the study grown by a step, what that does, and what it should take."""

    spec: StudySpec
    does: Reason
    spend: Spend


def study_file(directory: Path) -> Path:
    """Where the study of the race in ``directory`` is written out."""
    return directory / "study.toml"


def write_study(directory: Path, spec: StudySpec) -> None:
    """Write the study out, complete, to read, edit and cite.

    Raises:
        StoreError: the directory cannot be written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    write_atomically(study_file(directory), (_HEAD + study_text(spec)).encode())


def speeds_for(spec: StudySpec, facts: DataFacts, *, device: str) -> Speeds:
    """The speeds here of what ``spec`` trains, measured now or kept from before."""
    planned = plan(spec, facts, {})
    courses = supposed_courses(spec, facts, planned, at_most=bill(spec, facts, planned).trials_at_most)
    return calibrate(spec, facts, planned, courses, device=device)


def further(outcome: Outcome, analysis: Analysis, speeds: Speeds | None) -> Priced:
    """How the finished race of ``outcome`` goes on, and what that takes by ``speeds``."""
    step = next_step(outcome.spec, outcome.planned, analysis.comparisons)
    spend = left_of(step.spec, outcome.facts, outcome.results, speeds)
    return Priced(spec=step.spec, does=step.does, spend=spend)
