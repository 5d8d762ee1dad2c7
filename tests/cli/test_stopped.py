"""Ctrl-C and SIGTERM: what was trained is saved, nothing is left running, and the same command goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch

from levelfield.families import registry
from levelfield.weights.card import Card
from levelfield.weights.loaded import LoadedModel
from levelfield.weights.preprocessing import Preprocessing
from levelfield.weights.write import save_safetensors
from tests.conftest import lasting_files, levelfield, run, without
from tests.study.pictures import write_folder
from tests.study.test_kill import children_of, lines_in

pytestmark = pytest.mark.slow

SIGNALS = ((signal.SIGINT, 130), (signal.SIGTERM, 143))


def test_an_interrupted_run_saves_what_it_trained_and_goes_on_from_there(undisturbed, tiny_study, tmp_path):
    directory = without("vit-*", undisturbed, tmp_path / "study")
    command = levelfield("run", tiny_study, "--dir", directory, "--workers", 2, "--checkpoint-every", 3600)
    # Ctrl-C in a terminal reaches the workers as well; here the group stands for the terminal.
    cut = stopped_trials(command, directory, signal.SIGINT, 130, group=True)
    done = run("run", tiny_study, "--dir", directory, "--workers", 2)
    assert done.returncode == 0, done.stderr
    assert lasting_files(directory) == lasting_files(undisturbed)
    for trial in cut:
        assert json.loads((trial / "timing.json").read_text())["attempts"] == 2
        assert json.loads((trial / "timing.json").read_text())["lost_steps"] == 0


def test_a_terminated_run_saves_what_it_trained(tiny_study, tmp_path):
    command = levelfield("run", tiny_study, "--dir", tmp_path / "study", "--workers", 2, "--checkpoint-every", 3600)
    stopped_trials(command, tmp_path / "study", signal.SIGTERM, 143, group=False)


def stopped_trials(command, directory, signum, code, *, group) -> list[Path]:
    """The trials that a run has saved when it is stopped amid them."""
    stopped = stop(command, lambda: some_step(directory, 50), signum, group=group)
    assert stopped.returncode == code, stopped.stderr
    assert stopped.stderr.endswith("levelfield: stopped; the same command goes on where it was\n")
    assert "Traceback" not in stopped.stderr
    cut = [path.parents[2] for path in directory.glob("trials/*/attempts/*/checkpoints")]
    assert cut
    return cut


@pytest.mark.parametrize(("signum", "code"), SIGNALS)
def test_a_stopped_fine_tuning_goes_on_from_its_last_step(signum, code, tmp_path):
    command = finetuning(tmp_path, "--length", "4000 steps", "--checkpoint-every", 3600)
    stopped = stop(command, lambda: some_step(tmp_path, 400), signum)
    assert stopped.returncode == code, stopped.stderr
    assert "levelfield: stopped; the same command goes on where it was\n" in stopped.stderr
    assert len(list(tmp_path.glob("tuned/attempts/*/checkpoints/*.ckpt"))) == 1


@pytest.mark.parametrize(("signum", "code"), SIGNALS)
def test_a_stopped_verification_leaves_no_worker(signum, code, undisturbed, tmp_path):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    command = levelfield("verify", undisturbed, "--sample", 4)
    stopped = stop(command, lambda: some_step(scratch, 1), signum, TMPDIR=str(scratch))
    assert (stopped.returncode, "Traceback" in stopped.stderr) == (code, False), stopped.stderr
    assert stopped.stderr.endswith("levelfield: stopped\n")
    assert not list(scratch.glob("levelfield-*"))


def finetuning(folder: Path, *options: object) -> list[str]:
    """The command that fine-tunes a small random network on some pictures in ``folder``."""
    torch.manual_seed(0)
    fed = Preprocessing(resolution=8, mean=(0.5,) * 3, std=(0.2,) * 3)
    card = Card.of(
        "vit:w8-d1-p4", resolution=8, num_outputs=2, in_channels=3, preprocessing=fed, classes=("a", "b"), source="here"
    )
    model = registry.build("vit:w8-d1-p4", num_outputs=2, resolution=8)
    save_safetensors(LoadedModel(model=model, card=card), folder / "net.safetensors")
    write_folder(folder / "images", seed=0)
    data = ("--data", folder / "images", "--resolution", 8, "--select", 6, "--report", 6, "--batch", 8)
    return levelfield("finetune", folder / "net.safetensors", *data, "--dir", folder / "tuned", *options)


def stop(command, is_time, signum, *, group=False, **environment) -> subprocess.CompletedProcess[str]:
    """Start ``command``, send ``signum`` when it ``is_time``, and see it end with all that it started."""
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env={**os.environ, **environment},
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 120
        while not is_time() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        assert process.poll() is None, process.communicate()
        workers = children_of(process.pid)
        (os.killpg if group else os.kill)(process.pid, signum)
        out, errors = process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers), "workers outlive their run"
    return subprocess.CompletedProcess(command, process.returncode, out, errors)


def some_step(directory: Path, step: int) -> bool:
    """Whether some trial under ``directory`` is past ``step`` and not done."""
    return any(
        lines_in(metrics) > 0 and json.loads((metrics.read_text().splitlines() or ['{"step": 0}'])[-1])["step"] >= step
        for metrics in directory.rglob("attempts/*/metrics.jsonl")
    )
