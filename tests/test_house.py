"""The house: imports point down, no file stands in a circle, and no class is called like another."""

import ast
import graphlib
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "src/levelfield").rglob("*.py"))


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT / "src").with_suffix("").parts).removesuffix(".__init__")


TREES = {module_of(path): ast.parse(path.read_text(encoding="utf-8")) for path in FILES}


def imports_of(tree: ast.Module) -> set[str]:
    """Every module of ours that a file imports, those under TYPE_CHECKING and inside functions counted."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found & TREES.keys()


def test_no_file_stands_in_a_circle_of_imports():
    packages = {module_of(path) for path in FILES if path.name == "__init__.py"}
    graph = {module: imports_of(tree) - {module} for module, tree in TREES.items()}
    assert len(graph) > 250
    assert graph["levelfield.cli.run"], "what functions import is counted"
    for module in packages:
        graph[module] = {each for each in graph[module] if not each.startswith(f"{module}.")}
    list(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError, which names the circle


def test_no_public_class_is_called_like_another():
    homes = defaultdict(list)
    for module, tree in TREES.items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].append(module)
    assert len(homes) > 200
    assert {name: where for name, where in homes.items() if len(where) > 1} == {}


OF_EACH = {"EXAMPLES", "T", "FAMILY", "GRAMMAR", "APPROXIMATE", "OPTIONS", "LADDER_GRAMMAR", "VARIANTS"}
"""What every verb, codec or family calls alike on purpose: families do not know one another."""


def test_no_public_constant_is_called_like_another():
    homes = defaultdict(list)
    for module, tree in TREES.items():
        for node in tree.body:
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            for name in (target.id for target in targets if isinstance(target, ast.Name)):
                if name.isupper() and not name.startswith("_"):
                    homes[name].append(module)
    assert len(homes) > 200
    assert {name: where for name, where in homes.items() if len(where) > 1 and name not in OF_EACH} == {}


@pytest.mark.parametrize(
    ("entered", "from_below"),
    [
        ("levelfield.scaling.verdicts.compare", "scaling/laws/base.py"),
        ("levelfield.study.plan.plan", "study/facts.py"),
        ("levelfield.study.run", "study/execute/trial.py"),
        ("levelfield.report.page.page", "report/words/numbers.py"),
        ("levelfield.study.planned", "train/step.py"),
    ],
)
def test_a_room_entered_from_below_breaks_a_contract(entered, from_below, tmp_path):
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    lint = Path(sys.executable).parent / "lint-imports"
    command = [str(lint), "--no-cache"]
    environment = {"PYTHONPATH": str(tmp_path / "src"), "PATH": "/usr/bin:/bin", "NO_COLOR": "1"}

    def linted() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False
        )

    below = tmp_path / "src/levelfield" / from_below
    text = below.read_text(encoding="utf-8")
    guarded = f"\nif TYPE_CHECKING:\n    import {entered}\n"
    below.write_text(f"{text}\nfrom typing import TYPE_CHECKING\n{guarded}", encoding="utf-8")
    broken = linted()
    assert broken.returncode == 1, broken.stdout
    assert "BROKEN" in broken.stdout
    assert entered in broken.stdout
