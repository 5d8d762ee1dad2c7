"""Records to JSON and back; identity by content; typos answered with a suggestion."""

import dataclasses
import json
import math

import pytest

from levelfield.records.codec import from_plain, later, record, to_json, to_plain
from levelfield.records.data import DigitPairsSpec, ImagesSpec
from levelfield.records.difference import difference
from levelfield.records.errors import SpecError
from levelfield.records.fingerprint import fingerprint
from levelfield.records.head import LinearHead
from levelfield.records.trial import RecipeSpec, TrialSpec

RECIPE = RecipeSpec(preset="test", optimizer="sgd", peak_lr=0.4, ema_fraction=0.1)
TRIAL = TrialSpec(
    architecture="nfnet:w8-d1",
    data=DigitPairsSpec(),
    recipe=RECIPE,
    head=LinearHead(num_outputs=100),
    budget_flops=1e9,
    global_batch_size=32,
    steps=500,
)


def test_a_trial_survives_the_round_trip_through_json():
    assert from_plain(TrialSpec, json.loads(to_json(TRIAL))) == TRIAL


def test_equal_content_has_an_equal_fingerprint_and_any_change_another():
    assert TRIAL.fingerprint == dataclasses.replace(TRIAL).fingerprint
    changed = [
        dataclasses.replace(TRIAL, seed=1),
        dataclasses.replace(TRIAL, steps=501),
        dataclasses.replace(TRIAL, recipe=dataclasses.replace(RECIPE, beta2=0.95)),
        dataclasses.replace(TRIAL, data=DigitPairsSpec(label_noise=0.2)),
        dataclasses.replace(TRIAL, held_out="report"),
    ]
    assert len({TRIAL.fingerprint, *(trial.fingerprint for trial in changed)}) == len(changed) + 1


def test_a_whole_number_is_the_same_identity_as_int_and_as_float():
    assert dataclasses.replace(TRIAL, budget_flops=10**9).fingerprint == TRIAL.fingerprint


def images(path: str, content: str) -> TrialSpec:
    return dataclasses.replace(TRIAL, data=ImagesSpec(path=path, resolution=32), data_content=content)


def test_where_the_data_lies_is_no_part_of_a_trial_and_what_lies_there_is():
    here, there = images("/here.parquet", "a"), images("/there.parquet", "a")
    assert here.fingerprint == there.fingerprint
    assert here.name == there.name
    assert images("/here.parquet", "b").name != here.name


def test_images_without_their_content_are_no_identity_and_what_is_drawn_needs_none():
    with pytest.raises(SpecError, match="data_content must be the fingerprint of the images"):
        dataclasses.replace(TRIAL, data=ImagesSpec(path="/here.parquet", resolution=32))
    with pytest.raises(SpecError, match="data_content must be absent: digit-pairs says it all"):
        dataclasses.replace(TRIAL, data_content="a")


def test_what_differs_between_two_specs_is_said_in_words():
    held = images("/here.parquet", "a")
    assert difference(held, images("/there.parquet", "a")) == ""
    assert difference(held, images("/here.parquet", "b")) == "its data was changed: it was run on a, now there is b"
    hotter = dataclasses.replace(held, recipe=dataclasses.replace(held.recipe, peak_lr=0.2, sam_rho=0.1), seed=1)
    told = "recipe.peak_lr was 0.4, is 0.2; recipe.sam_rho was none, is 0.1; seed was 0, is 1"
    assert difference(held, hotter) == told
    assert difference(held, TRIAL) == "its data was images, is digit-pairs"
    other = dataclasses.replace(TRIAL, data=DigitPairsSpec(resolution=16, seed=3))
    assert difference(TRIAL, other) == "data.resolution was 32, is 16; data.seed was 0, is 3"


def test_a_fingerprint_is_stable_across_versions_of_python():
    assert fingerprint("test", {"b": 1, "a": [1.5, None, "x"]}) == "be2d568d4be1e5848a737b8ccf8e6022"


