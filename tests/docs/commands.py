"""The commands that a page tells its reader to type, and typing them."""

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from levelfield.cli import main

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_CALL = re.compile(r"\b(levelfield [a-z]|python -m |pip install |pytest )")
_CALL_IN_A_SENTENCE = re.compile(r"(levelfield [a-z-]+ \S|python -m |pip install |pytest )")
"""With what it is called on: ``levelfield fit`` alone is a name."""

_FOR_A_SHELL = re.compile(r"[;|<>&$*?\[{~`]")


def commands_of(page: str) -> list[str]:
    """The lines of a page's blocks that call a program, without their remarks, and what its sentences call.

    A block that is a script is one command.
    """
    text = (ROOT / page).read_text()
    found: list[str] = []
    for language, block in _BLOCK.findall(text):
        if language not in ("", "sh"):
            continue
        lines = [block.rstrip("\n")] if block.startswith("#!") else block.replace("\\\n", " ").splitlines()
        found += [
            line if line.startswith("#!") else re.sub(r"\s+#.*$", "", line) for line in lines if _CALL.search(line)
        ]
    sentences = re.findall(r"`([^`]+)`", _BLOCK.sub("", text))
    return found + [call for call in (" ".join(each.split()) for each in sentences) if _CALL_IN_A_SENTENCE.match(call)]


def blocks(page: str, language: str) -> list[str]:
    """What stands in the blocks of a language."""
    return [block for name, block in _BLOCK.findall((ROOT / page).read_text()) if name == language]


def type_in(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command in a shell that knows this Python's ``levelfield`` and ``python``, standing in ``folder``.

    Where a shell would but start ``levelfield``, it runs here: a start loads torch, for seconds of a core.
    """
    if command.startswith("levelfield ") and not _FOR_A_SHELL.search(command):
        return _typed_here(shlex.split(command), folder)
    python = shlex.quote(sys.executable)
    known = f'levelfield() {{ {python} -m levelfield "$@"; }}\npython() {{ {python} "$@"; }}\n'
    environment = {**os.environ, "OMP_WAIT_POLICY": "passive"}
    return subprocess.run(
        ["bash", "-c", known + command],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        env=environment,
    )


def _typed_here(words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    said, complained, code = io.StringIO(), io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("default")
        patch.chdir(folder)
        patch.setattr(sys, "argv", words)
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(complained):
            try:
                main()
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else int(end.code is not None)
    return subprocess.CompletedProcess(words, code, said.getvalue(), complained.getvalue())
