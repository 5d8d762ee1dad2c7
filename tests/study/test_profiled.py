"""``trial run --profile``: a trace of a trial's steps, of which its result knows nothing."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter

import pytest

from levelfield.records.errors import InputError
from levelfield.records.store import TrialDirectory
from levelfield.study.execute.item import WorkOrder, item_at, run_item
from levelfield.study.execute.profiled import TRACED_STEPS, profile_item
from tests.study.test_trial import CPU, files_of, trial


@pytest.fixture
def begun(tmp_path) -> TrialDirectory:
    directory = TrialDirectory(tmp_path / "trial")
    directory.open(trial("nfnet"))
    return directory


def spans(path) -> Counter[str]:
    return Counter(event["name"] for event in json.loads(path.read_text())["traceEvents"] if "name" in event)


def test_a_trace_holds_the_steps_and_their_operators_and_the_trial_is_as_it_was(begun, tmp_path):
    order = WorkOrder(device=CPU)
    names = {path.name for path in begun.path.iterdir()}
    assert profile_item(item_at(begun.path), order, tmp_path / "trace.json") == TRACED_STEPS
    found = spans(tmp_path / "trace.json")
    assert found["step"] == found["data"] == TRACED_STEPS
    assert found["aten::convolution"] >= TRACED_STEPS
    assert {path.name for path in begun.path.iterdir()} == names
    run_item(item_at(begun.path), order)
    twin = TrialDirectory(tmp_path / "twin")
    twin.open(trial("nfnet"))
    run_item(item_at(twin.path), order)
    assert files_of(begun) == files_of(twin)


def test_a_trial_of_two_steps_is_traced_in_its_last(tmp_path):
    directory = TrialDirectory(tmp_path / "trial")
    directory.open(dataclasses.replace(trial("vit"), steps=2))
    assert profile_item(item_at(directory.path), WorkOrder(device=CPU), tmp_path / "trace.json") == 1
    assert spans(tmp_path / "trace.json")["step"] == 1


def test_a_place_where_no_file_can_be_is_refused_before_anything_is_trained(begun, tmp_path):
    for place in (tmp_path, tmp_path / "none" / "trace.json"):
        with pytest.raises(InputError, match="none in a folder that is there"):
            profile_item(item_at(begun.path), WorkOrder(device=CPU), place)
    assert not (begun.path / "attempts").exists()
