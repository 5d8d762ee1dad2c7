"""What a study hands over to be shown, beside the analysis and the observations."""

from __future__ import annotations

import dataclasses

from levelfield.records.allowed import Undecidable
from levelfield.records.codec import record
from levelfield.records.measure import LOSS, Measure
from levelfield.records.reason import Reason
from levelfield.records.transfer import TransferRow
from levelfield.scaling.foretold import Foretold
from levelfield.scaling.results.intervals import Interval
from levelfield.scaling.results.refusals import Refusal
from levelfield.scaling.transfer import TransferAnalysis


@record
class RecipeFact:
    """How a family was trained, in one sentence ("short-run preset: SGD + AGC 0.16, skip gain unclipped")."""

    family: str
    preset: str
    text: str = ""


@record
class RefusedCell:
    """A cell of the plan that was not run, and why."""

    family: str
    model: str
    budget_flops: float
    reason: Reason


@record
class TrialRow:
    """One trial as the page lists it, finished or not; absent numbers are None, ``values`` those measured, by name."""

    name: str
    family: str
    model: str
    budget_flops: float
    role: str
    status: str
    peak_lr: float | None = None
    global_batch_size: int | None = None
    seed: int = 0
    values: tuple[tuple[str, float], ...] = ()
    device_seconds: float | None = None
    reason: str = ""


@record
class StudyTotals:
    """What the study spent. ``evaluate_flops`` are charged apart; ``failed_flops`` bought nothing."""

    num_trials: int
    train_flops: float
    evaluate_flops: float | None = None
    failed_flops: float | None = None
    device_seconds: float | None = None


@record
class LockedPrediction:
    """A prediction written down before its rung, or its one run, was trained; ``recipe`` says what was to be trained,
    ``seen`` (the mean over seeds of that training) is None until it is done, and where some of it ``diverged``."""

    family: str
    budget_flops: float
    predicted: Interval
    recipe: str
    locked: str
    fingerprint: str
    seen: float | None = None
    diverged: bool = False

    @property
    def inside(self) -> bool | None:
        """Whether what was seen lies inside the interval; None where nothing was."""
        return None if self.seen is None else self.predicted.low <= self.seen <= self.predicted.high


@record
class ImportedFact:
    """Others' results that were taken in: ``source`` says where they come from."""

    name: str
    source: str
    num_runs: int


@record
class TransferFact:
    """A target of transfer: ``data`` and ``sentences`` in words, the rows judged there, and what they say.

    ``refused`` are arms that could not be run, each with its reason.
    """

    name: str
    data: str
    sentences: tuple[str, ...]
    rows: tuple[TransferRow, ...]
    analysis: TransferAnalysis
    refused: tuple[str, ...] = ()


@record
class Standing:
    """Where a running study stands, on a page that is kept fresh.

    ``seconds_left`` is a bound (``at_most``) or what is expected, None where no pace is known yet; ``latest`` is the
    time of day of the last result.
    """

    done: int
    wanted: int
    complete: bool
    num_failed: int
    train_flops: float
    device_seconds: float
    seconds_left: float | None
    at_most: bool
    latest: str


@record
class StudyFacts:
    """The study around an analysis.

    ``data`` says in a sentence what was seen, ``metric`` what was judged ("held-out cross-entropy, averaged weights"),
    ``measures`` all that was measured of a trial.
    ``axes`` says what each searched axis is ("shape": "stem stride of NFNet, patch size of ViT").
    ``foretold`` is what earlier cuts of the runs would have said. ``undecidable`` is what no outcome could decide,
    ``refusals`` what else was refused beside the analysis. ``longer_run`` lists what would decide more, and its price;
    ``commands`` reproduce the study, one a line; ``versions`` and ``fingerprints`` are shown as they are. Only content
    belongs here: no clock and no path, so that equal studies give equal pages.
    """

    title: str
    question: str
    hypothesis: str = ""
    data: str
    metric: str
    measures: tuple[Measure, ...] = (LOSS,)
    device: str | None = None
    budgets: tuple[float, ...]
    recipes: tuple[RecipeFact, ...]
    axes: dict[str, str] = dataclasses.field(default_factory=dict)
    caveats: tuple[str, ...] = ()
    undecidable: tuple[Undecidable, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    longer_run: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    versions: dict[str, str]
    fingerprints: dict[str, str]
    refused_cells: tuple[RefusedCell, ...] = ()
    trials: tuple[TrialRow, ...] = ()
    totals: StudyTotals | None = None
    predictions: tuple[LockedPrediction, ...] = ()
    foretold: tuple[Foretold, ...] = ()
    imported: tuple[ImportedFact, ...] = ()
    transfers: tuple[TransferFact, ...] = ()
