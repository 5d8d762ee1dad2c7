"""What reads tables works without the extra ``train``: those who only fit laws need neither torch nor its kind."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

OTHERS = Path(__file__).parents[2] / "examples" / "others.csv"
COLUMNS = ("--compute", "flops", "--loss", "val_loss", "--family", "arch")
SIZED = ("--params", "params", "--examples", "6ND", "--rate", "lr", "--role", "role", "--seed", "seed")

ASKED = ("--target", "1e21", "--spend", "1e20", "--want", "verdict")


@pytest.fixture
def blocked(tmp_path):
    """An environment in which nothing of the extra can be imported."""
    for name in ("torch", "timm", "safetensors", "torchvision", "PIL", "sklearn"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"raise ModuleNotFoundError('blocked', name='{name}')\n")
    paths = [str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def python(environment, *arguments):
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)


def test_the_block_holds(blocked):
    assert "ModuleNotFoundError: blocked" in python(blocked, "-c", "import torch").stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("fit", OTHERS, *COLUMNS, *SIZED), "The optimum of a budget"),
        pytest.param(("fit", OTHERS, *COLUMNS, "--json"), '"laws"', marks=pytest.mark.slow),
        pytest.param(("compare", OTHERS, *COLUMNS), "training FLOPs", marks=pytest.mark.slow),
        pytest.param(("next", OTHERS, *COLUMNS, *ASKED), "Next trials", marks=pytest.mark.slow),
        (("reference",), "ViT"),
        (("count", "nfnet:F0"), "parameters"),
        (("families",), "nfnet"),
    ],
)
def test_tables_are_fitted_compared_and_planned_from_without_torch(arguments, said, blocked):
    done = python(blocked, "-m", "levelfield", *arguments)
    assert done.returncode == 0, done.stderr
    assert said in done.stdout


@pytest.mark.parametrize(
    ("arguments", "missing"),
    [
        (("run", OTHERS.with_name("cifar10.toml")), "PIL"),
        (("classify", "weights.safetensors", "picture.png"), "torch"),
        (("convert", "weights.safetensors", "here.safetensors"), "torch"),
    ],
)
def test_what_needs_more_says_in_one_line_what_to_install(arguments, missing, blocked, tmp_path):
    done = python(blocked, "-m", "levelfield", *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith(f"levelfield: {missing} is not installed here")
    assert done.stderr.endswith("pip install 'levelfield[train]'\n")
    assert done.stderr.count("\n") == 1
