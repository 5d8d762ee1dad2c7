"""A study of images and texts, from a table of one's own pictures to its page, as a new user runs it."""

import json

import pytest

from tests.conftest import run
from tests.texted_pictures import as_table, told_pictures

STUDY = """
name = "pairs"
question = "Which tower pairs halves of two colours with their names?"
hypothesis = "None of so small ones."
task = "image_text_softmax"

[data]
source = "image-texts"
path = "photos/captions.csv"
resolution = 8
tokenizer = "bytes"
context = 12
select_examples = 16
report_examples = 32
candidates = 16

[ladder]
budgets = [5e9]
batch_coefficient = 0.05

[[families]]
name = "nfnet"
recipe = "nfnet-short"
override = { optimizer = "adamw", beta2 = 0.95, agc_lambda = 0.01 }
sizes = ["nfnet:w4-d1x1-s4"]
base_lr = { low = 0.01, start = 0.02, high = 0.04 }
lr_batch_exponent = 0.5

[[families]]
name = "vit"
recipe = "vit-short"
sizes = ["vit:w8-d1-p4"]
base_lr = { low = 0.01, start = 0.02, high = 0.04 }
lr_batch_exponent = 0.5

[verdict]
margin = 0.05
control_budget = 5e9

[execution]
microbatch_size = 1
"""


@pytest.mark.slow
def test_own_pairs_are_planned_run_reported_and_verified(tmp_path):
    as_table(tmp_path / "photos", told_pictures(96))
    (tmp_path / "study.toml").write_text(STUDY)
    done = run("run", tmp_path / "study.toml", "--dir", tmp_path / "out", "--workers", 1)
    assert done.returncode == 0, done.stderr
    results = [json.loads(path.read_text()) for path in (tmp_path / "out").glob("trials/*/result.json")]
    assert results
    for each in results:
        plain = each.get("record", each)
        (held_out,) = plain["held_out"].values()
        assert {"mean recall", "zero-shot error", "image to text recall@1", "loss"} <= set(held_out["values"])
        assert 0 <= held_out["values"]["mean recall"] <= 1
    page = run("report", tmp_path / "out")
    assert page.returncode == 0, page.stderr
    assert "mean recall" in page.stdout
    assert run("compare", tmp_path / "out", "--measure", "zero-shot error").returncode == 0
    assert run("verify", tmp_path / "out").returncode == 0
