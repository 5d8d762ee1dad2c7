"""The optimiser swap of one rung: what is architecture, and what is optimiser (protocol 8)."""

from __future__ import annotations

import dataclasses

from levelfield.records.study import FamilyEntry
from levelfield.study.plan.competitor import Competitor
from levelfield.study.plan.search import search_until_bracketed
from levelfield.study.plan.wants import Wants, fresh_seeds
from levelfield.study.planned import Candidate

_SHARING = "ghost_batch_size"


def swapped(entry: FamilyEntry) -> FamilyEntry:
    """The family under the recipe of its swap."""
    swap = entry.swap
    assert swap is not None  # asked for only where one is declared
    return dataclasses.replace(
        entry,
        recipe=swap.recipe,
        override={name: value for name, value in entry.override.items() if name == _SHARING},
        base_lr=swap.base_lr,
        lr_batch_exponent=swap.lr_batch_exponent,
    )


def want_swap(wants: Wants, competitor: Competitor, winner: Candidate, budget: float) -> None:
    """Want the network and batch of ``winner`` under the recipe of ``competitor``, the family as it is
    :func:`swapped`: its learning rate searched, then fresh seeds.

    What was tuned in the winner's own recipe means nothing in the other one, so those axes go back to its defaults. How
    many examples share the statistics of BatchNorm is no part of the optimiser, and stays.
    """
    entry, spec = competitor.entry, competitor.spec
    grid = entry.base_lr
    moved = {name: entry.axes[name].field for name, _ in winner.axes}
    kept = [name for name, field in moved.items() if not field.startswith("recipe.") or field == f"recipe.{_SHARING}"]
    axes = tuple((name, value) for name, value in winner.axes if name in kept)
    choices = [Candidate(architecture=winner.architecture, base_lr=rate, axes=axes) for rate in grid.values]
    variant = ",".join(filter(None, (f"recipe={entry.recipe}", choices[0].variant)))
    search = search_until_bracketed(
        len(choices),
        grid.start_index,
        lambda index: wants.select_loss(competitor, choices[index], budget, role="swap-search", variant=variant),
        cap=spec.search.cap,
    )
    if search.best is not None:
        wants.judge(competitor, choices[search.best], budget, fresh_seeds(spec), role="swap", variant=variant)
