"""Who shares the statistics of BatchNorm while training: what a recipe may say of an architecture."""

from __future__ import annotations

from levelfield.records.errors import SpecError
from levelfield.records.trial import RecipeSpec


def refuse_other_sharing(recipe: RecipeSpec, architecture: str, *, shares: bool) -> None:
    """The recipe says how many examples share a statistic, where the network has BatchNorm; nothing else may decide it.

    Raises:
        SpecError: it has none, or the ascent of a sharpness-aware step cuts a batch whose examples all share one.
    """
    if recipe.ghost_batch_size is not None and not shares:
        raise SpecError(
            f"ghost_batch_size = {recipe.ghost_batch_size} would change nothing: {architecture} has no BatchNorm"
        )
    if shares and recipe.ghost_batch_size is None and 0 < recipe.ascent_share < 1:
        raise SpecError(
            f"sam_fraction = {recipe.sam_fraction:g} cuts a batch whose examples share the statistics of BatchNorm in "
            f"{architecture}: say by ghost_batch_size how many share one, so that the ascent takes whole ghost batches"
        )
