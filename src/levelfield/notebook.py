"""What the command line says of anybody's table of runs, as objects that print themselves short and draw.

Options of a table are those of :class:`levelfield.scaling.face.TableReading`; a table is a path (CSV or Parquet), a
frame of pandas or Polars, a table of Arrow, a dict of columns, or a list of observations.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from levelfield.report.figures.comparison import difference_figure
from levelfield.report.figures.loss import loss_figure
from levelfield.report.page.picture import Picture
from levelfield.scaling import face
from levelfield.scaling.face import AnyRuns, ComparedFamilies, FittedLaws, Predictions, TableReading


class Laws(FittedLaws):
    """Laws, the optimum of a budget, and what was refused; see :class:`FittedLaws`."""

    def figure(self) -> Picture:
        """Loss against compute, with the laws and their bands."""
        return Picture(loss_figure(self.analysis, self.runs))


class Comparisons(ComparedFamilies):
    """Verdicts at equal compute, and what was refused; see :class:`ComparedFamilies`."""

    def figure(self) -> Picture:
        """The difference between the families, budget by budget, beside the margin."""
        return Picture(difference_figure(self.analysis))


def fit(
    runs: AnyRuns,
    *,
    level: float = 0.9,
    form: str | None = None,
    recency: float | None = None,
    delta: float | None = None,
    **reading: Unpack[TableReading],
) -> Laws:
    """The laws of loss against compute of every family of ``runs``: ``fit(frame, compute="flops", loss="val_loss")``.

    ``level`` is that of the intervals; ``form``, ``recency`` and ``delta`` decide a law instead of the backtests.

    Raises:
        InputError: the table cannot be read as it was said to be. Weak data never raises: see ``refusals``.
    """
    found = face.fit(runs, level=level, form=form, recency=recency, delta=delta, **reading)
    return Laws(found.analysis, found.runs)


def predict(
    runs: AnyRuns,
    *,
    budget: float,
    unique_examples: float | None = None,
    level: float = 0.9,
    **reading: Unpack[TableReading],
) -> Predictions:
    """What ``budget`` training FLOPs should give every family of ``runs``: loss, size, examples and learning rate.

    ``unique_examples`` are the distinct ones that the run may draw on: the table's largest pool where left out.

    Raises:
        InputError: the table cannot be read as it was said to be, or nobody could spend such a budget.
        RefusedError: no family has a law.
    """
    return face.predict(runs, budget=budget, unique_examples=unique_examples, level=level, **reading)


def compare(
    runs: AnyRuns,
    *,
    margin: float = 0.05,
    level: float = 0.9,
    named_confounds: Sequence[str] = (),
    **reading: Unpack[TableReading],
) -> Comparisons:
    """Which family of ``runs`` has the lower loss at equal compute: better, worse, equivalent or cannot tell.

    ``margin`` is that of "equivalent" in ln loss, fixed in advance.

    Raises:
        InputError: the table cannot be read as it was said to be. Weak data never raises: see ``refusals``.
    """
    found = face.compare(runs, margin=margin, level=level, named_confounds=named_confounds, **reading)
    return Comparisons(found.analysis, found.runs)
