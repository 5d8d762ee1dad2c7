"""What a rung offers to transfer: its winner's fresh seeds, the trial that won, and trials of sizes beside it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from levelfield.records.study import FamilyEntry
from levelfield.records.trial import TrialSpec
from levelfield.study.plan.competitor import Competitor
from levelfield.study.plan.wants import SEARCH_SEED, fresh_seeds
from levelfield.study.planned import Candidate

if TYPE_CHECKING:
    from levelfield.study.planned import RungWinner, TunedCell


@dataclasses.dataclass(frozen=True, kw_only=True)
class OfferedStarts:
    """What a rung of one family offers: the trials to start from, by fingerprint and seed.

    ``fresh`` are the winner's fresh seeds, ``selecting`` is the trial of the search that won, ``beside`` are trials of
    other sizes, best first by nearness.
    """

    entry: FamilyEntry
    budget_flops: float
    architecture: str
    sizes: tuple[str, ...]
    fresh: tuple[TrialSpec, ...]
    selecting: TrialSpec
    beside: tuple[TrialSpec, ...]


def offered_by(competitor: Competitor, winner: RungWinner, tuned: Sequence[TunedCell]) -> OfferedStarts:
    """The frontier of a rung that ``winner`` won; ``tuned`` are its searched cells."""
    entry, budget, candidate = competitor.entry, winner.budget_flops, winner.candidate

    def trial(of: Candidate, seed: int, held_out: str) -> TrialSpec:
        return competitor.trial(of, budget, seed=seed, held_out=held_out)

    selecting = trial(candidate, SEARCH_SEED, "select")
    return OfferedStarts(
        entry=entry,
        budget_flops=budget,
        architecture=selecting.architecture,
        sizes=tuple(_sizes(competitor, winner)),
        fresh=tuple(trial(candidate, seed, "report") for seed in fresh_seeds(competitor.spec)),
        selecting=selecting,
        beside=tuple(trial(other, SEARCH_SEED, "select") for other in _beside(entry, winner, tuned)),
    )


def _sizes(competitor: Competitor, winner: RungWinner) -> Iterator[str]:
    """The family's sizes with the winner's shape, the winner's own among them."""
    for size in competitor.entry.sizes:
        moved = dataclasses.replace(winner.candidate, architecture=size)
        yield competitor.afford(moved, winner.budget_flops).architecture


def _beside(entry: FamilyEntry, winner: RungWinner, tuned: Sequence[TunedCell]) -> Iterator[Candidate]:
    """The ``tuned`` cells of the winner's rung in other sizes, nearest size first, the smaller of two as near."""
    place = entry.sizes.index(winner.candidate.architecture)
    cells = [cell for cell in tuned if cell.architecture != winner.candidate.architecture and cell.base_lr is not None]
    places = {cell: entry.sizes.index(cell.architecture) for cell in cells}
    for cell in sorted(cells, key=lambda cell: (abs(places[cell] - place), places[cell])):
        assert cell.base_lr is not None
        yield Candidate(architecture=cell.architecture, base_lr=cell.base_lr)
