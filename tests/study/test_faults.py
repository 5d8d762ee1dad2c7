"""Under fire: what may go wrong, the one message it gives, and that nothing finished is lost.

Real runs of the command line; docs/explanation/faults.md counts them.
"""

import contextlib
import dataclasses
import os
import random
import resource
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from levelfield.records.errors import DataError, StoreError
from levelfield.records.sealed import read_record, write_record
from levelfield.records.store import StudyDirectory
from levelfield.records.trial import TrialResult, TrialSpec
from levelfield.study.run import run_study
from levelfield.study.spec_file import load_study, relocated
from tests.conftest import TINY_STUDY, lasting_files, levelfield, one_complaint, run, without
from tests.narrowed import of_kind
from tests.study.pictures import FOLDER_STUDY, write_folder

pytestmark = pytest.mark.slow


@pytest.fixture
def finished(undisturbed, tmp_path):
    """A copy of the finished study to spoil."""
    shutil.copytree(undisturbed, tmp_path / "study")
    return tmp_path / "study"


def forget(directory: Path, count: int) -> list[str]:
    """Undo ``count`` trials, so that a run has something to do."""
    trials = sorted(path.parent for path in directory.glob("trials/*/result.json"))[:count]
    for trial in trials:
        shutil.rmtree(trial)
    return [trial.name for trial in trials]


@contextlib.contextmanager
def own_disk(path: Path):
    """A file system of its own for ``path``; yields False where mounting is not allowed."""
    path.mkdir(exist_ok=True)
    size = "size=64m"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(path)], capture_output=True, check=False)
    try:
        yield mounted.returncode == 0
    finally:
        if mounted.returncode == 0:
            subprocess.run(["umount", str(path)], check=True)


