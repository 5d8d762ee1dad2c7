"""A real study of a quarter of a minute, and how to run it as a user does."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import HealthCheck, settings

from levelfield.cli import main

# Machines that run the suite are shared: how long a draw takes says nothing of the code.
settings.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared")


@pytest.fixture(scope="session", autouse=True)
def _digests_of_their_own(tmp_path_factory):
    """Digests of the pictures that tests make are kept in a place of theirs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LEVELFIELD_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


TINY_STUDY = """
name = "tiny"
question = "Does the plumbing hold?"

[data]
source = "digit-pairs"
resolution = 16
noise_contrast = 0.05
max_rotation_deg = 0.0
max_shift = 0.0
max_scale = 1.0
select_examples = 256
report_examples = 512

[ladder]
budgets = [1.36e8]
batch_coefficient = 0.05

[[families]]
name = "nfnet"
recipe = "nfnet-short"
sizes = ["nfnet:w4-d1-s4"]
base_lr = { low = 3.2, start = 6.4, high = 12.8 }
lr_batch_exponent = 1.0

[[families]]
name = "vit"
recipe = "vit-short"
sizes = ["vit:w8-d1-p8"]
base_lr = { low = 0.032, start = 0.064, high = 0.128 }
lr_batch_exponent = 0.5
"""

# Files that may differ between runs: what it cost, who ran it, how often it was started.
TIMED_FILES = {"timing.json", "status.json", "winner.json", "lock", "report.html"}


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory, worker_id) -> Path:
    """The directory of the tiny study, run to its end once for all who compare with it; to spoil it, copy it.

    What the run said is in ``said.txt`` beside it. pytest's workers train it once for all of them, and each has a copy.
    """
    root = tmp_path_factory.getbasetemp()
    trained = (root if worker_id == "master" else root.parent) / "undisturbed-by-anybody"
    with FileLock(trained.with_suffix(".lock")):
        if not (trained / "said.txt").exists():
            trained.mkdir(exist_ok=True)
            (trained / "tiny.toml").write_text(TINY_STUDY)
            done = run("run", trained / "tiny.toml", "--dir", trained / "study", "--workers", 2)
            assert done.returncode == 0, done.stderr
            (trained / "said.txt").write_text(done.stdout)
    folder = tmp_path_factory.mktemp("undisturbed")
    shutil.copytree(trained, folder, dirs_exist_ok=True)
    return folder / "study"


@pytest.fixture
def tiny_study(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(TINY_STUDY)
    return path


@pytest.fixture
def invoke(monkeypatch, capsys):
    """Run a command line in this process; exit code and what it wrote."""

    def invoked(*arguments):
        monkeypatch.setattr(sys, "argv", ["levelfield", *map(str, arguments)])
        capsys.readouterr()  # what the test itself has said by now
        handlers = logging.root.handlers[:]
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = stop.code or 0
        finally:  # -v and -q leave a handler that writes to what is captured here alone
            logging.root.handlers[:] = handlers
        return code, *capsys.readouterr()

    return invoked


def levelfield(*arguments: object) -> list[str]:
    """The command line that a user types."""
    return [sys.executable, "-m", "levelfield", *map(str, arguments)]


def run(*arguments: object, timeout: float = 300, **more: str) -> subprocess.CompletedProcess[str]:
    """Run it to its end, with ``more`` in its environment."""
    environment = {**os.environ, "OMP_WAIT_POLICY": "passive", **more}
    return subprocess.run(
        levelfield(*arguments), capture_output=True, text=True, timeout=timeout, env=environment, check=False
    )


def lasting_files(directory: Path) -> dict[str, bytes]:
    """Everything a study leaves behind but its timings and the page that shows them."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path.name not in TIMED_FILES and "figures" not in path.parts
    }


def without(trials: str, study: Path, copy: Path) -> Path:
    """``copy`` of a finished study that lacks its ``trials`` (a pattern of their names): a run has those to train."""
    shutil.copytree(study, copy)
    lost = list(copy.glob(f"trials/{trials}"))
    assert lost, trials
    for trial in lost:
        shutil.rmtree(trial)
    return copy


def one_complaint(done: subprocess.CompletedProcess[str], code: int) -> str:
    """The one message of a failed command: its last line, and no traceback before it."""
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("levelfield: ")]
    assert len(lines) == 1, done.stderr
    return lines[0]
