"""The page of a table of runs that others made: the facts that stand around its analysis."""

from __future__ import annotations

from collections.abc import Sequence

from levelfield.records.observation import Observation
from levelfield.report.facts import StudyFacts, StudyTotals, TrialRow
from levelfield.report.words.measures import axis
from levelfield.report.words.numbers import family_name, listed
from levelfield.scaling.foretold import cuts_of
from levelfield.scaling.results.analysis import Analysis


def table_facts(analysis: Analysis, rows: Sequence[Observation], *, name: str, version: str) -> StudyFacts:
    """What is known of the table ``name`` from its ``rows`` alone."""
    seconds = [row.device_seconds for row in rows]
    families = listed([family_name(family) for family in analysis.families])
    return StudyFacts(
        title=name,
        question=f"What do the {len(rows)} runs of {name} say of {families}?",
        data=f"{name}, a table that others made: what data its runs saw is not known here.",
        metric=f"{axis(analysis.measure)}, as the table states it",
        measures=(analysis.measure,),
        device=listed(sorted({row.device for row in rows if row.device})) or None,
        budgets=tuple(sorted({row.budget_flops for row in rows})),
        recipes=(),
        caveats=(
            *analysis.notices,
            "the runs are others': what is confounded with the family is listed, and no cause is claimed",
        ),
        versions={"levelfield": version},
        fingerprints={},
        foretold=cuts_of(rows, sizes_counted=False),
        trials=tuple(_row(row, analysis.measure.name) for row in rows),
        totals=StudyTotals(
            num_trials=len(rows),
            train_flops=sum(row.train_flops for row in rows),
            device_seconds=sum(filter(None, seconds)) if all(seconds) else None,
        ),
    )


def _row(row: Observation, measure: str) -> TrialRow:
    return TrialRow(
        name=row.run,
        family=row.family,
        model=row.model,
        budget_flops=row.budget_flops,
        role=row.role,
        status="finished",
        peak_lr=row.base_lr,
        global_batch_size=None,
        seed=row.seed,
        values=((measure, row.loss),),
        device_seconds=row.device_seconds,
    )
