"""What every sentence of an analysis must add when the study is not done, or not judged by what it had fixed."""

from __future__ import annotations

import dataclasses

from levelfield.scaling.results.analysis import Analysis


def qualified(analysis: Analysis, *, in_progress: str = "", fixed_margin: float | None = None) -> Analysis:
    """``analysis`` whose headline and sentences say that they are provisional, and that another margin was fixed.

    ``in_progress`` is a sentence on how far the study is, ``fixed_margin`` the margin in ln loss that had been fixed in
    advance; each is left out where it does not apply.
    """
    if not in_progress and fixed_margin is None:
        return analysis

    def told(sentence: str, margin: float | None) -> str:
        before = f"Provisional: {sentence}" if in_progress else sentence
        if fixed_margin is None or margin is None:
            return before
        return (
            f"{before} The margin of ±{100 * margin:.3g} % was chosen after results; ±{100 * fixed_margin:.3g} % was "
            "fixed beforehand."
        )

    comparisons = tuple(
        dataclasses.replace(each, sentence=told(each.sentence, each.margin)) for each in analysis.comparisons
    )
    margin = comparisons[0].margin if comparisons else None
    return dataclasses.replace(
        analysis,
        comparisons=comparisons,
        headline=f"{in_progress} {told(analysis.headline, margin)}".strip(),
        in_progress=in_progress,
        fixed_margin=fixed_margin,
    )
