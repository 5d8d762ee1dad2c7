"""What a two-level order costs in randomness: how alike the batches are that it makes, and how far examples move.

    python -m benchmarks.block_order > benchmarks/results/block_order_cpu_202611.md

``alike`` is how much the numbers of examples of each of 100 classes vary over batches of 256, as a share of what they
vary by in a plain order (1 is random, 0 every batch the same, more is clumped); where rows lie as they were packed, in
a drawn order, and where they lie sorted by class, which packing is there to prevent. ``together`` is how likely two
examples of a block are to stand in one batch again in the next epoch, over the same in a plain order. ``reads`` is how
many ranges of rows a window of 64 blocks needs, for one example each in a plain order.
"""

from __future__ import annotations

import numpy as np

from levelfield.data.blocks import BlockOrder
from levelfield.data.order import Order, Permutation

NUM_EXAMPLES = 2**18
NUM_CLASSES = 100
BATCH = 256
SHAPES = ((64, 64), (256, 64), (256, 256), (512, 64), (1024, 16))


def variation(order: Order, labels: np.ndarray) -> float:
    """The variance of the number of examples of a class in a batch, over an epoch."""
    ids = order.ids(np.arange(NUM_EXAMPLES))[1].reshape(-1, BATCH)
    counts = np.stack([np.bincount(labels[batch], minlength=NUM_CLASSES) for batch in ids])
    return float(counts.var(0).mean())


def together(order: Order, block: int) -> float:
    """How often a pair of neighbouring ids that stood in one batch of the first epoch does in the second."""
    where = np.empty((2, NUM_EXAMPLES), dtype=np.int64)
    for epoch in (0, 1):
        positions = np.arange(epoch * NUM_EXAMPLES, (epoch + 1) * NUM_EXAMPLES)
        where[epoch, order.ids(positions)[1]] = np.arange(NUM_EXAMPLES) // BATCH
    first, second = np.arange(NUM_EXAMPLES - block // 2), np.arange(block // 2, NUM_EXAMPLES)
    return float((where[1, first] == where[1, second]).mean())


def main() -> None:
    packed = Permutation.of(NUM_EXAMPLES, "benchmark").forward(np.arange(NUM_EXAMPLES)) % NUM_CLASSES
    by_class = np.arange(NUM_EXAMPLES) * NUM_CLASSES // NUM_EXAMPLES
    plain = Order(num_examples=NUM_EXAMPLES, seed=0, fingerprint="x")
    base = {name: variation(plain, labels) for name, labels in (("packed", packed), ("by class", by_class))}
    print(f"{NUM_EXAMPLES:,} examples of {NUM_CLASSES} classes, batches of {BATCH}.\n")
    print("| block | blocks a window | window | alike, packed | alike, by class | together again | reads an example |")
    print("|---|---|---|---|---|---|---|")
    print("| plain | - | - | 1 | 1 | 1 | 1 |")
    for block, window in SHAPES:
        order = BlockOrder(
            num_examples=NUM_EXAMPLES, seed=0, fingerprint="x", block_examples=block, window_blocks=window
        )
        alike = [variation(order, labels) / base[name] for name, labels in (("packed", packed), ("by class", by_class))]
        again = together(order, block) * NUM_EXAMPLES / BATCH
        told = f"{alike[0]:.3g} | {alike[1]:.3g} | {again:.3g} | 1/{block}"
        print(f"| {block} | {window} | {block * window:,} | {told} |")


if __name__ == "__main__":
    main()
