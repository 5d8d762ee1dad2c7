"""A whole study with transfer, run by real workers: cut or added later, it gives the same bytes."""

import csv
import os
import shutil
import signal
import subprocess
import time

import pytest

from levelfield.study.outcome.export import export_study
from levelfield.study.outcome.outcome import read_outcome
from levelfield.study.outcome.transfer_table import transfer_rows
from tests.conftest import TINY_STUDY, lasting_files, levelfield, run
from tests.study.test_kill import children_of

pytestmark = pytest.mark.slow

TRANSFER = """
[[transfer]]
name = "digits"
probes = ["linear", "knn"]
share = 0.125
spends = [0.5, 1.0]
off_frontier = 1
min_steps = 10
data = { source = "digits", resolution = 16, select_examples = 300, report_examples = 400 }

[[transfer.families]]
name = "nfnet"
finetune = { recipe = "short-sam", base_lr = { low = 0.4, start = 0.4, high = 0.4 } }
scratch = { recipe = "nfnet-short", base_lr = { low = 3.2, start = 3.2, high = 3.2 }, lr_batch_exponent = 1.0 }

[[transfer.families]]
name = "vit"
finetune = { recipe = "short-sgd", base_lr = { low = 0.4, start = 0.4, high = 0.4 } }
scratch = { recipe = "vit-short", base_lr = { low = 0.064, start = 0.064, high = 0.064 } }
"""


@pytest.fixture
def study_file(tmp_path):
    path = tmp_path / "tiny.toml"
    path.write_text(TINY_STUDY + TRANSFER)
    return path


@pytest.fixture(scope="module")
def transferred(tmp_path_factory):
    folder = tmp_path_factory.mktemp("transferred")
    (folder / "tiny.toml").write_text(TINY_STUDY + TRANSFER)
    done = run("run", folder / "tiny.toml", "--dir", folder / "study", "--workers", 2, timeout=3600)
    assert done.returncode == 0, done.stderr
    assert "On digits, at equal training FLOPs in all" in done.stdout
    return folder / "study"


@pytest.mark.acceptance
def test_a_study_with_transfer_cut_by_kill_9_gives_the_same_bytes(transferred, study_file, tmp_path):
    directory = tmp_path / "study"
    command = levelfield("run", study_file, "--dir", directory, "--workers", 2, "--checkpoint-every", 0.2)
    for moment in range(3):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            time.sleep(25 + 10 * moment)
            workers = children_of(process.pid)
            if workers:
                os.kill(workers[0], signal.SIGKILL)
        finally:
            process.kill()
            process.wait()
    done = run("run", study_file, "--dir", directory, "--workers", 1, timeout=3600)
    assert done.returncode == 0, done.stderr
    assert lasting_files(directory) == lasting_files(transferred)
    again = run("run", study_file, "--dir", directory, "--workers", 2)
    assert "0 trials trained" in again.stdout


def test_transfer_added_to_a_finished_study_trains_for_the_weights_again_and_agrees(
    undisturbed, transferred, study_file, tmp_path
):
    """One family's transfers: the other's are there, with what they start from."""
    directory = tmp_path / "study"
    shutil.copytree(undisturbed, directory)
    for path in transferred.glob("*/nfnet-*"):
        shutil.copytree(path, directory / path.relative_to(transferred), dirs_exist_ok=True)
    assert not list(directory.glob("trials/vit-*/weights.safetensors"))
    done = run("run", study_file, "--dir", directory, "--workers", 2, timeout=3600)
    assert done.returncode == 0, done.stderr
    assert transfer_rows(read_outcome(directory))
    theirs, ours = (
        {row.run: row.values["error"] for row in transfer_rows(read_outcome(p))} for p in (transferred, directory)
    )
    assert theirs == ours
    again = list(directory.glob("trials/vit-*/weights.safetensors"))
    assert again
    for path in again:
        assert path.read_bytes() == (transferred / path.relative_to(directory)).read_bytes()


def test_a_finished_study_exports_its_transfers_and_tells_what_they_cost(transferred, tmp_path):
    outcome = read_outcome(transferred)
    assert outcome.complete
    assert outcome.transfer_ledger.train_flops > 0
    names = [path.name for path in export_study(outcome, tmp_path)]
    assert names == ["trials.csv", "columns.csv", "transfers.csv", "transfer_columns.csv"]
    lines = (tmp_path / "transfers.csv").read_text().splitlines()
    assert len(lines) == 1 + len(transfer_rows(outcome))
    header, meanings = lines[0].split(","), (tmp_path / "transfer_columns.csv").read_text().splitlines()[1:]
    assert [meaning.split(",")[0] for meaning in meanings] == header
    table = list(csv.DictReader(lines))
    assert all(0 <= float(row["error"]) <= 1 for row in table)
    assert {row["arm"]: row["loss"] == "" for row in table}["knn"]
    assert all(float(row["loss"]) > 0 for row in table if row["arm"] in ("fine-tuned", "from scratch"))
