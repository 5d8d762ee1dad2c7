"""The script for a lent GPU: its rows, and all of it on the CPU at toy size."""

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import torch
from benchmarks.gpu.rows import Deadline, Row, Seen, Setting, Table, exit_code

ROOT = Path(__file__).parents[2]


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    return Setting(device=torch.device("cpu"), toy=True, out=tmp_path)


def fails() -> Seen:
    raise RuntimeError("CUDA error: of | no\nkind")


def kept(setting: Setting, name: str) -> list[dict]:
    return [json.loads(line) for line in (setting.out / f"{name}.jsonl").read_text().splitlines()]


def test_a_failed_row_is_told_and_the_next_goes_on(setting, capsys):
    table = Table("right", setting, Deadline(60))
    table.take(Row(title="first", measure=fails))
    table.take(Row(title="second", measure=lambda: Seen(figures={"images/s": 1234.5, "host %": None, "steps": 5})))
    assert table.verdicts == ["FAILED", "ok"]
    told = (setting.out / "right.md").read_text()
    assert "| first | FAILED | RuntimeError: CUDA error: of \\| no kind |" in told
    assert "| second | ok | images/s 1,234; host % -; steps 5 |" in told
    assert "CPU" in told.split("\n")[2]
    assert capsys.readouterr().out == told
    assert [row["figures"] for row in kept(setting, "right")] == [{}, {"images/s": 1234.5, "host %": None, "steps": 5}]


def test_a_row_that_is_wrong_or_failed_makes_the_code_1_and_one_without_time_does_not(setting):
    table = Table("right", setting, Deadline(60))
    table.take(Row(title="off", measure=lambda: Seen(figures={"error": 0.5}, right=False)))
    assert table.verdicts == ["WRONG"]
    assert exit_code(["ok", "WRONG"]) == exit_code(["FAILED"]) == 1
    assert exit_code(["ok", "not reached"]) == 0


def test_when_the_time_is_over_a_row_is_not_begun(setting):
    table = Table("speed", setting, Deadline(3))
    table.take(Row(title="long", measure=fails, needs_s=10))
    assert table.verdicts == ["not reached"]
    late = Table("late", setting, Deadline(0))

    def waits() -> Seen:
        raise TimeoutError("a worker did not answer in time")

    late.take(Row(title="cut short", measure=waits, needs_s=0))
    assert late.verdicts == ["not reached"]
    assert "a worker did not answer in time" in kept(setting, "late")[0]["shows"]


def benchmark(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.gpu", *map(str, arguments)]
    environment = {**os.environ, "OMP_WAIT_POLICY": "passive"}
    return subprocess.run(command, capture_output=True, text=True, timeout=1500, env=environment, cwd=ROOT, check=False)


@pytest.mark.slow
def test_a_set_or_a_device_that_is_not_there_is_refused():
    done = benchmark("rigth")
    assert (done.returncode, "the sets are right, speed, study; saw rigth" in done.stderr) == (2, True)
    if not torch.cuda.is_available():
        done = benchmark("right", "--device", "cuda")
        assert (done.returncode, "torch sees no GPU here" in done.stderr) == (2, True)


@pytest.mark.slow
def test_all_three_sets_run_on_the_cpu_at_toy_size_and_the_study_goes_on_from_its_state(tmp_path):
    common = ("--device", "cpu", "--toy", "--out", tmp_path)
    done = benchmark(*common, "--work", tmp_path / "first")
    assert done.returncode == 0, done.stdout + done.stderr
    rows = {
        name: [json.loads(line) for line in (tmp_path / f"{name}.jsonl").read_text().splitlines()]
        for name in ("right", "speed", "study")
    }
    assert {name: len(each) for name, each in rows.items()} == {"right": 41, "speed": 20, "study": 2}
    assert {row["verdict"] for each in rows.values() for row in each} == {"ok"}
    packed = tmp_path / "study-0002-small.tar.xz"
    with tarfile.open(packed) as archive:
        names = archive.getnames()
    assert "study.json" in names
    assert not [name for name in names if name.endswith(("lock", "lease"))]
    before = rows["study"][-1]["figures"]["done"]
    state = packed.rename(tmp_path / "state.tar.xz")
    done = benchmark("study", *common, "--work", tmp_path / "second", "--state", state)
    assert done.returncode == 0, done.stdout + done.stderr
    first, last = (json.loads(line)["figures"] for line in (tmp_path / "study.jsonl").read_text().splitlines())
    assert first["done"] == before
    assert first["from"] == str(state)
    assert last["done"] >= before
    held = {path.parent.name: path.read_bytes() for path in (tmp_path / "first").glob("trials/*/result.json")}
    assert (
        held.items()
        <= {path.parent.name: path.read_bytes() for path in (tmp_path / "second").glob("trials/*/result.json")}.items()
    )
