"""In which order the examples of a source are trained on: plainly, unless it is arranged otherwise."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from levelfield.data.order import ExampleOrder, Order
from levelfield.data.source import Source


@runtime_checkable
class Arranged(Protocol):
    """A source that is not trained on in the plain order, or whose epoch is not one pass over its train split."""

    @property
    def epoch_examples(self) -> int:
        """The examples that a run sees in an epoch."""
        ...

    def arranged(self, seed: int, *, num_examples: int | None, multiplicity: int) -> ExampleOrder:
        """See :func:`training_order`."""
        ...


def training_order(
    source: Source, seed: int, num_examples: int | None = None, *, multiplicity: int = 1
) -> ExampleOrder:
    """The order of a run over the train split of ``source``, or over a nested subset of ``num_examples`` of it."""
    if isinstance(source, Arranged):
        return source.arranged(seed, num_examples=num_examples, multiplicity=multiplicity)
    return plain_order(source, seed, num_examples=num_examples, multiplicity=multiplicity)


def plain_order(source: Source, seed: int, *, num_examples: int | None = None, multiplicity: int = 1) -> Order:
    """The same, one permutation of all examples an epoch."""
    total = source.split_sizes["train"]
    return Order(
        num_examples=total if num_examples is None else num_examples,
        seed=seed,
        fingerprint=source.fingerprint,
        subset_of=None if num_examples is None else total,
        multiplicity=multiplicity,
    )


def examples_an_epoch(source: Source) -> int:
    """How many examples, each once, are an epoch of ``source``: what epochs are counted in, planned and limited by."""
    return source.epoch_examples if isinstance(source, Arranged) else source.split_sizes["train"]
