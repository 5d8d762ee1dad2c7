"""The published points are the published points."""

from __future__ import annotations

import subprocess
import sys
from typing import get_args

from levelfield.families.registry import parse
from levelfield.reference.points import TRUST_MEANS, Trust, published_points, select
from levelfield.reference.protocols import FIELDS, Protocol, differing, protocols


def test_the_table_has_435_points_of_three_families() -> None:
    assert len(published_points()) == 435
    assert len(select(family="convnet")) == 80
    assert len(select(family="vit")) == 344
    assert len(select(family="hybrid")) == 11


def test_every_point_has_a_source_a_model_a_value_and_a_label_of_trust() -> None:
    assert set(TRUST_MEANS) == set(get_args(Trust)) == {point.trust for point in published_points()}
    for point in published_points():
        assert point.source
        assert point.model
        assert 0 < point.value < 100


def test_what_was_read_off_a_figure_says_so() -> None:
    read_off = [point for point in published_points() if "READ OFF" in point.note or "off a figure by" in point.note]
    assert {point.trust for point in read_off} == {"figure"}
    assert {p.model for p in read_off} == {p.model for p in published_points() if p.trust == "figure"}


def test_points_without_an_imagenet_classifier_have_no_error() -> None:
    assert all(p.error is None for p in select(metric="Flamingo"))
    assert all(p.error is None for p in select(metric="ImageNet-1k zero-shot"))
    assert all(p.error is None for p in select(metric="JFT-4B held-out loss"))


def test_every_architecture_can_be_read_and_is_named_by_its_model() -> None:
    for point in published_points():
        if point.architecture:
            spec = parse(point.architecture)
            name = point.model.split("-", 1)[1].split(" ")[0].split("/")[0]
            assert spec.family == ("vit" if point.family == "vit" else "nfnet")
            small = {"s": "w256-d6-p", "400m": "So400m"}
            assert small.get(name, name) in point.architecture, (point.model, point.architecture)


def test_the_points_of_a_run_have_one_architecture() -> None:
    runs: dict[str, set[str]] = {}
    for point in published_points():
        if point.run and point.architecture:
            runs.setdefault(point.run, set()).add(point.architecture)
    assert {run for run, texts in runs.items() if len(texts) > 1} == set()
    assert len(runs) > 40


def test_every_protocol_is_used_and_every_used_protocol_is_described() -> None:
    assert {point.protocol for point in published_points() if point.protocol} == set(protocols())


def test_a_protocol_differs_from_another_in_the_fields_that_differ_or_are_unknown() -> None:
    known = protocols()
    grid, sovit = known["vit-jft3b-384-3b"], known["sovit-jft3b-384"]
    assert set(differing(grid, grid)) == set()
    assert FIELDS["averaging"] in differing(grid, sovit)  # SoViT's is not stated
    assert differing(known["vit-jft3b-518"], known["vit-jft3b-518-averaged"]) == ("averaging of weights",)
    assert {*FIELDS, "id", "source"} == set(Protocol.__dataclass_fields__)


def test_reading_the_evidence_loads_no_torch() -> None:
    program = (
        "import sys; from levelfield.reference.evidence import published_evidence; published_evidence(); "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
