"""Of several competitors, which may be the best: those that no other is told to beat."""

from __future__ import annotations

from collections.abc import Sequence

from levelfield.scaling.results.verdicts import Comparison


def not_told_from_the_best(families: Sequence[str], comparisons: Sequence[Comparison]) -> tuple[str, ...]:
    """The ``families`` that lose to no other one at equal training FLOPs over all rungs, in their own order.

    Intervals of all pairs, rungs and currencies hold together, so the truly best is among them at least as often as
    they do: whatever it is told to lose to would have to be told so falsely.
    Source: the set of multiple comparisons with the best, Hsu, "Multiple Comparisons", 1996, chapter 4; by intervals of
    all pairs instead of his own, which is wider.
    """
    beaten: set[str] = set()
    for comparison in comparisons:
        if comparison.currency == "flops":
            loser = {"worse": comparison.a, "better": comparison.b}.get(comparison.overall.verdict)
            beaten |= {loser} if loser is not None else set()
    return tuple(family for family in families if family not in beaten)
