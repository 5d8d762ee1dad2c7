"""Records that lie as they were written are told by their text, and nothing else is."""

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from levelfield.records.codec import plain_from_json
from levelfield.records.errors import DamagedError
from levelfield.records.sealed import SCHEMA, SCHEMA_KEY, SEAL, read_record, write_record
from levelfield.records.trial import TrialTiming
from levelfield.records.verbatim import unsealed

_NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**63), 2**63) | st.sampled_from(
    [0.0, 1.0, -2.0, 1e15, 1e16, 1.5e16, -1e22, 1e300, 5e-324, 0.1]
)  # fmt: skip
_VALUES = st.recursive(
    _NUMBERS | st.text(st.characters(exclude_categories=("Cs",)), max_size=12) | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abxyz. ", max_size=4), inner, max_size=3),
    max_leaves=12,
)


def content_of(value, folder):
    write_record(folder / "record.json", value)
    return (folder / "record.json").read_bytes()


def told(content):
    return unsealed(content, purpose="record", seal=SEAL, schema=(SCHEMA_KEY, SCHEMA))


@settings(max_examples=60, deadline=None)
@given(value=st.dictionaries(st.sampled_from(["a", "b", "t", "z"]), _VALUES, min_size=1))
def test_whatever_is_told_by_its_text_holds_what_was_written(value, tmp_path_factory):
    content = content_of(value, tmp_path_factory.getbasetemp())
    text = told(content)
    assert text is None or plain_from_json(text) == value
    spared = (b"\\", b"-0.0")  # an escape, and a zero that its seal writes without its sign
    assert text is not None or any(each in content for each in spared)


TIMING = {
    "fingerprint": "f" * 32, "device": 'a, "b": 1.0,', "device_seconds": 1e17, "data_seconds": 2.0,
    "evaluate_seconds": 1e-07, "wall_seconds": 12.5, "zeros": [0.0, 1.0, {"x": 10.0}],
}  # fmt: skip


def test_no_flipped_bit_and_no_cut_is_told_by_its_text_for_another_value(tmp_path):
    whole, draw = content_of(TIMING, tmp_path), random.Random(0)
    assert plain_from_json(told(whole) or b"0") == TIMING
    for _ in range(500):
        place, bit, length = draw.randrange(len(whole)), 1 << draw.randrange(8), draw.randrange(3)
        flipped = whole[:place] + bytes([whole[place] ^ bit]) + whole[place + 1 :]
        cut = whole[:place] + whole[place + length :]
        for content in (flipped, cut):
            text = told(content)
            assert text is None or plain_from_json(text) == TIMING


@pytest.mark.parametrize(
    ("was", "now"),
    [
        ("1e+17", "1.00e+17"),
        ("1e+17", "100000000000000000"),
        ("12.5", "1.25e+1"),
        ("2.0", "2"),
        ("2.0", "2.00"),
        ("  ", "\t"),
        ('"data_seconds": 2.0,', '"data_seconds": 3.0,\n  "data_seconds": 2.0,'),
        ('"schema"', '"Schema"'),
    ],
)
def test_what_is_written_in_another_way_is_the_same_value_or_takes_a_closer_look(was, now, tmp_path):
    content = content_of(TIMING, tmp_path).decode()
    text = told(content.replace(was, now).encode())
    assert text is None or plain_from_json(text) == TIMING


def test_a_sealed_line_never_vouches_for_another_number(tmp_path):
    content = content_of({"a": 1, "b": 12}, tmp_path).decode()
    for number in ("1.5e+0", "1e+00", "1.000", "01", "+1"):
        text = told(content.replace('"a": 1', f'"a": {number}').encode())
        assert text is None or plain_from_json(text) == {"a": 1, "b": 12}


def test_a_record_that_was_laid_out_anew_is_read_as_before(tmp_path):
    timing = TrialTiming(
        fingerprint="0" * 32, device="cpu", device_seconds=1e20, data_seconds=0.0, evaluate_seconds=0, wall_seconds=3
    )
    write_record(tmp_path / "timing.json", timing)
    plain = json.loads((tmp_path / "timing.json").read_text())
    for text in (json.dumps(plain), json.dumps(plain, indent=4), json.dumps(plain, indent=2)):
        (tmp_path / "timing.json").write_text(text)
        assert read_record(TrialTiming, tmp_path / "timing.json") == timing
    (tmp_path / "timing.json").write_text(json.dumps(plain | {"attempts": 10**31}, indent=2))
    with pytest.raises(DamagedError, match="holds a number of 32 digits"):
        read_record(TrialTiming, tmp_path / "timing.json")
