"""``levelfield fit`` on anybody's table: names as they are, numbers of any size, laws that can be computed by hand."""

import json

import numpy as np
import pytest


@pytest.fixture
def write(tmp_path):
    """A ladder of losses as a CSV, by family."""

    def written(families, budgets=np.geomspace(1e16, 1e22, 9), header="flops,loss,arch"):
        lines = [f"{c},{law(c)},{name}" for name, law in families.items() for c in budgets]
        path = tmp_path / "runs.csv"
        path.write_text("\n".join((header, *lines)) + "\n")
        return path

    return written


def power(c):
    return 60 * c**-0.08


def test_families_are_called_as_the_table_calls_them(write, invoke):
    path = write({"1.07e9": power, "1.13e9": lambda c: 1.1 * power(c)})
    _, said, _ = invoke("fit", path, "--family", "arch")
    assert {line.split("\t")[0] for line in said.splitlines() if "C⁻ᵇ" in line} == {"1.07e9", "1.13e9"}
    _, said, _ = invoke("compare", path, "--family", "arch")
    assert "1.07e9 against 1.13e9" in said
    assert "one cannot tell 1.07e9 from 1.13e9" in said