def no_room_for_a_checkpoint() -> None:
    """No file of this process may grow above 20 kB."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))


def resize(disk: Path, *, free: int) -> None:
    """Leave ``free`` bytes of a file system of its own."""
    now = os.statvfs(disk)
    size = (now.f_blocks - now.f_bfree) * now.f_frsize + free
    subprocess.run(["mount", "-o", f"remount,size={size}", str(disk)], check=True)


def test_a_full_disk_stops_the_run_with_one_message_and_keeps_what_is_finished(undisturbed, tiny_study, tmp_path):
    whole = lasting_files(undisturbed)
    with own_disk(tmp_path / "disk") as own:
        directory = without("vit-*", undisturbed, tmp_path / "disk" / "study")
        begun = len(list(directory.glob("trials/*")))
        if own:
            resize(tmp_path / "disk", free=200_000)
        limit = None if own else no_room_for_a_checkpoint
        command = levelfield("run", tiny_study, "--dir", directory, "--workers", 2, "--checkpoint-every", 0.2)
        full = subprocess.run(command, capture_output=True, text=True, timeout=300, preexec_fn=limit, check=False)
        message = one_complaint(full, 1)
        assert "cannot write" in message
        assert "free space" in message
        assert len(list(directory.glob("trials/*"))) > begun
        kept = {name: content for name, content in lasting_files(directory).items() if name.endswith("result.json")}
        assert all(whole[name] == content for name, content in kept.items())
        if own:
            resize(tmp_path / "disk", free=64 << 20)
        done = run("run", tiny_study, "--dir", directory, "--workers", 2)
        assert done.returncode == 0, done.stderr
        assert lasting_files(directory) == whole


def test_a_read_only_directory_is_told_and_its_results_can_still_be_read(finished, tiny_study):
    forget(finished, 1)
    read_only = subprocess.run(["mount", "--bind", str(finished), str(finished)], capture_output=True, check=False)
    if read_only.returncode == 0:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(finished)], check=True)
    try:
        if read_only.returncode == 0 or os.geteuid() != 0:
            for path in (finished, *finished.rglob("*")) if read_only.returncode else ():
                path.chmod(path.stat().st_mode & ~0o222)
            message = one_complaint(run("run", tiny_study, "--dir", finished), 1)
            assert "cannot write" in message
            assert run("compare", finished).returncode == 0
    finally:
        if read_only.returncode == 0:
            subprocess.run(["umount", str(finished)], check=True)


def test_a_torn_checkpoint_costs_its_own_work_alone(finished, tiny_study):
    (name,) = forget(finished, 1)
    process = subprocess.Popen(
        levelfield("run", tiny_study, "--dir", finished, "--checkpoint-every", 0.1),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    folder = finished / "trials" / name / "attempts" / "0001" / "checkpoints"
    deadline = time.monotonic() + 120
    while len(list(folder.glob("*.ckpt"))) < 2 and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.01)
    process.kill()
    process.wait()
    newest = max(folder.glob("*.ckpt"))
    newest.write_bytes(newest.read_bytes()[:-100])
    done = run("run", tiny_study, "--dir", finished)
    assert done.returncode == 0, done.stderr
    assert "is torn" in done.stderr
    assert "falling back to the one before" in done.stderr


def test_results_after_a_torn_checkpoint_are_the_undisturbed_ones(finished, undisturbed, tiny_study):
    (name,) = forget(finished, 1)
    folder = finished / "trials" / name / "attempts" / "0001" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / "step_0000000100.ckpt").write_bytes(b"half a checkpo")
    done = run("run", tiny_study, "--dir", finished)
    assert done.returncode == 0, done.stderr
    assert lasting_files(finished) == lasting_files(undisturbed)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("result.json", b"{torn", "is not JSON"),
        ("result.json", b'{"loss": 1}', "bears no seal"),
    ],
)
def test_a_wrong_file_is_named_by_who_reads_and_its_trial_is_trained_again_by_a_run(
    finished, undisturbed, tiny_study, invoke, name, content, message
):
    path = sorted(finished.glob(f"trials/*/{name}"))[0]
    path.write_bytes(content)
    code, _, said = invoke("report", finished)
    assert (code, message in said, str(path) in said, said.count("levelfield: ")) == (2, True, True, 1), said
    done = run("run", tiny_study, "--dir", finished)
    assert done.returncode == 0, done.stderr
    assert f"moved to {path.parent.name}.damaged-1" in done.stderr
    aside = path.parent.with_name(f"{path.parent.name}.damaged-1")
    assert (aside / name).read_bytes() == content
    shutil.rmtree(aside)
    assert lasting_files(finished) == lasting_files(undisturbed)


def test_a_directory_with_the_spec_of_another_trial_is_never_that_trial(finished, undisturbed, tiny_study, invoke):
    (name,) = forget(finished, 1)
    other = sorted(finished.glob("trials/*/spec.json"))[0]
    (finished / "trials" / name).mkdir()
    shutil.copy(other, finished / "trials" / name / "spec.json")
    code, _, said = invoke("report", finished)
    assert (code, "holds trial" in said) == (2, True), said
    done = run("run", tiny_study, "--dir", finished)
    assert done.returncode == 0, done.stderr
    assert "spec.json.damaged-1, written again" in done.stderr
    (finished / "trials" / name / "spec.json.damaged-1").unlink()
    assert lasting_files(finished) == lasting_files(undisturbed)


def test_a_study_that_has_grown_keeps_every_trial_and_one_that_takes_back_is_refused(finished, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in finished.glob("trials/*/result.json")}
    narrow, wide = (
        TINY_STUDY.replace("low = 0.032", f"low = {vit}").replace("low = 3.2", f"low = {nfnet}")
        for vit, nfnet in ((0.064, 6.4), (0.016, 1.6))
    )
    (tmp_path / "edited.toml").write_text(narrow)
    message = one_complaint(run("run", tmp_path / "edited.toml", "--dir", finished), 2)
    assert "families.nfnet.base_lr.low was 3.2, is now 6.4" in message
    assert "run in another directory" in message
    (tmp_path / "edited.toml").write_text(wide)
    done = run("run", tmp_path / "edited.toml", "--dir", finished)
    assert done.returncode == 0, done.stderr
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert "families.nfnet.base_lr.low was 3.2, is now 1.6, after" in (finished / "sealed.json").read_text()


def test_results_of_another_version_are_kept_and_told(finished, tiny_study):
    paths = sorted(finished.glob("trials/*/result.json"))
    result = read_record(TrialResult, paths[0])
    write_record(paths[0], dataclasses.replace(result, levelfield_version="0.0.7"))
    done = run("run", tiny_study, "--dir", finished)
    assert done.returncode == 0, done.stderr
    assert "1 of" in done.stderr
    assert "made by levelfield 0.0.7" in done.stderr


def test_moved_data_is_found_by_its_new_path_and_other_data_is_refused(tmp_path):
    write_folder(tmp_path / "images", seed=0)
    (tmp_path / "pictures.toml").write_text(FOLDER_STUDY)
    spec = load_study(tmp_path / "pictures.toml")
    run_study(spec, tmp_path / "study", device="cpu")
    results = StudyDirectory(tmp_path / "study").results()
    (tmp_path / "images").rename(tmp_path / "moved")
    with pytest.raises(DataError, match="images"):
        run_study(spec, tmp_path / "study", device="cpu")
    run_study(relocated(spec, tmp_path / "moved", None), tmp_path / "study", device="cpu")
    assert StudyDirectory(tmp_path / "study").results() == results
    write_folder(tmp_path / "others", seed=1)
    with pytest.raises(StoreError, match="its data was changed: it was run on"):
        run_study(relocated(spec, tmp_path / "others", None), tmp_path / "study", device="cpu")
    assert StudyDirectory(tmp_path / "study").results() == results


def test_a_trial_that_lacks_memory_fails_alone_and_says_what_to_do(finished, tiny_study):
    (name,) = forget(finished, 1)
    hungry = TINY_STUDY.replace("batch_coefficient = 0.05", "batch_coefficient = 0.05\nsmallest_batch = 8")
    tiny_study.write_text(hungry)
    limit = 600 << 20  # enough to start Python, not to import torch and train

    def starve():
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))

    done = subprocess.run(
        levelfield("run", tiny_study, "--dir", finished),
        capture_output=True, text=True, timeout=300, preexec_fn=starve, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "--retry failed" in done.stderr
    again = run("run", tiny_study, "--dir", finished, "--retry", "failed")
    assert again.returncode == 0, again.stderr
    assert (finished / "trials" / name / "result.json").exists()


def test_a_clock_that_jumps_backwards_changes_nothing(finished, undisturbed, tiny_study, monkeypatch):
    forget(finished, 1)
    clock = iter(range(10**9, 0, -3600))
    monkeypatch.setattr(time, "time", lambda: float(next(clock)))
    monkeypatch.setattr(time, "time_ns", lambda: next(clock) * 10**9)
    from levelfield.data.sources import open_source
    from levelfield.study.execute.trial import run_trial
    from levelfield.study.plan.plan import plan
    from levelfield.study.run import data_facts

    spec = load_study(tiny_study)
    source = open_source(spec.data)
    study = StudyDirectory(finished)
    import torch

    for trial in plan(spec, data_facts(source, spec.task), study.results()).pending(study.results()):
        wanted = of_kind(TrialSpec, trial.spec)
        run_trial(wanted, study.trial(wanted), source, device=torch.device("cpu"), checkpoint_seconds=0.05)
    monkeypatch.undo()
    assert lasting_files(finished) == lasting_files(undisturbed)


@pytest.mark.parametrize("moment", [0, *(pytest.param(each, marks=pytest.mark.acceptance) for each in range(1, 15))])
def test_results_survive_kill_9_of_everything_at_a_random_moment(moment, undisturbed, tiny_study, tmp_path):
    """Run and workers killed at once, wherever they are: importing, training, writing, between trials."""
    draw = random.Random(100 + moment)
    directory = tmp_path / "study"
    process = subprocess.Popen(
        levelfield("run", tiny_study, "--dir", directory, "--workers", 2, "--checkpoint-every", 0.2),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    time.sleep(draw.uniform(0.5, 25))
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    done = run("run", tiny_study, "--dir", directory, "--workers", 2)
    assert done.returncode == 0, done.stderr
    assert lasting_files(directory) == lasting_files(undisturbed)
