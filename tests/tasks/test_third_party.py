"""A task of somebody's trains, resumes, is judged, gets a law and is shown, and nothing in src knows of it."""

import json
import signal
import subprocess
import time

import pytest

from levelfield.tasks.registry import task_named
from tests.conftest import lasting_files, levelfield, run

TASK = "tests.tasks.digit_value:DigitValue"
STUDY = f"""
name = "values"
question = "What is a digit worth?"
task = "{TASK}"

[data]
source = "digit-strings"
num_digits = 1
resolution = 16
noise_contrast = 0.05
label_noise = 0.0
max_rotation_deg = 0.0
max_shift = 0.0
max_scale = 1.0
select_examples = 256
report_examples = 512

[ladder]
budgets = [1.2e8, 1.6e8, 2.1e8, 2.8e8]
batch_coefficient = 0.05
largest_batch = 8

[[families]]
name = "vit"
recipe = "vit-short"
sizes = ["vit:w8-d1-p8"]
base_lr = {{ low = 0.064, start = 0.064, high = 0.064 }}
lr_batch_exponent = 0.5
"""


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("values")
    (folder / "values.toml").write_text(STUDY)
    return folder / "values.toml"


@pytest.fixture(scope="module")
def undisturbed(study):
    done = run("run", study, "--dir", study.parent / "study", "--workers", 2, timeout=1200)
    assert done.returncode == 0, done.stderr
    return study.parent / "study"


@pytest.mark.slow
def test_every_winner_has_both_measures_on_every_example(undisturbed):
    results = [json.loads(path.read_text()) for path in undisturbed.glob("trials/*/result.json")]
    judged = [result for result in results if "report" in result["held_out"]]
    assert len(judged) >= 12
    for result in judged:
        assert set(result["held_out"]["report"]["values"]) == {"squared error", "hits"}
        assert {"report_squared_error.npy", "report_hits.npy"} <= set(result["kept"])


@pytest.mark.slow
def test_it_learns_the_more_the_longer_it_trains_and_gets_a_law(undisturbed):
    done = run("fit", undisturbed, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["measure"]["name"] == "squared error"
    assert {law["family"] for law in found["laws"] if law["currency"] == "flops"} == {"vit"}, found["refusals"]
    results = [json.loads(path.read_text()) for path in undisturbed.glob("trials/*/result.json")]
    judged = {r["train_flops"]: r["held_out"]["report"]["values"] for r in results if "report" in r["held_out"]}
    errors = [judged[flops]["squared error"] for flops in sorted(judged)]
    assert errors[-1] < errors[0] < 0.85 * 8.25, "chance is 8.25"


@pytest.mark.slow
def test_the_report_shows_it_under_its_own_name(undisturbed):
    done = run("report", undisturbed)
    assert done.returncode == 0, done.stderr
    page = (undisturbed / "report.html").read_text()
    assert "Squared error" in page
    assert "held-out squared error" in page
    assert "Top-1" not in page


@pytest.mark.acceptance  # what study/test_kill.py asks of a task that ships, asked of somebody's
def test_a_killed_run_ends_with_the_same_bytes(study, undisturbed, tmp_path):
    command = levelfield("run", study, "--dir", tmp_path / "study", "--workers", 1, "--checkpoint-every", 0.1)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("study/trials/*/attempts/*/checkpoints/*.ckpt")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert list(tmp_path.glob("study/trials/*/attempts/*/checkpoints/*.ckpt")), "it was killed in the middle of a trial"
    done = run("run", study, "--dir", tmp_path / "study", "--workers", 2, timeout=1200)
    assert done.returncode == 0, done.stderr
    assert lasting_files(tmp_path / "study") == {
        name: content for name, content in lasting_files(undisturbed).items() if name != "report.html"
    }


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ("clasification", "there is no task 'clasification' (did you mean 'classification'?)"),
        ("no_such_module:Task", "No module named 'no_such_module'"),
        ("tests.tasks.digit_value:Value", "has no attribute 'Value'"),
        ("collections:OrderedDict", "is no task: it lacks fields"),
        ("not a name", "'package.module:Name'"),
    ],
)
def test_a_task_that_cannot_be_had_is_one_sentence(task, said, tmp_path, invoke):
    (tmp_path / "study.toml").write_text(STUDY.replace(TASK, task))
    code, _, error = invoke("plan", tmp_path / "study.toml")
    assert (code, said in error, error.count("levelfield: ")) == (2, True, 1), error


def test_a_lack_of_memory_is_not_taken_for_a_task_that_cannot_be_had(tmp_path, monkeypatch):
    (tmp_path / "large_task.py").write_text("raise MemoryError\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MemoryError):
        task_named("large_task:Large")
