"""What a budget buys: examples, batches and steps."""

from __future__ import annotations

import math

from levelfield.records.codec import record
from levelfield.records.errors import RefusedError, SpecError
from levelfield.units import Examples, Steps

SMALLEST_BATCH = 8
LARGEST_BATCH = 4096  # of every NFNet in arXiv 2310.16764


@record
class RunLength:
    """A whole number of optimiser steps of one global batch each."""

    steps: Steps
    global_batch_size: int

    @property
    def examples(self) -> Examples:
        return Examples(self.steps * self.global_batch_size)


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
    examples: float, *, coefficient: float, smallest: int = SMALLEST_BATCH, largest: int = LARGEST_BATCH
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


def steps_for_batch(budget_flops: float, flops_per_example: float, *, global_batch_size: int) -> RunLength:
    """The most steps of a given batch that the budget pays for.

    Raises:
        RefusedError: it does not pay for one.
    """
    steps = examples_for(budget_flops, flops_per_example) // global_batch_size
    if steps < 1:
        raise RefusedError(
            f"{budget_flops:.3g} FLOPs pay for less than one batch of {global_batch_size} at {flops_per_example:.3g} "
            f"FLOPs an example: use a larger budget or a smaller network"
        )
    return RunLength(steps=Steps(steps), global_batch_size=global_batch_size)


def steps_for_budget(
    budget_flops: float,
    flops_per_example: float,
    *,
    coefficient: float,
    smallest: int = SMALLEST_BATCH,
    largest: int = LARGEST_BATCH,
) -> RunLength:
    """The longest run within the budget whose batch is the rule's own for the examples it sees.

    Raises:
        RefusedError: the budget does not pay for one batch.
    """

    def rule(examples: float) -> int:
        return global_batch_size(examples, coefficient=coefficient, smallest=smallest, largest=largest)

    affordable = max(1, examples_for(budget_flops, flops_per_example))
    length = steps_for_batch(budget_flops, flops_per_example, global_batch_size=rule(affordable))
    # Rounding down to whole batches may cross to where the rule asks for the next smaller one; then the longest run
    # of that batch ends just below the crossing.
    while rule(length.examples) != length.global_batch_size:
        batch = rule(length.examples)
        steps = affordable // batch
        while rule(steps * batch) > batch:
            steps -= 1
        length = RunLength(steps=Steps(steps), global_batch_size=batch)
    return length
