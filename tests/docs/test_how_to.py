"""Every command of a how-to is typed as it stands there, or stands below with the reason why not."""

import runpy
import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import TINY_STUDY
from tests.docs import places
from tests.docs.commands import ROOT, commands_of, type_in

HOW_TO = ROOT / "docs/how-to"

CUDA = "wants a GPU"
INSTALLS = "installs: tests/cli/test_without_torch.py builds and installs a wheel"
RANKS = "tests/study/test_torchrun.py types the like"
RACES = "takes hours: tests/cli/test_race.py runs the shortest there is"
NOT_HERE = {
    "levelfield run study.toml --device cuda --workers 8": CUDA,
    "levelfield run study.toml --workers 8 --device cuda --for 9m; echo $?": CUDA,
    "levelfield plan study.toml --workers 8 --device cuda": CUDA,
    "python -m benchmarks.gpu right speed --out measured": CUDA,
    "python -m benchmarks.gpu study --out measured --minutes 6": CUDA,
    "python -m benchmarks.gpu --device cpu --toy": "tests/benchmarks/test_gpu.py runs it",
    "#!/bin/bash\n#SBATCH --time=01:00:00 --gres=gpu:1\n"
    "levelfield run study.toml --workers 8 --device cuda --for 55m\n"
    '[ $? -eq 75 ] && sbatch "$0"': "wants a cluster",
    'levelfield plan study.toml --cluster "64x h100" --mfu 0.3': "tests/study/test_cluster.py asks for it",
    "levelfield trial run runs/tiny/trials/NAME --devices 2 --device cpu": RANKS,
    "torchrun --nproc-per-node 8 --max-restarts 3 -m levelfield trial run runs/STUDY/trials/NAME": RANKS,
    "torchrun --nnodes 2 --nproc-per-node 8 --rdzv-backend c10d --rdzv-endpoint HOST:29500 "
    "-m levelfield trial run runs/STUDY/trials/NAME": "wants two machines",
    "levelfield race photos/ --for 2h": RACES,
    "levelfield race photos/ --for 1h": RACES,
    "levelfield race photos/ --for 2h --weights ours.safetensors --weights timm:resnet50=theirs.pth": RACES,
    "levelfield train runs/race-photos --budget 1e17": "takes days: tests/cli/test_train.py trains for less",
    "python -m benchmarks.planted_races": "takes hours; benchmarks/results holds them",
    "python -m benchmarks.probe_screen": "tests/benchmarks/test_probe_screen.py runs it",
    "python -m benchmarks.planted_few": "takes hours; benchmarks/results holds them",
    "pytest -m slow tests/study/test_pieces.py": "is a part of this tier",
    "pip install 'levelfield[timm]'": INSTALLS,
    "pip install 'levelfield[clip]'": INSTALLS,
    "pip install 'levelfield[onnx]'": INSTALLS,
    "pip install 'levelfield[ray]'": INSTALLS,
    "pip install 'levelfield[robot]'": INSTALLS,
    "pip install 'levelfield[slurm]'": INSTALLS,
}

TABLES: dict[str, Callable[[Path], None]] = {
    "next-trials.md": places.for_next_trials,
    "others-tables.md": places.for_others_tables,
    "own-pairs.md": places.for_own_pairs,
}
NETWORKS: dict[str, Callable[[Path], None]] = {
    "augment.md": places.for_augmenting,
    "demonstrations.md": places.for_demonstrations,
    "finetune.md": places.for_finetuning,
    "own-task.md": places.for_a_task_of_ones_own,
    "segmentation.md": places.for_segmentation,
    "train.md": places.for_training,
    "timm-networks.md": places.for_timms_networks,
    "use-a-network.md": places.for_use,
    "weights.md": places.for_weights,
}
ELSEWHERE = {
    "own-data.md": "tests/docs/test_commands.py",
    "limited-time.md": "below",
    "many-gpus.md": "tests/study/test_torchrun.py",
    "ray.md": "tests/study/test_ray.py",
    "slurm.md": "tests/study/test_slurm.py",
    "watch.md": "tests/cli/test_watch.py",
}


def to_type(page: str) -> list[str]:
    return [command for command in commands_of(f"docs/how-to/{page}") if command not in NOT_HERE]


def test_every_how_to_that_has_commands_is_followed_and_none_is_excused_that_no_page_has():
    followed = {*TABLES, *NETWORKS, *ELSEWHERE}
    assert {page.name for page in HOW_TO.glob("*.md") if to_type(page.name)} == followed
    written = {command for page in HOW_TO.glob("*.md") for command in commands_of(f"docs/how-to/{page.name}")}
    assert set(NOT_HERE) <= written
    assert len(written) > 40


@pytest.mark.parametrize(
    "page", ["others-tables.md", "own-pairs.md", pytest.param("next-trials.md", marks=pytest.mark.slow)]
)
def test_the_commands_of_a_how_to_on_tables_run_as_they_stand_there(page, tmp_path, monkeypatch, invoke):
    """In this process: a start of Python each would take longer than they do."""
    TABLES[page](tmp_path)
    monkeypatch.chdir(tmp_path)
    for command in to_type(page):
        program, *arguments = shlex.split(command)
        if program == "levelfield":
            code, out, err = invoke(*arguments)
            assert (code, bool(out)) == (0, True), f"{command}\n{err}"
        else:
            assert (program, arguments[0]) == ("python", "-m")
            monkeypatch.setattr(sys, "argv", arguments[1:])
            monkeypatch.delitem(sys.modules, arguments[1], raising=False)  # another test may have imported it
            runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)


@pytest.mark.slow
@pytest.mark.parametrize("page", NETWORKS)
def test_the_commands_of_a_how_to_run_as_they_stand_there(page, tmp_path):
    NETWORKS[page](tmp_path)
    for command in to_type(page):
        finetuned = tmp_path / "runs/finetune/NAME"
        if "runs/finetune/NAME" in command and not finetuned.exists():
            finetuned.symlink_to(next(finetuned.parent.iterdir()).name)
        if "net.safetensors" in command and not (tmp_path / "net.safetensors").exists():
            made = type_in("levelfield convert runs/STUDY/trials/NAME net.safetensors", tmp_path)
            assert made.returncode == 0, made.stderr
        done = type_in(command, tmp_path)
        assert done.returncode == 0, f"{command}\n{done.stderr}"


@pytest.mark.slow
def test_the_commands_for_limited_time_run_as_they_stand_there(undisturbed, tmp_path):
    """In a study that lacks one trial, and on one that is done."""
    (tmp_path / "study.toml").write_text(TINY_STUDY)
    shutil.copytree(undisturbed, tmp_path / "DIR")
    shutil.copytree(undisturbed, tmp_path / "runs/tiny")
    lost = sorted((tmp_path / "runs/tiny/trials").iterdir())[-1]
    shutil.rmtree(lost)
    until, verify = to_type("limited-time.md")
    done = type_in(until, tmp_path)
    assert (done.returncode, "report: " in done.stdout) == (0, True), done.stderr
    assert (lost / "result.json").exists()
    done = type_in(verify, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
