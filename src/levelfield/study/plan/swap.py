"""The optimiser swap of one rung: what is architecture, and what is optimiser (protocol 8)."""

from __future__ import annotations

import dataclasses

from levelfield.records.study import FamilyEntry
from levelfield.study.plan.candidate import recipe_of
from levelfield.study.plan.search import search_until_bracketed
from levelfield.study.plan.wants import Wants
from levelfield.study.planned import Candidate


def want_swap(wants: Wants, entry: FamilyEntry, winner: Candidate, budget: float) -> None:
    """Want the network and batch of ``winner`` under the swapped recipe: its learning rate searched, then fresh seeds.

    What was tuned in the winner's own recipe means nothing in the other one, so those axes go back to its defaults. How
    many examples share the statistics of BatchNorm is no part of the optimiser, and stays.
    """
    if entry.swap is None:
        return
    swap, grid = entry.swap, entry.swap.base_lr
    ghost = recipe_of(entry, winner, peak_lr=1.0).ghost_batch_size
    swapped = dataclasses.replace(
        entry,
        recipe=swap.recipe,
        override={} if ghost is None else {"ghost_batch_size": ghost},
        base_lr=grid,
        lr_batch_exponent=swap.lr_batch_exponent,
    )
    axes = tuple((name, value) for name, value in winner.axes if not entry.axes[name].field.startswith("recipe."))
    choices = [Candidate(architecture=winner.architecture, base_lr=rate, axes=axes) for rate in grid.values]
    variant = ",".join(filter(None, (f"recipe={swap.recipe}", choices[0].variant)))
    search = search_until_bracketed(
        len(choices),
        grid.start_index,
        lambda index: wants.select_loss(swapped, choices[index], budget, role="swap-search", variant=variant),
        cap=wants.spec.search.cap,
    )
    if search.best is not None:
        wants.judge(swapped, choices[search.best], budget, wants.fresh_seeds, role="swap", variant=variant)