@pytest.mark.parametrize("value", [math.nan, math.inf, {1, 2}, object()])
def test_what_has_no_stable_text_is_refused(value):
    with pytest.raises((TypeError, ValueError)):
        to_json({"value": value})


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda plain: plain["recipe"].update(peek_lr=1), "unknown key 'recipe.peek_lr' (did you mean 'peak_lr'?)"),
        (lambda plain: plain["data"].update(label_noice=1), "(did you mean 'label_noise'?)"),
        (lambda plain: plain["data"].update(source="digit-pear"), "Input should be one of 'digit-pairs'"),
        (lambda plain: plain.pop("steps"), "'steps' is missing"),
        (lambda plain: plain.update(steps="many"), "saw 'many'"),
        (lambda plain: plain["recipe"].update(peak_lr=-1), "peak_lr must be positive, from 1e-30 to 1e+30, saw -1.0"),
    ],
)
def test_a_wrong_table_is_answered_with_its_place(edit, message):
    plain = to_plain(TRIAL)
    edit(plain)
    with pytest.raises(SpecError) as caught:
        from_plain(TrialSpec, plain)
    assert message in str(caught.value)
    assert "ImagesSpec" not in str(caught.value) or "digit-pear" in str(caught.value)


@pytest.mark.parametrize("gone", ["folder", "parquet", "pairs"])
def test_a_source_that_nobody_knows_is_told_those_that_there_are(gone):
    plain = to_plain(TRIAL) | {"data": {"source": gone, "path": "x", "resolution": 8}}
    with pytest.raises(SpecError) as refused:
        from_plain(TrialSpec, plain)
    said = str(refused.value)
    assert "data.source: Input should be one of 'digit-pairs', " in said
    assert f"'images', 'masked-images', 'image-texts', 'demonstrations', 'mixture', saw '{gone}'" in said
    assert said.count("saw") == 1


@record
class Grown:
    """A record to which ``extra`` was added after the first ones had been written."""

    first: int
    extra: int | None = later(default=None)


def test_a_field_added_later_changes_no_older_record():
    assert to_plain(Grown(first=1)) == {"first": 1}
    assert fingerprint("test", Grown(first=1)) == fingerprint("test", {"first": 1})
    assert from_plain(Grown, {"first": 1}) == Grown(first=1)


def test_a_field_added_later_is_part_of_the_identity_once_it_is_said():
    assert to_plain(Grown(first=1, extra=2)) == {"first": 1, "extra": 2}
    assert from_plain(Grown, to_plain(Grown(first=1, extra=2))) == Grown(first=1, extra=2)
    assert fingerprint("test", Grown(first=1, extra=2)) != fingerprint("test", Grown(first=1))


# A trial of study 0001, without the defaults; in studies/results it bears the fingerprint that it had at the time.
PUBLISHED_TRIAL = {
    "architecture": "nfnet:w112-d1x1-s4",
    "data": {
        "source": "digit-pairs",
        "label_noise": 0.05,
        "max_rotation_deg": 5.0,
        "max_scale": 1.05,
        "max_shift": 0.02,
        "noise_contrast": 0.05,
    },
    "recipe": {
        "preset": "nfnet-short",
        "optimizer": "sgd",
        "peak_lr": 0.2,
        "agc_lambda": 0.16,
        "clip_skip_gain": False,
        "ema_fraction": 0.05,
        "weight_decay": 1e-6,
    },
    "budget_flops": 1e12,
    "head": {"num_outputs": 100},
    "global_batch_size": 32,
    "steps": 686,
}
PUBLISHED_FINGERPRINT = "2fc2579f77876eedad84de1e84953448"


def test_a_published_trial_keeps_its_fingerprint():
    assert from_plain(TrialSpec, PUBLISHED_TRIAL).fingerprint == PUBLISHED_FINGERPRINT


@pytest.mark.parametrize(("field", "kind"), [("resolution", "integer"), ("max_rotation_deg", "number")])
def test_a_truth_value_is_no_number(field, kind):
    with pytest.raises(SpecError, match=f"here: {field}: Input should be a valid {kind}, saw True"):
        from_plain(DigitPairsSpec, {"source": "digit-pairs", field: True}, where="here")
