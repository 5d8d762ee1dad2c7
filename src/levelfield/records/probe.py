"""What one look at frozen features is, and what came of it."""

from __future__ import annotations

import functools
from typing import Literal, TypeAlias

from levelfield.records.codec import later, record, to_plain
from levelfield.records.data import DataSpec, check_content, data_identity
from levelfield.records.errors import expect
from levelfield.records.execution import Execution
from levelfield.records.fingerprint import fingerprint
from levelfield.records.stated import stated
from levelfield.records.trial import Dtype, in_file_names

ProbeKind: TypeAlias = Literal["linear", "few-shot", "knn"]


@stated
class ProbeSpec:
    """The probes of one backbone on one data set: its features are computed once, never augmented.

    ``start`` and ``data_content`` name the weights and the images as :class:`levelfield.records.trial.TrialSpec` does.
    Probes are fitted on the train split (on ``num_train`` of its examples, the same for every backbone, where that is
    said), set by the select split, and judged on the report split.
    """

    architecture: str
    start: str
    data: DataSpec
    probes: tuple[ProbeKind, ...] = ("linear", "few-shot", "knn")
    num_train: int | None = None
    dtype: Dtype = "float32"
    data_content: str | None = later(default=None)

    def __post_init__(self) -> None:
        expect(len(self.probes) > 0, "probes", "at least one of linear, few-shot, knn", self.probes)
        expect(len(set(self.probes)) == len(self.probes), "probes", "distinct", self.probes)
        expect(self.num_train is None or self.num_train >= 1, "num_train", "at least 1 example", self.num_train)
        check_content(self.data, self.data_content)

    @functools.cached_property
    def fingerprint(self) -> str:
        """The probe's identity: everything but where its data lies."""
        return fingerprint("probe", {**to_plain(self), "data": data_identity(self.data)})

    @property
    def name(self) -> str:
        """A readable name, made unique by the head of the fingerprint."""
        return f"{in_file_names(self.architecture)}_from-{self.start.partition(':')[2][:8]}_{self.fingerprint[:8]}"

    @property
    def steps(self) -> int:
        """Nothing is trained step by step."""
        return 0


@record
class ProbeScore:
    """One probe on the report split.

    ``shots`` and ``seed`` belong to few-shot probes; ``loss`` is in nats, absent where a probe gives no probabilities.
    ``setting`` says what the select split chose, or what was fixed.
    """

    probe: ProbeKind
    top1: float
    loss: float | None = None
    shots: int | None = None
    seed: int | None = None
    setting: str = ""


@record
class ProbeResult:
    """What came of a :class:`ProbeSpec`; equal on every rerun under one execution.

    ``train_flops`` are those of the features that probes were fitted and set on, ``evaluate_flops`` those of the judged
    ones, ``solver_flops`` those of the linear probe's iterations, counted as one evaluation each. ``start_weights``
    names the weights that gave the features.
    """

    fingerprint: str
    scores: tuple[ProbeScore, ...]
    num_features: int
    num_report: int
    train_flops: float
    solver_flops: float
    evaluate_flops: float
    start_flops: float | None
    chance_top1: float
    data_fingerprint: str
    execution: Execution
    levelfield_version: str
    start_weights: str | None = later(default=None)


@record
class ProbeTiming:
    """Device-seconds that computing the features took here, by the clock of :class:`TrialTiming`, and all seconds."""

    fingerprint: str
    device: str
    device_seconds: float
    wall_seconds: float
