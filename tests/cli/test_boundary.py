"""How a command ends: every ending has its sentence and its code, and any output can be written to."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

from levelfield.cli.boundary import run_command
from levelfield.records.errors import LevelfieldError, RefusedError, UnfinishedError
from tests.conftest import levelfield


def ends(error: BaseException) -> int:
    def command() -> int:
        raise error

    return run_command(command)


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (RefusedError("too few budgets"), 2, "levelfield: too few budgets\n"),
        (UnfinishedError("the time is over"), 75, "levelfield: the time is over\n"),
        (LevelfieldError("it failed"), 1, "levelfield: it failed\n"),
        (KeyboardInterrupt(), 130, "levelfield: stopped\n"),
        (MemoryError(), 1, "levelfield: out of memory (MemoryError); use fewer workers, a smaller size"),
        (RuntimeError("can't allocate memory"), 1, "levelfield: out of memory (RuntimeError: can't allocate"),
        (PermissionError(13, "Permission denied", "x.csv"), 1, "levelfield: x.csv: Permission denied; check"),
        (OSError(5, "Input/output error"), 1, "levelfield: cannot write the output: Input/output error"),
        (OSError(24, "Too many open files"), 1, "levelfield: the system refused: Too many open files\n"),
        (RefusedError("name \x1b[2J of a file"), 2, "levelfield: name \\x1b[2J of a file\n"),
    ],
)  # fmt: skip
def test_what_is_raised_is_told_in_a_sentence_with_its_code(error, code, said, capfd):
    assert ends(error) == code
    shown = capfd.readouterr().err
    assert shown.startswith(said)
    assert shown.count("\n") == 1


@pytest.mark.parametrize("error", [KeyError("loss"), RecursionError("deep"), AssertionError(), ValueError("no")])
def test_a_bug_shows_as_one_with_what_to_report(error, capfd, monkeypatch):
    monkeypatch.setattr("sys.argv", ["levelfield", "fit", "runs.csv"])
    assert ends(error) == 70
    shown = capfd.readouterr().err
    assert "Traceback" in shown
    assert f"this is a bug in Levelfield ({type(error).__name__}" in shown
    for needed in ("`levelfield fit runs.csv`", "levelfield 0.", "python 3."):
        assert needed in shown.splitlines()[-1]


REFERENCE = levelfield("reference", "--points")


def shell(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {script}"],
        capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONUNBUFFERED": "", "L": " ".join(REFERENCE), **environment},
        timeout=120,
    )  # fmt: skip


@pytest.mark.slow
def test_a_reader_that_has_enough_ends_the_command_quietly():
    done = shell("$L | head -c 1")
    assert (done.returncode, done.stderr) == (141, "")
    assert shell("$L 2>&1 | head -c 0").returncode == 141


@pytest.mark.parametrize("verb", ["reference --points", "count nfnet:F0"])
def test_a_full_disk_under_the_output_is_told(verb):
    """While it is written, and where all of it waits to be written at the end."""
    done = shell("$L > /dev/full", L=" ".join(levelfield(*verb.split())))
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "cannot write the output: No space left on device" in done.stderr


@pytest.mark.slow
def test_closed_streams_are_told_or_not_needed():
    done = shell("$L >&-")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "standard output is closed" in done.stderr
    assert "bottom line" not in shell("$L 2>&-").stderr
    for closed in ("<&-", "2>&-", "<&- 2>&-"):
        done = shell(f"$L {closed}")
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_what_an_encoding_lacks_is_spelt_and_stays_readable(encoding):
    script = "import sys; from levelfield.cli.boundary import run_command; run_command(lambda: print(sys.argv[1]) or 0)"
    text = "2×10⁻³ to 10¹⁰ FLOPs, − 3 ± 1 – é \u202f中"
    done = subprocess.run(
        [sys.executable, "-c", script, text],
        capture_output=True, env={**os.environ, "PYTHONIOENCODING": encoding}, check=True,
    )  # fmt: skip
    spelt = r"2x10^-3 to 10^10 FLOPs, - 3 +- 1 - \xe9  \u4e2d"
    assert done.stdout.decode(encoding).rstrip("\n") == (text if encoding == "utf-8" else spelt)


def test_a_file_whose_name_is_no_text_is_named_all_the_same(tmp_path):
    name = os.fsencode(tmp_path) + b"/caf\xe9.csv"
    done = subprocess.run([*levelfield("fit"), name], capture_output=True, check=False)
    assert done.returncode == 2
    assert b"caf\\udce9.csv: no such file" in done.stderr


@pytest.mark.slow
def test_json_under_an_ascii_output_is_the_same_json():
    answers = [shell("$L --json", PYTHONIOENCODING=encoding).stdout for encoding in ("ascii", "utf-8")]
    import json

    assert answers[0].isascii()
    assert not answers[1].isascii()
    assert json.loads(answers[0]) == json.loads(answers[1])


@pytest.mark.parametrize(
    "environment",
    [
        {"COLUMNS": "1"}, {"COLUMNS": "0"}, {"COLUMNS": "-7"}, {"COLUMNS": "wide"}, {"COLUMNS": "9" * 30},
        {"TERM": "dumb"}, {"TERM": ""}, {"TERM": "nonsense"}, {"NO_COLOR": "1"}, {"LC_ALL": "C"}, {"LANG": "xx_YY"},
        {"PYTHONUTF8": "0", "LC_ALL": "C"},
    ],
)  # fmt: skip
def test_every_terminal_gets_the_answer(environment):
    """The process of a real terminal of no width, in surroundings that say something odd."""
    done, shown = in_terminal(levelfield("families"), environment)
    assert (done, "vit: " in shown) == (0, True), shown
    assert "Traceback" not in shown
    if {"NO_COLOR", "TERM"} & environment.keys() and environment.get("TERM") in (None, "dumb"):
        assert "\x1b" not in shown


def in_terminal(command: list[str], environment: dict[str, str]) -> tuple[int, str]:
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        command, stdin=follower, stdout=follower, stderr=follower, env={**os.environ, **environment}
    )
    os.close(follower)
    shown = b""
    try:
        while part := os.read(leader, 1 << 16):
            shown += part
    except OSError:  # how a terminal says that its last process has gone
        pass
    os.close(leader)
    return process.wait(), shown.decode()


@pytest.mark.parametrize("lacking", ["HOME", "PATH", "USER", "LANG"])
def test_no_variable_is_needed(lacking):
    environment = {name: value for name, value in os.environ.items() if name != lacking}
    done = subprocess.run(levelfield("families"), capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_directory_that_is_gone_is_told(tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    command = " ".join(levelfield("plan", "study.toml"))
    done = shell(f"cd {gone} && rmdir {gone} && {command}")
    assert done.returncode in (1, 2)
    assert "Traceback" not in done.stderr
