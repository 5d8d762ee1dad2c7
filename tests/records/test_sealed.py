"""Records as files: what is read is what was written, or one sentence that names the file."""

import json
import os
import random

import pytest

from levelfield.records.codec import plain_from_json, record, to_json
from levelfield.records.errors import DamagedError, StoreError
from levelfield.records.fingerprint import fingerprint
from levelfield.records.sealed import MOST_BYTES, SCHEMA_KEY, SEAL, read_record, read_record_if_there, write_record
from levelfield.records.writing import set_aside, write_atomically


@record
class Measured:
    name: str
    loss: float
    seeds: tuple[int, ...] = ()


HELD = Measured(name="Größe", loss=2.3125, seeds=(1, 2, 3))


@pytest.fixture
def path(tmp_path):
    write_record(tmp_path / "result.json", HELD)
    return tmp_path / "result.json"


def refused(path) -> str:
    with pytest.raises(DamagedError) as raised:
        read_record(Measured, path)
    assert str(path) in str(raised.value)
    assert raised.value.exit_code == 2
    return str(raised.value)


def read_or_refused(path):
    try:
        return read_record(Measured, path)
    except DamagedError as error:
        return "refused" if str(path) in str(error) else str(error)


def test_a_record_is_read_as_written_and_equal_records_give_equal_bytes(path, tmp_path):
    assert read_record(Measured, path) == HELD
    write_record(tmp_path / "again.json", HELD)
    assert (tmp_path / "again.json").read_bytes() == path.read_bytes()
    assert json.loads(path.read_text())["loss"] == 2.3125, "it stays JSON that people read"


def test_a_record_that_is_not_there_is_none_or_said_to_be_missing(tmp_path):
    assert read_record_if_there(Measured, tmp_path / "none.json") is None
    assert "is missing" in refused(tmp_path / "none.json")


def test_a_single_flipped_digit_is_found(path):
    path.write_text(path.read_text().replace("2.3125", "2.3124"))
    assert "was changed or damaged after it was written" in refused(path)


def test_whatever_bit_flips_the_record_is_equal_or_refused(path):
    whole, draw = path.read_bytes(), random.Random(0)
    for _ in range(300):
        place, bit = draw.randrange(len(whole)), 1 << draw.randrange(8)
        path.write_bytes(whole[:place] + bytes([whole[place] ^ bit]) + whole[place + 1 :])
        assert read_or_refused(path) in (HELD, "refused")


def test_a_record_without_a_seal_says_so_and_one_of_another_kind_names_the_key(path):
    path.write_text(to_json(HELD))
    assert "bears no seal: another version of Levelfield wrote it" in refused(path)
    write_record(path, {"loss": 1.0})
    assert "'name' is missing" in refused(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not JSON"),
        (b"{torn", "is not JSON"),
        (b"\xff\xfe", "is not UTF-8"),
        (b"[1]", "it holds a list, expected an object"),
        (b'{"a": NaN}', "it holds NaN, expected finite numbers"),
        (b'{"a": -Infinity}', "it holds -Infinity"),
        (b'{"a": 1e999}', "is not finite"),
        (b'{"a": ' + b"9" * 5000 + b"}", "a number of 5,000 digits"),
        (b'{"a": 1, "a": 2}', "the key 'a' twice"),
        (b'{"a": ' * 100_000, "nested too deeply"),
        (b"[" * 200 + b"]" * 200, "nested more than 64 deep"),
        (b'{"a": "\\ud800"}', "half a character"),
    ],
)
def test_json_that_no_record_holds_is_refused_with_the_reason(path, content, message):
    path.write_bytes(content)
    assert message in refused(path)


def test_whole_json_is_read_as_it_is():
    assert plain_from_json('{"a": [1, 2.5, null, true, "é"]}') == {"a": [1, 2.5, None, True, "é"]}


@pytest.mark.parametrize("kind", ["directory", "pipe", "link to nothing", "link to itself", "huge"])
def test_what_is_no_file_of_that_size_is_named_and_not_waited_for(path, kind):
    path.unlink()
    if kind == "directory":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "huge":
        with open(path, "wb") as file:
            file.truncate(MOST_BYTES + 1)
    else:
        path.symlink_to("nowhere" if kind == "link to nothing" else path.name)
    expected = {"directory": "a directory", "pipe": "a named pipe", "huge": f"at most {MOST_BYTES:,}"}
    assert expected.get(kind, "is a link to") in refused(path)


def test_a_record_too_large_to_be_read_again_is_not_written(tmp_path):
    with pytest.raises(StoreError, match="a record may have"):
        write_record(tmp_path / "imported.json", {"text": "x" * MOST_BYTES})
    assert list(tmp_path.iterdir()) == []


def test_writing_never_opens_what_a_crash_or_somebody_left_under_its_temporary_name(tmp_path):
    os.mkfifo(tmp_path / ".a.json.tmp")
    write_atomically(tmp_path / "a.json", b"whole")
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_a_directory_in_the_way_of_a_file_is_said(tmp_path):
    (tmp_path / "a.json").mkdir()
    with pytest.raises(StoreError, match=r"cannot write .*a\.json: Is a directory; move away what lies there"):
        write_atomically(tmp_path / "a.json", b"whole")


def test_what_is_set_aside_keeps_its_content_and_never_takes_a_name_that_is_taken(path):
    assert set_aside(path).name == "result.json.damaged-1"
    write_record(path, HELD)
    assert set_aside(path).name == "result.json.damaged-2"


def test_the_seal_is_a_key_like_the_others(path):
    assert SEAL in json.loads(path.read_text())


@pytest.mark.parametrize(("schema", "other"), [(None, "an older"), (1, "an older"), (99, "a newer")])
def test_a_whole_record_of_another_form_is_refused_as_such_and_never_called_damaged(schema, other, tmp_path):
    plain = {} if schema is None else {SCHEMA_KEY: schema}
    plain["threads"] = 1
    (tmp_path / "spec.json").write_text(json.dumps({**plain, SEAL: fingerprint("record", plain)}))
    with pytest.raises(StoreError, match=rf"spec.json was written by {other} version of Levelfield .*here they are"):
        read_record(Measured, tmp_path / "spec.json")
