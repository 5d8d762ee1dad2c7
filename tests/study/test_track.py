"""Curves for whoever watches are what trials traced, and nobody's program can disturb a run."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

import pytest

from levelfield.records.errors import InputError, SpecError
from levelfield.records.store import StudyDirectory
from levelfield.records.trial import TrialTiming
from levelfield.study.launch.base import LaunchEvent
from levelfield.study.outcome.costs import costs_of
from levelfield.study.plan.plan import plan
from levelfield.study.run import RunProgress, run_study
from levelfield.study.spec_file import load_study
from levelfield.study.track.sinks import sink
from levelfield.study.track.tracker import Tracker
from tests.conftest import lasting_files, run
from tests.study.pictures import FOLDER_STUDY, write_folder
from tests.study.simulated import FACTS, run_to_the_end, study


class Kept:
    """A sink of the test's own: it keeps what comes, or breaks at a step."""

    def __init__(self, breaks_at: int | None = None) -> None:
        self.begun: list[str] = []
        self.logged: list[tuple[int, Mapping[str, float]]] = []
        self.ended: list[Mapping[str, float]] = []
        self.breaks_at = breaks_at

    def begin(self, name: str, identity: str, config: Mapping[str, Any]) -> Kept:
        self.begun.append(identity)
        return self

    def log(self, step: int, values: Mapping[str, float]) -> None:
        if step == self.breaks_at:
            raise ConnectionError("nobody answers")
        self.logged.append((step, values))

    def end(self, step: int, summary: Mapping[str, float]) -> None:
        self.ended.append(summary)


def trace(*steps: int) -> str:
    return "".join(
        json.dumps({"step": step, "loss": 1 / step, "learning_rate": 0.1, "gradient_norm": 1.0, "examples": step})
        + "\n"
        for step in steps
    )


@pytest.fixture
def tracked(tmp_path):
    """A tracker with its sink, the trace that it follows, and how to tell it of progress."""
    trial = plan(study(), FACTS, {}).trials[0]
    path = StudyDirectory(tmp_path).trial(trial.spec).metrics_path
    path.parent.mkdir(parents=True)

    def told(kept: Kept) -> tuple[Tracker, Any]:
        tracker = Tracker(tmp_path, kept)
        return tracker, lambda kind: tracker(RunProgress(event=LaunchEvent(kind=kind, trial=trial), done=0, wanted=1))

    return told, path


def test_lines_go_out_once_in_order_and_a_torn_one_when_it_is_whole(tracked):
    told, path = tracked
    kept = Kept()
    _, progress = told(kept)
    progress("started")
    path.write_text(trace(5, 10) + trace(15)[:20])
    progress("progress")
    assert [step for step, _ in kept.logged] == [5, 10]
    assert kept.logged[0][1] == {"loss": 0.2, "learning_rate": 0.1, "gradient_norm": 1.0, "examples": 5}
    path.write_text(trace(5))  # resumed from a checkpoint at 5, and written again
    progress("restarted")
    path.write_text(trace(5, 10, 15))
    progress("failed")
    assert [step for step, _ in kept.logged] == [5, 10, 15]
    assert (len(kept.begun), kept.ended) == (1, [{}])


def test_what_was_clipped_goes_out_with_its_step(tracked):
    told, path = tracked
    kept = Kept()
    _, progress = told(kept)
    path.with_name("clipped.jsonl").write_text('{"step": 5, "stem": 0.5}\n{"step": 10, "stem": 0.25}\n{"step": 15, "st')
    path.write_text(trace(5, 10))
    progress("progress")
    assert [(step, values["clipped/stem"]) for step, values in kept.logged] == [(5, 0.5), (10, 0.25)]


def test_a_sink_that_breaks_is_told_once_and_left_alone(tracked, caplog):
    told, path = tracked
    kept = Kept(breaks_at=10)
    _, progress = told(kept)
    path.write_text(trace(5, 10, 15))
    progress("progress")
    progress("progress")
    assert [step for step, _ in kept.logged] == [5]
    assert caplog.text.count("--track: nobody answers; the run goes on without") == 1


