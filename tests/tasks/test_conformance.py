"""What we ship has the properties that are asked of everybody's, and a fault in any of them is found."""

import pytest
import torch

from levelfield.data.sources import open_source
from levelfield.records.data import DigitPairsSpec, DigitsSpec, DigitStringsSpec
from levelfield.tasks.classification import Classification
from levelfield.testing.families import check_family
from levelfield.testing.sources import check_source
from levelfield.testing.tasks import check_task
from tests.tasks.digit_value import DigitValue

RESNET = "timm:resnet10t,channels=8x8x16x16,stem_width=8"
DIGIT = open_source(DigitStringsSpec(num_digits=1, resolution=16, select_examples=32, report_examples=32))


@pytest.mark.parametrize("task", [Classification(), DigitValue()], ids=["ours", "a third party's"])
def test_a_task_conforms(task):
    check_task(task, DIGIT)


@pytest.mark.parametrize("text", ["nfnet:w8-d1x1", "vit:w16-d2-p8", "vit:w16-d1-p8,pool=map", RESNET])
def test_a_family_conforms(text):
    check_family(text)


@pytest.mark.parametrize(
    "spec", [DigitsSpec(), DigitPairsSpec(resolution=16), DigitStringsSpec(num_digits=3, resolution=24)]
)
def test_a_source_conforms(spec):
    check_source(open_source(spec))


class CountsTheMasked(DigitValue):
    def loss(self, outputs, fields, valid, recipe):
        return super().loss(outputs, fields, torch.ones_like(valid), recipe)


class IsAMean(DigitValue):
    def loss(self, outputs, fields, valid, recipe):
        return super().loss(outputs, fields, valid, recipe) / max(int(valid.sum()), 1)


class ForgetsAMeasure(DigitValue):
    def scores(self, outputs, fields):
        return {"hits": super().scores(outputs, fields)["hits"]}


class RisesAboveItsCeiling(DigitValue):
    def scores(self, outputs, fields):
        scores = super().scores(outputs, fields)
        return {**scores, "hits": scores["hits"] + 1.5}


@pytest.mark.parametrize(
    ("task", "said"),
    [
        (CountsTheMasked, "a masked example has no gradient"),
        (IsAMean, "an additive loss is the sum over parts"),
        (ForgetsAMeasure, "scores are those of the measures"),
        (RisesAboveItsCeiling, "its ceiling is the highest value"),
    ],
)
def test_a_task_that_breaks_a_property_is_found(task, said):
    with pytest.raises(AssertionError, match=said):
        check_task(task(), DIGIT)
