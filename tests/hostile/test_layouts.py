"""A seeded share of the layouts: right or refused, and enough of each."""

from collections import Counter

import pytest

from tests.hostile import layouts
from tests.hostile.child import outcome

pytestmark = pytest.mark.filterwarnings("ignore")


def test_no_layout_of_labels_is_taken_for_another():
    found = [outcome(layouts, 0, index) for index in range(50)]
    wrong = [
        (index, each["what"], each["trace"])
        for index, each in enumerate(found)
        if each["verdict"] not in ("right", "refused")
    ]
    assert wrong == []
    counts = Counter(each["verdict"] for each in found)
    assert min(counts["right"], counts["refused"]) >= 10, counts
