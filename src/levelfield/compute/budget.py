"""What a budget buys: examples, and the batch to take them in."""

from __future__ import annotations

import math

from levelfield.records.errors import SpecError
from levelfield.units import Examples

SMALLEST_BATCH = 8
LARGEST_PUBLISHED_BATCH = 4096  # of every NFNet in arXiv 2310.16764


def examples_for(budget_flops: float, flops_per_example: float) -> Examples:
    """The most examples that ``budget_flops`` pays for.

    Raises:
        SpecError: a number is not positive and finite.
    """
    for name, value in (("budget_flops", budget_flops), ("flops_per_example", flops_per_example)):
        if not (math.isfinite(value) and value > 0):
            raise SpecError(f"{name} must be positive and finite, saw {value!r}")
    return Examples(math.floor(budget_flops / flops_per_example))


def global_batch_size(
    examples: float, *, coefficient: float, smallest: int = SMALLEST_BATCH, largest: int = LARGEST_PUBLISHED_BATCH
) -> int:
    """The batch rule of a fair study: ``coefficient * sqrt(examples)``, to the nearest power of two (in log2).

    A fixed batch would give short runs too few steps and bend the law of loss against compute.

    Raises:
        SpecError: ``coefficient`` or ``examples`` is not positive, or the limits are no powers of two in order.
    """
    if not (examples > 0 and coefficient > 0):
        raise SpecError(f"examples and coefficient must be positive, saw {examples!r} and {coefficient!r}")
    for limit in (smallest, largest):
        if limit < 1 or limit & (limit - 1):
            raise SpecError(f"the limits of a batch must be powers of two, saw {limit!r}")
    if smallest > largest:
        raise SpecError(f"smallest batch {smallest} is larger than the largest {largest}")
    power = math.floor(math.log2(coefficient * math.sqrt(examples)) + 0.5)
    return min(max(2 ** max(power, 0), smallest), largest)
