"""Every figure of a study, drawn from its analysis."""

from __future__ import annotations

from collections.abc import Sequence

from levelfield.records.observation import Observation
from levelfield.report.facts import LockedPrediction, TransferFact
from levelfield.report.figures.allocation import allocation_figure
from levelfield.report.figures.comparison import difference_figure, verdict_figure
from levelfield.report.figures.figure import Figure
from levelfield.report.figures.foretold import foretold_figure
from levelfield.report.figures.isoflop import isoflop_figure
from levelfield.report.figures.loss import loss_figure
from levelfield.report.figures.transfer import transfer_figure
from levelfield.report.figures.tuning import learning_rate_figure, tuning_figure
from levelfield.report.published.figures import published_figure
from levelfield.scaling.foretold import Foretold
from levelfield.scaling.results.analysis import Analysis


def study_figures(
    analysis: Analysis,
    observations: Sequence[Observation],
    predictions: Sequence[LockedPrediction] = (),
    transfers: Sequence[TransferFact] = (),
    cuts: Sequence[Foretold] = (),
) -> dict[str, Figure]:
    """All figures by name, in the order of the page; those without data say why they are absent."""
    figures = (
        verdict_figure(analysis),
        loss_figure(analysis, observations, predictions),
        learning_rate_figure(analysis),
        foretold_figure(analysis.families, cuts, predictions, num_rows=len(observations)),
        allocation_figure(analysis),
        difference_figure(analysis),
        isoflop_figure(analysis),
        tuning_figure(analysis),
        *(transfer_figure(transfer, analysis.families) for transfer in transfers),
        published_figure(observations),
    )
    return {figure.name: figure for figure in figures}
