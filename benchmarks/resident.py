"""What a process that trains on 1,281,167 pictures holds in memory: RSS at its highest, as the system counts it.

    python -m benchmarks.resident TAR [PICTURES] [STEPS]

The JPEGs of TAR are listed again and again until there are so many: an index of as many rows, each read, compared with
its digest, decoded, cropped and trained on as any picture. The network is small; the pictures are of 224 px.
"""

from __future__ import annotations

import os
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from levelfield.data.arranged import training_order
from levelfield.data.canonical import content_fingerprint, digest_of
from levelfield.data.index import Index, ListedRows
from levelfield.data.loader import Loader
from levelfield.data.manifest import Contents
from levelfield.data.sources.splits import image_source
from levelfield.data.stores.tar import TarStore
from levelfield.data.transforms import fed
from levelfield.records.data import ImagesSpec
from levelfield.study.launch.environment import worker_environment

CLASSES = 1000


def members(path: str) -> Iterator[tuple[bytes, int, int]]:
    """Digest, place and length of every JPEG."""
    with tarfile.open(path) as tar:
        for member in tar:
            if member.isfile() and member.name.lower().endswith((".jpg", ".jpeg")):
                file = tar.extractfile(member)
                assert file is not None
                yield digest_of(file.read()), member.offset_data, member.size


def listed(path: str, number: int) -> ListedRows:
    found = list(members(path))
    which = np.arange(number) % len(found)
    digests = np.frombuffer(b"".join(digest for digest, _, _ in found), dtype=np.uint8).reshape(-1, 16)
    offsets, lengths = (np.array([each[place] for each in found], dtype=np.uint64) for place in (1, 2))
    return ListedRows(
        label=(np.arange(number) % CLASSES).astype(np.int32),
        digest=digests[which],
        shard=np.zeros(number, dtype=np.uint32),
        offset=offsets[which],
        length=lengths[which],
    )


def main() -> None:
    path, number, steps = sys.argv[1], *map(int, (*sys.argv[2:], *("1281167", "40")[len(sys.argv) - 2 :]))
    if os.environ.get("OMP_NUM_THREADS") != "1":
        os.execve(sys.executable, [sys.executable, "-m", "benchmarks.resident", *sys.argv[1:]], worker_environment(1))
    with tempfile.TemporaryDirectory() as folder:
        if (child := os.fork()) == 0:  # what listing takes is not what training takes
            Index.of(listed(path, number)).write(Path(folder) / "index.arrow")
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        train(path, number, steps, Index.open(Path(folder) / "index.arrow"))


def train(path: str, number: int, steps: int, index: Index) -> None:
    contents = Contents(
        class_names=tuple(map(str, range(CLASSES))),
        num_by_class=tuple(np.bincount(index.labels, minlength=CLASSES).tolist()),
        twins=0,
        fingerprint=content_fingerprint(index.labels, index.digests),
        sorted_as_text=True,
    )
    store = TarStore([path], index, contents, of="the pictures")
    spec = ImagesSpec(path=path, resolution=224, augment="resized-crop-flip")
    source = image_source(spec, store, None)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 32, 8, 8), torch.nn.GELU(), torch.nn.Flatten(), torch.nn.Linear(32 * 28**2, CLASSES)
    )
    optimizer = torch.optim.SGD(network.parameters(), 0.01)
    loader, seen = Loader(source, order=training_order(source, 0), global_batch_size=64, prefetch=2), 0
    for step, batch in enumerate(loader, start=1):
        loss = torch.nn.functional.cross_entropy(network(fed(batch.fields["image"])), batch.fields["label"])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        seen += len(batch)
        if step in (1, steps // 2, steps):
            print(f"{number:,} pictures, {seen:,} trained on: {resident() / 1e9:.2f} GB at the highest", flush=True)
        if step == steps:
            return


def resident() -> int:
    """Bytes, the most there were by now."""
    status = Path("/proc/self/status").read_text().splitlines()
    line = next(line for line in status if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    main()
