"""No table with a fault of units, direction or copies is read, and none without: the benchmark, on a few."""

import numpy as np
from benchmarks.planted_faults import FAULTS, NOTHING, planted


def test_a_planted_fault_is_refused_and_a_table_without_one_is_read():
    found = planted(30, 17)
    assert found.keys() == FAULTS.keys()
    assert not any(found.pop(NOTHING))
    assert all(len(own) >= 10 for own in found.values())
    rates = {name: float(np.mean(own)) for name, own in found.items()}
    assert all(rate == 1 for rate in rates.values()), rates
