"""Ranks of a trial are killed, stopped and told to end at random moments: nothing is lost, and it is the same trial."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest
import torch

from levelfield.records.attempts import attempts_at, last_checkpoint
from levelfield.records.execution import ExecutionSpec
from levelfield.records.store import TrialDirectory
from levelfield.records.trial import TrialResult, TrialSpec, TrialTiming
from levelfield.study.execute.following import follow
from levelfield.study.execute.item import WorkOrder, item_at, run_item
from levelfield.train.ranks import ALONE, Ranks
from tests.narrowed import present
from tests.study.test_kill import lines_in
from tests.train.over_ranks import begun_ranks
from tests.train.test_ranks import ROUNDING, trial

CPU = torch.device("cpu")
STEPS, SEEDS = 60, 70
KILLS_A_SEED = 3


def work(ranks: Ranks, directory: Path, asked: ExecutionSpec, every_seconds: float) -> str:
    """What every rank of a trial does under torchrun; how it ended, in a word."""
    if not ranks.is_first:
        follow(ranks, CPU)
        return "followed"
    order = WorkOrder(device=CPU, execution=asked, checkpoint_seconds=every_seconds, patience_s=20.0, ranks=ranks)
    try:
        run_item(item_at(directory), order)
    finally:
        ranks.dismiss()
    return "done"


def opened(path: Path, spec: TrialSpec) -> TrialDirectory:
    directory = TrialDirectory(path)
    directory.open(spec)
    return directory


def outcome(directory: TrialDirectory) -> tuple[TrialResult, TrialTiming]:
    return present(directory.result()), present(directory.timing())


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> TrialResult:
    """What comes of the trial by one rank that nobody disturbs."""
    directory = opened(tmp_path_factory.mktemp("whole") / "trial", spec_of())
    assert work(ALONE, directory.path, ExecutionSpec(), 3600.0) == "done"
    return outcome(directory)[0]


def spec_of() -> TrialSpec:
    return trial("NFNet", steps=STEPS, held_out="report")


def wait_for_steps(path: Path, lines: int, *, attempt: int) -> None:
    """Until that attempt has begun and logged so many lines, or is done."""
    until = time.monotonic() + 60
    while time.monotonic() < until and not (path / "result.json").exists():
        folder = path / f"attempts/{attempt:04d}"
        if folder.exists() and lines_in(folder / "metrics.jsonl") >= lines:
            return
        time.sleep(0.005)


@pytest.mark.parametrize(
    "seed",
    [
        pytest.param(seed, marks=pytest.mark.slow if seed < SEEDS // 10 else pytest.mark.acceptance)
        for seed in range(SEEDS)
    ],
)
def test_ranks_that_are_killed_at_random_lose_nothing_that_was_saved(seed: int, whole: TrialResult, tmp_path) -> None:
    """Three times one rank of one, two or four is killed, frozen or told to end; then the trial ends."""
    draw, directory = random.Random(seed), opened(tmp_path / "trial", spec_of())
    begun, sizes = 0, []
    for turn in range(KILLS_A_SEED + 1):
        size, last = draw.choice([1, 2, 4]), turn == KILLS_A_SEED
        asked = ExecutionSpec(microbatch_size=draw.choice([None, 3]))
        saved = last_checkpoint(directory.path)
        if directory.result() is not None:
            break
        begun, sizes = begun + 1, [*sizes, size]
        with begun_ranks(size, work, directory.path, asked, draw.choice([0.0, 0.05]), hung_after_s=3.0) as ranks:
            if not last:
                wait_for_steps(directory.path, draw.randrange(20), attempt=begun)
                victim = draw.choice(ranks).process
                how = draw.choice([signal.SIGKILL] * 4 + [signal.SIGTERM, signal.SIGSTOP])
                os.kill(present(victim.pid), how)
                if size == 1 and how == signal.SIGSTOP:
                    victim.kill()
                others = [each for each in ranks if each.process is not victim]
            else:
                others = ranks
            said = [each.said(timeout_s=60.0) for each in others]
            assert all(kind != "still there" for kind, _ in said), "no rank waits for ever"
            assert not last or all(kind == "gave" for kind, _ in said), said
        assert last_checkpoint(directory.path) >= saved or directory.result() is not None, "what was saved is kept"
    result, timing = outcome(directory)
    assert not attempts_at(directory.path)
    assert (result.seen_digest, result.examples_seen) == (whole.seen_digest, whole.examples_seen)
    for name, value in whole.held_out["report"].values.items():
        assert result.held_out["report"].values[name] == pytest.approx(value, rel=10 * ROUNDING)
    assert timing.attempts == begun
    assert 0 <= timing.lost_steps < begun * STEPS
    assert {execution.num_devices for execution in result.executions} <= set(sizes)
