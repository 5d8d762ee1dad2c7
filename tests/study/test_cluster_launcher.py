"""What is done for every cluster alike, on one that runs jobs when it is told to, in this process."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Mapping
from pathlib import Path

import pytest

from levelfield.records.code_version import code_version
from levelfield.records.data import ImagesSpec
from levelfield.records.errors import InputError, SpecError, StoreError
from levelfield.records.execution import DEFAULT_EXECUTION, ExecutionSpec
from levelfield.study.launch import clustered
from levelfield.study.launch.base import LaunchEvent
from levelfield.study.launch.cluster import Job, JobOrder, JobState
from levelfield.study.launch.clustered import ClusterLauncher
from levelfield.study.launch.intents import Intent, Intents
from levelfield.study.launch.job import order_at, run_job
from levelfield.study.launch.registry import start_launcher
from levelfield.study.planned import PlannedTrial
from levelfield.testing.launchers import example_trial, planned_example
from tests.narrowed import present


class Desk:
    """A cluster on which jobs lie until somebody takes them up."""

    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}
        self.states: dict[str, JobState] = {}
        self.cancelled: list[str] = []
        self.takes = 1000
        self.intents_seen: list[Intent] = []

    def submit(self, job: Job) -> str | None:
        intent = json.loads(job.order_path.read_text())
        assert "id" not in intent or intent["id"] is None, "it is written down before, without what it will be called"
        if sum(state.kind != "ended" for state in self.states.values()) >= self.takes:
            return None
        self.jobs[job.name] = job
        self.states[job.name] = JobState(kind="waits", id=str(len(self.jobs)))
        return self.states[job.name].id

    def poll(self, timeout_s: float) -> Mapping[str, JobState]:
        return self.states

    def cancel(self, ids: Collection[str]) -> None:
        self.cancelled += ids
        for name, state in self.states.items():
            if state.id in ids:
                self.ended(name)

    def forget(self, state: JobState) -> None:
        pass

    def close(self) -> None:
        pass

    def ended(self, name: str, reason: str = "a node died", **told) -> None:
        self.states[name] = dataclasses.replace(self.states[name], kind="ended", reason=reason, **told)

    def run(self, name: str) -> None:
        job = self.jobs[name]
        try:
            run_job(job.item, job.order)
        finally:
            self.ended(name)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def launcher(study: Path, desk: Desk, **more) -> ClusterLauncher:
    how = {"num_workers": 8, "device": "cpu", "execution": DEFAULT_EXECUTION, "checkpoint_seconds": 60.0} | more
    return ClusterLauncher(study, name="slurm", open_cluster=lambda directory, prefix: desk, **how)


def events(one: ClusterLauncher) -> list[LaunchEvent]:
    """All that has happened by now."""
    seen = []
    while (event := one.next_event(timeout_s=0.0)) is not None:
        seen.append(event)
    return seen


def told(one: ClusterLauncher) -> list[str]:
    return [event.kind for event in events(one)]


def trial(seed: int = 0, **other) -> PlannedTrial:
    return planned_example(dataclasses.replace(example_trial(seed), **other))


def test_a_job_that_is_run_ends_its_trial_and_leaves_nothing_of_itself(tmp_path, desk):
    one = launcher(tmp_path / "study", desk)
    one.submit(trial())
    (name,) = desk.jobs
    assert told(one) == []
    desk.run(name)
    assert told(one) == ["started", "finished"]
    one.close()
    assert sorted(path.name for path in (tmp_path / "study").iterdir()) == ["trials"]


def test_after_a_crash_a_job_is_found_by_its_name_though_nobody_wrote_down_what_it_is_called(tmp_path, desk):
    launcher(tmp_path, desk).submit(trial())
    (name,) = desk.jobs
    intents = Intents(tmp_path, "slurm")
    (left,) = intents.left()
    assert left.id == "1"
    intents.write(dataclasses.replace(left, id=None))  # as by a crash before the answer came
    again = launcher(tmp_path, desk)
    again.submit(trial())
    assert told(again) == []
    assert list(desk.jobs) == [name], "it is not submitted twice"
    desk.ended(name)
    assert told(again) == ["started", "restarted"]
    assert len(desk.jobs) == 2
    assert [*desk.jobs][1].endswith("-2")


def test_what_was_written_down_and_never_submitted_is_submitted_then(tmp_path, desk):
    order = JobOrder(
        device="cpu", execution=DEFAULT_EXECUTION, checkpoint_seconds=60.0, keeps_weights=False, code=code_version()
    )
    Intents(tmp_path, "slurm").begin(trial().spec.fingerprint, tmp_path, after=0, order=order)
    one = launcher(tmp_path, desk)
    one.submit(trial())
    assert len(desk.jobs) == 1


def test_what_nobody_asks_for_any_more_is_cancelled_and_so_is_what_would_run_other_code(tmp_path, desk):
    before = launcher(tmp_path, desk)
    before.submit(trial(0))
    before.submit(trial(1))
    intents = Intents(tmp_path, "slurm")
    kept = next(left for left in intents.left() if left.fingerprint == trial(1).spec.fingerprint)
    intents.write(dataclasses.replace(kept, order=dataclasses.replace(kept.order, code="0.0.1")))
    again = launcher(tmp_path, desk)
    again.submit(trial(1))
    assert desk.cancelled == []
    assert told(again) == []
    assert sorted(desk.cancelled) == ["1", "2"]
    assert [state.kind for state in desk.states.values()] == ["ended", "ended", "waits"]
    assert [left.number for left in intents.left()] == [2]


def test_a_cluster_that_is_full_is_asked_again_later(tmp_path, desk, monkeypatch):
    monkeypatch.setattr(clustered, "_FULL_S", 0.0)
    desk.takes = 1
    one = launcher(tmp_path, desk)
    one.submit(trial(0))
    one.submit(trial(1))
    assert told(one) == []
    assert len(desk.jobs) == 1
    assert len(Intents(tmp_path, "slurm").left()) == 1, "what was not taken is no intent any more"
    desk.ended(*desk.jobs, reason="no", blame="trial")
    assert told(one) == ["started", "failed"]
    assert len(desk.jobs) == 2


@pytest.mark.parametrize("began", [False, True])
def test_a_job_that_dies_three_times_without_a_checkpoint_is_given_up_and_who_is_to_blame_is_told(
    began, tmp_path, desk, monkeypatch
):
    one = launcher(tmp_path, desk)
    one.submit(trial())
    kinds = []
    for number in (1, 2, 3):
        name = next(name for name, state in desk.states.items() if state.kind != "ended")
        if began and number == 1:
            (desk.jobs[name].item / "attempts" / "0001").mkdir(parents=True)
        desk.ended(name)
        seen = events(one)
        kinds += [event.kind for event in seen]
    assert kinds == ["started", "restarted"] * 2 + ["started", "failed"]
    assert (seen[-1].reason, seen[-1].blame) == ("a node died, 3 times", "trial" if began else "worker")


def test_what_the_directory_says_counts_and_not_what_an_earlier_attempt_left_there(tmp_path, desk):
    lost = ImagesSpec(path=str(tmp_path / "lost"), resolution=16)
    wrong = trial(0, data=lost, data_content="0" * 16)
    one = launcher(tmp_path / "study", desk)
    one.submit(wrong)
    with pytest.raises(InputError):
        desk.run(*desk.jobs)
    event = events(one)[-1]
    assert (event.kind, event.blame) == ("failed", "input")
    assert str(tmp_path / "lost") in event.reason
    again = launcher(tmp_path / "study", desk)
    again.submit(wrong)
    desk.ended([*desk.jobs][1])
    event = events(again)[-1]
    assert (event.kind, event.reason) == ("restarted", "a node died"), "this job never began"


def test_other_code_is_refused_on_a_node_and_so_is_a_directory_that_it_does_not_see(tmp_path):
    order = JobOrder(
        device="cpu", execution=DEFAULT_EXECUTION, checkpoint_seconds=60.0, keeps_weights=False, code="0.0.1"
    )
    with pytest.raises(InputError, match=r"is to be run by levelfield 0\.0\.1, and here is"):
        run_job(tmp_path, order)
    here = dataclasses.replace(order, code=code_version())
    with pytest.raises(InputError, match="a directory that all nodes see"):
        run_job(tmp_path / "nothing", here)
    assert order_at(tmp_path / "withdrawn.json") is None


def test_minutes_and_memory_are_foretold_from_what_has_finished(tmp_path, desk):
    one = launcher(tmp_path, desk, execution=ExecutionSpec(threads=2))
    one.submit(trial(0))
    (needs,) = [job.needs for job in desk.jobs.values()]
    assert (needs.num_gpus, needs.num_cpus, needs.seconds, needs.memory_bytes) == (0, 2, None, None)
    desk.run(*desk.jobs)
    assert told(one) == ["started", "finished"]
    one.submit(trial(1))
    taken = present(one._study.trial(trial(0).spec).timing())
    found = [job.needs for job in desk.jobs.values()][1]
    assert found.seconds == pytest.approx(2 * taken.wall_seconds + 600)
    on_gpus = launcher(tmp_path / "other", Desk(), device="cuda")
    on_gpus.submit(trial(0))
    assert on_gpus._foretold.needs(trial(0)).num_gpus == 1


def test_a_launcher_says_what_it_cannot_be_asked(tmp_path, desk):
    how = {"num_workers": 1, "checkpoint_seconds": 1.0}
    on_slurm = ExecutionSpec(launcher="slurm")
    with pytest.raises(SpecError, match="say --device cpu or --device cuda with --launcher slurm"):
        start_launcher(tmp_path, execution=on_slurm, device="auto", **how)
    with pytest.raises(SpecError, match="--ask is for clusters, saw partition with --launcher local"):
        start_launcher(tmp_path, execution=DEFAULT_EXECUTION, device="auto", asks={"partition": "gpu"}, **how)
    launcher(tmp_path, desk).submit(trial())
    with pytest.raises(StoreError, match=r"jobs of slurm are at work on .*: go on with --launcher slurm"):
        start_launcher(tmp_path, execution=DEFAULT_EXECUTION, device="cpu", **how)


def test_the_command_line_says_what_an_unknown_launcher_and_no_pair_are(tiny_study, tmp_path, invoke):
    code, _, said = invoke("run", tiny_study, "--dir", tmp_path / "study", "--launcher", "lsf")
    assert code == 2
    assert "launcher must be one of 'local', 'slurm', 'ray', saw 'lsf'" in said
    code, _, said = invoke("run", tiny_study, "--dir", tmp_path / "study", "--ask", "partition")
    assert (code, "--ask takes KEY=VALUE, such as partition=gpu, saw 'partition'" in said) == (2, True)
    code, _, said = invoke("run", tiny_study, "--dir", tmp_path / "study", "--ask", "partition=gpu")
    assert (code, "--ask is for clusters" in said) == (2, True)
