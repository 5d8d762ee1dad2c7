"""Tables and sentences on a terminal: they fit, they lose nothing, and they break no word."""

import os
import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from levelfield.cli.terminal import paragraph, table_lines
from tests.conftest import levelfield

WORDS = st.lists(st.sampled_from(["a", "bc", "edge", "budget", "compute", "held-out-loss"]), max_size=12).map(" ".join)
COLUMNS = ("Family", "Budget", "Loss", "Chosen", "Reasons", "Remarks")


@given(st.lists(st.tuples(*[WORDS] * len(COLUMNS)), min_size=1, max_size=5), st.integers(60, 160))
def test_a_table_fits_the_width_and_loses_no_word(rows, width):
    rows = [(f"f{number}", *row[1:]) for number, row in enumerate(rows)]
    lines = table_lines(COLUMNS, rows, width)
    assert all(len(line) <= width for line in lines)
    shown = set(re.findall(r"[\w-]+", " ".join(lines)))
    for row in rows:
        assert set(" ".join(row).split()) <= shown


def test_a_table_that_fits_stands_as_it_is():
    lines = table_lines(("Family", "Loss"), [("NFNet", "0.5"), ("ViT", "0.25")], 80, numeric=(False, True))
    assert lines == ["Family  Loss", "────────────", "NFNet    0.5", "ViT     0.25"]


def test_what_is_the_same_in_every_row_is_said_once_and_long_words_go_below():
    long = "the grid ends where the best lies " * 2
    rows = [("NFNet", "better", "0.5", long), ("ViT", "better", "0.25", "–")]
    lines = table_lines(("Family", "Verdict", "Loss", "Reasons"), rows, 40)
    assert lines[0] == "verdict: better"
    assert lines[1].split() == ["Family", "Loss"]
    assert lines[4].startswith("    reasons: the grid")
    assert lines[-1] == "ViT     0.25"


def test_a_paragraph_breaks_between_words_and_keeps_its_indent():
    text = "  A/A control, NFNet: cannot tell (passed) +1.4\u202f% of loss"
    lines = paragraph(text, 34).split("\n")
    assert lines == ["  A/A control, NFNet: cannot tell", "    (passed) +1.4\u202f% of loss"]


def on_a_terminal(*arguments, columns=80, **environment):
    """What a command writes to a pseudo-terminal of ``columns``."""
    import fcntl
    import pty
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    plain = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR", "TERM")}
    process = subprocess.Popen(
        levelfield(*arguments),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**plain, "TERM": "xterm", **environment},
    )
    os.close(theirs)
    written = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # the other side has closed
            break
        if not part:
            break
        written += part
    os.close(ours)
    assert process.wait(60) == 0, written.decode()
    return written.decode().replace("\r\n", "\n")


@pytest.mark.skipif(sys.platform == "win32", reason="a pseudo-terminal is a thing of POSIX")
def test_on_a_terminal_headings_are_bold_unless_no_colour_is_wanted():
    dressed = on_a_terminal("count", "nfnet:w8-d1", "--layers", columns=60)
    assert "\x1b[1mLayers\x1b[0m" in dressed
    bare = on_a_terminal("count", "nfnet:w8-d1", "--layers", columns=60, NO_COLOR="1")
    assert "\x1b" not in bare
    assert re.sub(r"\x1b\[[0-9;]*m", "", dressed) == bare
    assert max(map(len, bare.split("\n"))) <= 60


def test_in_a_pipe_a_table_is_tab_separated_and_bare():
    done = subprocess.run(levelfield("count", "nfnet:w8-d1", "--layers"), capture_output=True, text=True, check=True)
    assert "\x1b" not in done.stdout
    assert "# Layers\nlayer\tkind\tparameters\tforward MACs\n" in done.stdout
