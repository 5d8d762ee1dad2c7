"""Whoever watches a run: new lines of trials' traces to a sink, and what came of each trial.

Traces are the truth and are written whether or not anybody watches; a sink that fails is told once and left alone.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from levelfield.records.codec import plain_from_json, to_plain
from levelfield.records.store import StudyDirectory, TrialDirectory
from levelfield.records.trial import TrialResult, TrialSpec
from levelfield.study.outcome.costs import costs_of
from levelfield.study.track.sinks import Curve, Sink

if TYPE_CHECKING:
    from levelfield.study.run import RunProgress

_TOLD = ("loss", "learning_rate", "gradient_norm", "examples")

logger = logging.getLogger(__name__)


class Tracker:
    """Sends what a study's trials trace to ``sink``; call it with every progress of the run."""

    def __init__(self, directory: Path, sink: Sink) -> None:
        self._study, self._sink = StudyDirectory(directory), sink
        self._open: dict[str, _Followed] = {}
        self._works = True

    def __call__(self, progress: RunProgress) -> None:
        spec = progress.event.trial.spec
        if not self._works or not isinstance(spec, TrialSpec):
            return
        try:
            self._send(spec, progress)
        except Exception as error:  # others' code, and their network: no trial is stopped for it
            self._works = False
            logger.warning("--track: %s; the run goes on without", str(error).strip() or type(error).__name__)

    def _send(self, spec: TrialSpec, progress: RunProgress) -> None:
        key, kind = spec.fingerprint, progress.event.kind
        if key not in self._open:
            curve = self._sink.begin(spec.name, key, to_plain(spec))
            self._open[key] = _Followed(self._study.trial(spec), curve)
        followed = self._open[key]
        followed.follow()
        if kind in ("finished", "failed"):
            followed.curve.end(spec.steps, self._summary(spec, progress.result))
            del self._open[key]

    def _summary(self, spec: TrialSpec, result: TrialResult | None) -> dict[str, float]:
        if result is None:
            return {}
        judged = {
            f"{split}/{name}": value for split, means in result.held_out.items() for name, value in means.values.items()
        }
        timing = self._study.trial(spec).timing()
        costs = costs_of(spec, result, timing) if timing else {}
        clipped = (timing and timing.clipped) or {}
        costs |= {f"clipped_{stage}": share for stage, share in clipped.items()}
        return judged | {f"cost/{name}": value for name, value in costs.items()}


class _Followed:
    """The traces of ``trial`` as far as they were sent: a resumed trial writes them anew up to its checkpoint."""

    def __init__(self, trial: TrialDirectory, curve: Curve) -> None:
        self._trial, self.curve, self._step = trial, curve, 0

    def follow(self) -> None:
        files = self._trial.newest
        told = list(_lines(files.metrics_path, after=self._step))
        # What a step has clipped was written before its line in the trace.
        clipped = {said.pop("step"): said for said in _lines(files.clipped_path, after=self._step)}
        for said in told:
            self._step = said["step"]
            values = {name: said[name] for name in _TOLD if said[name] is not None}
            shares = {f"clipped/{stage}": share for stage, share in clipped.get(self._step, {}).items()}
            self.curve.log(self._step, values | shares)


def _lines(path: Path, *, after: int) -> Iterator[dict[str, Any]]:
    """Those of a trace that are whole and of a step later than ``after``; none where there is no file."""
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except FileNotFoundError:
        return
    for line in lines:
        if not line.endswith(b"\n"):
            return
        said = plain_from_json(line)
        if said["step"] > after:
            yield said
