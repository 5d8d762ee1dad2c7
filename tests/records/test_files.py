"""Regular files alone are opened, and are read up to a limit."""

import os
import socket
import tracemalloc
from pathlib import Path

import pytest

from levelfield.records import files
from levelfield.records.codec import parse_json
from levelfield.records.errors import DataError
from levelfield.records.files import FileRefusedError, open_regular, read_regular


def fifo(path: Path) -> None:
    os.mkfifo(path)


def bound(path: Path) -> None:
    socket.socket(socket.AF_UNIX).bind(str(path))


KINDS = {
    "a named pipe": fifo,
    "a socket": bound,
    "a directory": Path.mkdir,
    "a character device": lambda path: path.symlink_to("/dev/zero"),
    "a link to 'nowhere', where there is no file": lambda path: path.symlink_to("nowhere"),
    "a link to 'x', where there is no file": lambda path: path.symlink_to("x"),
}


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_regular_file_is_named_and_never_opened(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    KINDS[kind](Path("x"))
    monkeypatch.setattr(os, "open", None)
    with pytest.raises(FileRefusedError, match=f"^x is {kind}"):
        read_regular("x")


def test_links_to_files_are_followed(tmp_path):
    (tmp_path / "one").write_bytes(b"1")
    (tmp_path / "link").symlink_to("one")
    assert read_regular(tmp_path / "link") == b"1"


def test_what_turned_into_a_pipe_after_it_was_looked_at_is_not_waited_for(tmp_path, monkeypatch):
    fifo(tmp_path / "x")
    monkeypatch.setattr(files, "regular_stat", lambda path: None)
    with pytest.raises(FileRefusedError, match="became something else"):
        open_regular(tmp_path / "x")


def test_a_file_is_read_up_to_its_limit_even_where_it_says_that_it_is_empty(tmp_path):
    (tmp_path / "x").write_bytes(b"12345")
    assert read_regular(tmp_path / "x", at_most=5) == b"12345"
    with pytest.raises(FileRefusedError, match="x has 5 bytes or more, expected at most 4"):
        read_regular(tmp_path / "x", at_most=4)
    with pytest.raises(FileRefusedError, match="expected at most 10"):
        read_regular("/proc/self/status", at_most=10)


def test_json_that_is_damaged_or_nested_without_end_is_one_sentence():
    assert parse_json(b"[1]", where="x") == [1]
    for content, message in {
        b"[" * 10**5: "x cannot be read as JSON .it is nested too deep",
        b"{": "x cannot be read as JSON",
        b"\xff": "x cannot be read as JSON",
        b"1" * 5000: "x cannot be read as JSON",
        b'{"a": 1, "a": 2}': "x cannot be read as JSON .it holds the key 'a' twice",
        b"NaN": "x cannot be read as JSON .it holds NaN",
    }.items():
        with pytest.raises(DataError, match=message):
            parse_json(content, where="x", error=DataError)


def test_a_small_file_takes_little_memory_whatever_it_might_hold(tmp_path):
    (tmp_path / "small").write_bytes(b"x" * 1000)
    tracemalloc.start()
    content = read_regular(tmp_path / "small", at_most=1 << 40)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert content == b"x" * 1000
    assert peak < 1 << 20
