"""The tables of what keeps a study honest: controls, the optimiser swap, predictions locked in advance."""

from __future__ import annotations

from levelfield.report.facts import StudyFacts
from levelfield.report.tables.table import (
    Column,
    Table,
    TableCell,
    family_cell,
    model_cell,
    number_cell,
    reasons_cell,
    text_cell,
    words_column,
)
from levelfield.report.words import numbers
from levelfield.report.words.controls import control_outcome
from levelfield.report.words.foretold import fared
from levelfield.report.words.measures import named
from levelfield.scaling.results.analysis import Analysis

_FINGERPRINT_SHOWN = 12


def controls_table(analysis: Analysis) -> Table:
    """The A/A controls."""
    rows = tuple(
        (
            family_cell(control.family),
            number_cell(control.budget_flops, numbers.flops(control.budget_flops)),
            TableCell(
                text=numbers.ratio_interval(control.difference),
                value=control.difference.estimate if control.difference else "",
            ),
            text_cell(control.verdict),
            text_cell(control_outcome(analysis, control)),
            reasons_cell(*control.reasons),
        )
        for control in analysis.controls
    )
    return Table(
        name="controls",
        title="A/A control",
        note="A family against itself on other seeds must never come out better or worse; here it is the loss of the "
        "first seeds relative to the others. A control with a wider interval than the margin could not have raised "
        "an alarm at a difference that matters.",
        columns=(
            words_column("Family"),
            Column(title="Budget"),
            Column(title="Difference of loss"),
            words_column("Verdict"),
            words_column("Outcome"),
            words_column("Reason"),
        ),
        rows=rows,
        empty="No A/A control was run.",
    )


def swaps_table(analysis: Analysis) -> Table:
    """Both families by both optimisers."""
    rows = tuple(
        (
            number_cell(swap.budget_flops, numbers.flops(swap.budget_flops)),
            family_cell(cell.family),
            model_cell(cell.family, cell.model),
            text_cell(numbers.code_word(cell.optimizer) + (", its own recipe" if cell.own else ", swapped")),
            TableCell(text=numbers.loss_interval(cell.loss), value=cell.loss.estimate if cell.loss else ""),
            number_cell(cell.num_seeds, str(cell.num_seeds)),
            number_cell(cell.base_lr, numbers.plain(cell.base_lr)),
            text_cell(f"bound on {numbers.listed(cell.edges)}" if cell.edges else ""),
        )
        for swap in analysis.swaps
        for cell in swap.cells
    )
    return Table(
        name="swaps",
        title="Optimiser swap",
        note="The winners of one rung trained by the other family's optimiser, its learning rate searched by the same "
        "rule: what is architecture, and what is optimiser.",
        columns=(
            Column(title="Budget"),
            words_column("Family"),
            words_column("Model"),
            words_column("Optimiser"),
            *(Column(title=title) for title in ("Loss", "Seeds", "Rate at 256")),
            words_column("Remarks"),
        ),
        rows=rows,
        empty="No optimiser was swapped.",
    )


def swap_effects_table(analysis: Analysis) -> Table:
    """What the swap shows, effect by effect."""
    rows = tuple(
        (
            reasons_cell(effect.what),
            TableCell(
                text=numbers.ratio_interval(effect.difference),
                value=effect.difference.estimate if effect.difference else "",
            ),
        )
        for swap in analysis.swaps
        for effect in swap.effects
    )
    return Table(
        name="swap-effects",
        title="What the swap shows",
        note="Relative difference of loss, negative where the first one named is better; the intervals hold for all "
        "effects at once.",
        columns=(words_column("Effect"), Column(title="Difference of loss")),
        rows=rows,
        empty="No optimiser was swapped.",
    )


def predictions_table(facts: StudyFacts) -> Table:
    """Predictions locked before their rung ran, and how they fared."""
    rows = []
    for prediction in facts.predictions:
        predicted, seen = prediction.predicted, prediction.seen
        rows.append(
            (
                family_cell(prediction.family),
                number_cell(prediction.budget_flops, numbers.flops(prediction.budget_flops)),
                number_cell(predicted.estimate, numbers.loss_interval(predicted)),
                number_cell(seen, numbers.loss(seen)),
                text_cell(fared(prediction, inside="inside", outside="outside")),
                text_cell(prediction.recipe),
                text_cell(numbers.minute(prediction.locked)),
                text_cell(prediction.fingerprint[:_FINGERPRINT_SHOWN]),
            )
        )
    return Table(
        name="predictions",
        title="Predictions locked in advance",
        note="What the laws foretold, sealed before the runs, and what fresh seeds then reached: the mean "
        f"{named(facts.measures[0])}.",
        columns=(
            words_column("Family"),
            Column(title="Budget"),
            Column(title=f"Predicted {facts.measures[0].name}"),
            Column(title="Seen"),
            words_column("Score"),
            words_column("Recipe"),
            words_column("Locked"),
            words_column("Fingerprint"),
        ),
        rows=tuple(rows),
        empty="No prediction was locked in advance.",
    )
