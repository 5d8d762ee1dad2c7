"""What the figure of loss against compute says, in words."""

from __future__ import annotations

from collections.abc import Sequence

from levelfield.records.observation import Observation
from levelfield.report.facts import LockedPrediction
from levelfield.report.words import measures, numbers
from levelfield.scaling.results.analysis import Analysis
from levelfield.scaling.results.intervals import Interval

_WITHOUT_WINNERS = "No winner was measured on fresh seeds: the laws rest on the best run at each budget."


def loss_caption(analysis: Analysis) -> str:
    """Where the families stand at the largest budget that all of them reached."""
    reached: dict[float, dict[str, Interval]] = {}
    for winner in analysis.winners:
        reached.setdefault(winner.budget_flops, {})[winner.family] = winner.loss
    shared = [budget for budget, losses in reached.items() if set(losses) == set(analysis.families)]
    if not shared:
        return _WITHOUT_WINNERS if not analysis.winners else "No budget was reached by every family."
    budget = max(shared)
    stand = numbers.listed(
        [
            f"{numbers.family_name(family)} stands at {numbers.loss_interval(reached[budget][family])}"
            for family in analysis.families
        ]
    )
    all_reached = ", the largest budget all reached" if len(analysis.families) > 1 else ""
    return f"At {numbers.flops(budget)}{all_reached}, {stand}{measures.after(analysis.measure)}."


def loss_reading(
    analysis: Analysis,
    observations: Sequence[Observation],
    predictions: Sequence[LockedPrediction],
    num_panels: int,
    above: Sequence[str],
) -> str:
    """What the signs mean; ``above`` names what lies above the first panel."""
    winners = analysis.winners
    parts = _law_sentences(analysis)
    if winners:
        level = numbers.percent(winners[0].loss.level, 0)
        parts.append(f"Points: winners on fresh seeds, {level} intervals. Faint: search runs, on the select split.")
    else:
        parts.append("Points: the best run at each budget, lucky as the best of a search is. Faint: every run.")
        if any(row.dropped for law in analysis.laws if law.chosen for row in law.rows):
            parts.append("Hollow: not fitted.")
    if any(law.chosen for law in analysis.laws):
        parts.append("Lines: the fitted law with its band, dotted where prolonged.")
    if any(winner.near_chance for winner in winners):
        parts.append(f"Hollow: within 15{numbers.THIN}% of chance, shown but not fitted.")
    if any(winner.data_limited for winner in winners):
        parts.append("Hollow: more than 4 epochs, data-limited.")
    if above:
        parts.append(f"Above the panel: {numbers.listed(list(above))}.")
    if predictions:
        parts.append("Wide bars: predictions locked before their rung ran; hollow on them: what was seen.")
    if any(run.role == "imported" for run in observations):
        parts.append("Small and hollow: imported results of others, in no law and no verdict.")
    devices = sorted({run.device for run in observations if run.device})
    if devices:
        parts.append(f"Timed on {numbers.listed(devices)}.")
    if num_panels == 1:
        parts.append("Device time was not measured, so there is no second panel.")
    return " ".join(parts)


def _law_sentences(analysis: Analysis) -> list[str]:
    sentences = []
    for law in analysis.laws:
        if not law.chosen or law.currency != "flops":
            continue
        floor = law.parameters.get("E")
        text = f"{numbers.family_name(law.family)}: {analysis.measure.name} falls as C⁻ᵇ with b = "
        text += numbers.number_interval(law.parameters.get("b"), 2)
        if floor is not None:
            text += f", down to an irreducible {numbers.number_interval(floor, 2)}"
        sentences.append(text + ".")
    return sentences or ["No law is drawn: see the refusals."]
