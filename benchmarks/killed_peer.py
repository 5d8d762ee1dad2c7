"""Hugging Face's IterableDataset in the same harness: numbers instead of pictures, since nothing else is in question.

It is used as its documentation says: shards are split by node, a buffer shuffles, ``state_dict`` is kept at every batch
and given back after a kill. A run keeps its ranks and its batch, since the state of a rank is none of another's.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.killed_loader import Stage

PEER_EXAMPLES = 80
PEER_SHARDS = 8
PEER_BUFFER = 20
PEER_SHARE = 5
"""Examples of a rank in a batch: whole batches make an epoch, whatever the ranks."""


def peer_version() -> str:
    import datasets  # pyright: ignore[reportMissingImports]  # a peer that is installed by hand

    return f"datasets {datasets.__version__}, IterableDataset.shuffle(buffer_size={PEER_BUFFER})"


def serve_peer(spec: Any, seed: int, stage: Stage, rank: int, out: str, cache: str) -> None:
    """See :func:`benchmarks.killed_loader.serve`; the state of every batch is kept in the file beside ``out``."""
    from datasets import Dataset  # pyright: ignore[reportMissingImports]
    from datasets.distributed import split_dataset_by_node  # pyright: ignore[reportMissingImports]

    world = len(stage.readers)
    numbers = Dataset.from_dict({"id": list(range(PEER_EXAMPLES))}).to_iterable_dataset(num_shards=PEER_SHARDS)
    examples = split_dataset_by_node(numbers.shuffle(seed=seed, buffer_size=PEER_BUFFER), rank, world)
    kept = Path(out).with_name(f"state-{rank}")
    step = stage.start // (PEER_SHARE * world)
    states = kept.read_text().splitlines()[:step] if kept.exists() else []
    kept.write_text("".join(f"{state}\n" for state in states))
    epoch = 0
    if states:
        found = json.loads(states[-1])
        epoch = found["epoch"]
        examples.set_epoch(epoch)
        examples.load_state_dict(found["state"])
    descriptor, states_to = (os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND) for path in (out, kept))
    lines: list[str] = []
    while step * PEER_SHARE * world < 3 * PEER_EXAMPLES:
        for example in examples:
            position = step * PEER_SHARE * world + rank * PEER_SHARE + len(lines)
            lines.append(f"{position} {epoch} {example['id']} -\n")
            if len(lines) < PEER_SHARE:
                continue
            os.write(states_to, (json.dumps({"epoch": epoch, "state": examples.state_dict()}) + "\n").encode())
            os.write(descriptor, ("".join(lines) + ".\n").encode())
            lines, step = [], step + 1
            time.sleep(0.001)
        epoch += 1
        examples.set_epoch(epoch)