def test_an_unknown_sink_is_named_with_those_there_are_and_a_missing_one_with_what_to_install(tmp_path, monkeypatch):
    with pytest.raises(SpecError, match=r"tensorboard, wandb, trackio; saw 'tensorbord'.*did you mean 'tensorboard'"):
        sink("tensorbord", study="s", directory=tmp_path)
    monkeypatch.setitem(sys.modules, "trackio", None)
    with pytest.raises(SpecError, match="--track trackio needs trackio, which is not installed: pip install trackio"):
        sink("trackio", study="s", directory=tmp_path)


def test_what_seconds_are_worth_is_told_against_a_peak_that_a_source_states_and_never_above_it():
    planned, results = run_to_the_end(study())
    spec = planned.trials[0].spec
    result = results[spec.fingerprint]

    def timed(device: str, seconds: float) -> dict[str, float]:
        timing = TrialTiming(
            fingerprint=spec.fingerprint, device=device, device_seconds=seconds, data_seconds=0.0, evaluate_seconds=0.0,
            wall_seconds=seconds, memory_bytes=7,
        )  # fmt: skip
        return costs_of(spec, result, timing)

    peak = {"bfloat16": 989.4e12, "float32": 66.9e12}[spec.dtype]
    half = timed("NVIDIA H100 80GB HBM3", 2 * result.train_flops / peak)
    assert half["mfu"] == pytest.approx(0.5)
    assert half["memory_bytes"] == 7
    assert half["examples_per_second"] * half["device_seconds"] == pytest.approx(result.examples_seen)
    assert "mfu" not in timed("NVIDIA H100 NVL", 1.0)
    with pytest.raises(InputError, match="would be 200% of the"):
        timed("NVIDIA H100 80GB HBM3", 0.5 * result.train_flops / peak)


@pytest.mark.slow
def test_a_watched_run_has_the_results_of_any_other_and_its_curves_are_its_traces(tmp_path):
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    write_folder(tmp_path / "images", seed=0)
    (tmp_path / "pictures.toml").write_text(FOLDER_STUDY)
    watched = ("--track", "tensorboard", "--track", "wandb")
    done = run("run", tmp_path / "pictures.toml", "--dir", tmp_path / "study", *watched, WANDB_MODE="offline")
    assert done.returncode == 0, done.stderr
    run_study(load_study(tmp_path / "pictures.toml"), tmp_path / "unseen", device="cpu")
    seen = lasting_files(tmp_path / "study")
    assert {name: kept for name, kept in seen.items() if not name.startswith("track")} == (
        lasting_files(tmp_path / "unseen")
    )
    trials = sorted((tmp_path / "study/trials").iterdir())
    held = []
    for trial in trials:
        events = accumulators.EventAccumulator(str(tmp_path / "study/track" / trial.name))
        events.Reload()
        traced = [json.loads(line) for line in (trial / "metrics.jsonl").read_text().splitlines()]
        assert [event.step for event in events.Scalars("loss")] == [line["step"] for line in traced]
        assert [event.value for event in events.Scalars("loss")] == pytest.approx([line["loss"] for line in traced])
        timing = json.loads((trial / "timing.json").read_text())
        assert events.Scalars("cost/device_seconds")[0].value == pytest.approx(timing["device_seconds"])
        held.append(timing.get("memory_bytes") or 0)
    assert max(held) > 50e6, "the first trial of a worker held more than its start"
    assert len(list((tmp_path / "study/track/wandb").glob("offline-run-*"))) == len(trials)


def test_a_run_that_cannot_be_watched_as_asked_is_not_begun(tiny_study, tmp_path, invoke):
    code, _, error = invoke("run", tiny_study, "--dir", tmp_path / "study", "--track", "nowhere")
    assert (code, "--track takes tensorboard, wandb, trackio; saw 'nowhere'" in error) == (2, True)
    assert not (tmp_path / "study").exists()
