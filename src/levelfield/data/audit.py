"""Proof of what a run saw: a hash that grows with every example, equal however the run was cut, sharded or resumed."""

from __future__ import annotations

import numpy as np

from levelfield.data.draws import Int64s, UInt64s, key_words, mix64
from levelfield.data.order import ExampleOrder
from levelfield.records.codec import record
from levelfield.records.errors import DataError

_LANES = key_words(2, "seen-audit")
_CHUNK = 1 << 16


@record
class SeenAudit:
    """How many examples were seen, and the sum of their hashes over (position, epoch, id, augmentation key).

    The sum (128 bits) does not depend on the order of its terms: audits of ranks and of stretches of a run add up.
    Two audits are equal only if the same examples were seen, each as often, at the same positions and drawn the same
    way; chance equality is below 2^-100. Lanes are kept as hexadecimal text, since JSON numbers lose bits.
    """

    examples: int = 0
    digest: str = "0" * 32

    def including(self, positions: Int64s, epochs: Int64s, ids: Int64s, augment_keys: UInt64s) -> SeenAudit:
        """This audit and the examples given, all arrays ``[n]``."""
        lanes = []
        for lane in _LANES:
            state = np.full(len(positions), lane)
            for word in (positions, epochs, ids, augment_keys):
                state = mix64(state ^ word.astype(np.uint64)) + lane
            lanes.append(int(mix64(state).sum(dtype=np.uint64)))
        return self + SeenAudit(examples=len(positions), digest="".join(f"{lane:016x}" for lane in lanes))

    def __add__(self, other: SeenAudit) -> SeenAudit:
        halves = ((int(self.digest[i : i + 16], 16) + int(other.digest[i : i + 16], 16)) % 2**64 for i in (0, 16))
        return SeenAudit(examples=self.examples + other.examples, digest="".join(f"{half:016x}" for half in halves))


def expected_audit(order: ExampleOrder, start: int, stop: int) -> SeenAudit:
    """The audit of an undisturbed run over positions ``[start, stop)``, replayed from the order alone.

    No image is rendered: about a microsecond an example.
    """
    audit = SeenAudit()
    for first in range(start, stop, _CHUNK):
        positions = np.arange(first, min(first + _CHUNK, stop), dtype=np.int64)
        epochs, ids = order.ids(positions)
        keys = order.augment_keys(epochs, order.views(positions))
        audit = audit.including(positions, epochs, ids, keys)
    return audit


def check_audit(audit: SeenAudit, order: ExampleOrder, start: int, stop: int) -> None:
    """Prove that a run saw positions ``[start, stop)`` exactly once each.

    Raises:
        DataError: it saw something else.
    """
    expected = expected_audit(order, start, stop)
    if audit != expected:
        raise DataError(
            f"the run did not see positions {start} to {stop} exactly once: expected {expected.examples} examples with "
            f"digest {expected.digest}, saw {audit.examples} with {audit.digest}; train it again from the beginning"
        )
