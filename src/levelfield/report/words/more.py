"""What it takes to know more, and what that costs: seeds, wider searches, another rung, each with its price."""

from __future__ import annotations

from collections.abc import Iterator

from levelfield.report.facts import StudyFacts
from levelfield.report.words import numbers
from levelfield.scaling.results.analysis import Analysis, Winner

_AXES = {"base_lr": "learning rate"}


def more_sentences(analysis: Analysis, facts: StudyFacts) -> tuple[str, ...]:
    """What would decide more, what blocks a verdict first; of a study that is not done, that it be finished."""
    if (progress := analysis.in_progress) is not None:
        left = progress.wanted - progress.done
        return (f"the study itself comes first: {left} more {'run is' if left == 1 else 'runs are'} wanted so far",)
    return (*_wider(analysis), *_seeds(analysis), *_rung(facts))


def _wider(analysis: Analysis) -> Iterator[str]:
    """A value more beyond each edge that a winner lies at, tried once and run again with the winner's seeds."""
    bounded = [winner for winner in analysis.winners if winner.edges]
    if not bounded:
        return
    runs = [(winner, len(winner.edges) * (1 + winner.num_seeds)) for winner in bounded]
    axes = numbers.listed(sorted({_AXES.get(axis, axis) for winner in bounded for axis in winner.edges}))
    winners = "1 winner lies" if len(bounded) == 1 else f"{len(bounded)} winners lie"
    yield (
        f"a wider search: {winners} at an edge of what was tried ({axes}), so the loss there is only a bound; one "
        f"value beyond each such edge, with fresh seeds, takes at least {_price(runs)}"
    )


def _seeds(analysis: Analysis) -> Iterator[str]:
    """Seeds that would decide what noise alone leaves open."""
    for comparison in analysis.comparisons:
        needed = comparison.seeds_to_decide
        if comparison.overall.verdict != "cannot tell" or needed is None or comparison.currency != "flops":
            continue
        own = [winner for winner in analysis.winners if winner.family in (comparison.a, comparison.b)]
        runs = [(winner, needed - winner.num_seeds) for winner in own if winner.num_seeds < needed]
        if not runs:
            continue
        edges = any(winner.edges for winner in own)
        once = ", once no winner lies at an edge any more" if edges else ""
        pair = f"{numbers.family_name(comparison.a)} against {numbers.family_name(comparison.b)}"
        yield (
            f"more seeds: about {needed} for each winner would decide {pair} by a margin of "
            f"{numbers.margin(comparison.margin)}{once}; that takes {_price(runs)}"
        )


def _rung(facts: StudyFacts) -> Iterator[str]:
    """One budget more, searched as the largest one was."""
    if not facts.budgets:
        return
    last, before = facts.budgets[-1], facts.budgets[-2:][0]
    factor = last / before if last > before else 10.0
    at_top = [trial for trial in facts.trials if trial.budget_flops == last and trial.status == "finished"]
    if not at_top:
        return
    known = [trial.device_seconds for trial in at_top if trial.device_seconds is not None]
    seconds = sum(known) * factor if len(known) == len(at_top) else None
    yield (
        f"a rung more: runs of {numbers.flops(last * factor)} would test what is said here where nothing was run; "
        f"searched as the largest rung was, that takes about {_told(last * len(at_top) * factor, seconds)}"
    )


def _price(runs: list[tuple[Winner, int]]) -> str:
    """The training FLOPs of so many more runs like these winners, and their device time where it is known."""
    times = [None if winner.device_seconds is None else winner.device_seconds * num for winner, num in runs]
    known = [each for each in times if each is not None]
    return _told(
        sum(winner.budget_flops * num for winner, num in runs), sum(known) if len(known) == len(times) else None
    )


def _told(flops: float, seconds: float | None) -> str:
    return numbers.flops(flops) + ("" if seconds is None else f" ({numbers.seconds(seconds)} of device time)")
