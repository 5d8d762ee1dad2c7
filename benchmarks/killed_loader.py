"""Loaders under kill -9: is what was seen, in the end, what an undisturbed run sees?

    python -m benchmarks.killed_loader --runs 56 > benchmarks/results/killed_loader_cpu_202611.md

A run sees a little over two epochs of real JPEGs, augmented, in stages. A stage starts processes - one, two or four
ranks, each with 0 to 3 runs of batches rendered ahead, a global batch of its own - and kills all with SIGKILL after a
drawn number of batches and a moment more. What the last checkpoint had is kept (a drawn number of batches before the
slowest rank), the rest is lost, and the next stage goes on from there otherwise. The last one is left to end. The
history of (position, epoch, id, hash of the augmented pixels) must be that of one undisturbed process, byte for byte.
Half of the runs read the same pictures from a store far away that errs, cuts answers short and hangs up.

Beside it, in the same stages: Hugging Face's IterableDataset, whose state is kept at every batch by its own
``state_dict`` and given back by ``load_state_dict``; ranks by its ``split_dataset_by_node``.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from levelfield.data.arranged import training_order
from levelfield.data.loader import Loader
from levelfield.data.sources import open_source
from levelfield.records.data import ImagesSpec

NUM_PICTURES = 90
HELD_OUT = 5
POSITIONS = 176
"""Two epochs of 80 pictures and some more."""
BATCHES = (4, 8, 12, 16, 20)
_WORLDS = (1, 2, 4)
_WAIT_S = 120.0


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What runs until it is killed: from ``start`` on, ``readers`` of each rank, ``kill_after`` batches of the slowest
    rank and ``moment_s`` more, then ``lost`` batches less are kept; None where it is left to end."""

    start: int
    batch: int
    readers: tuple[int, ...]
    kill_after: int | None
    moment_s: float
    lost: int


@dataclass(frozen=True, kw_only=True)
class Run:
    """How a run went: its ``history``, a line a position, and what it had to go through."""

    history: list[str]
    kills: int
    processes: int


def write_pictures(folder: Path) -> Path:
    """JPEGs of three classes in class folders: smooth, of different sizes, as cameras leave them."""
    for number in range(NUM_PICTURES):
        rng = np.random.default_rng(number)
        small = Image.fromarray(rng.integers(0, 256, (7, 9, 3), dtype=np.uint8))
        place = folder / "abc"[number % 3] / f"{number:03d}.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        stream = io.BytesIO()
        small.resize((48 + number % 17, 40 + number % 11)).save(stream, "JPEG", quality=90)
        place.write_bytes(stream.getvalue())
    return folder


def spec_at(place: str, **blocks: Any) -> ImagesSpec:
    return ImagesSpec(path=place, resolution=24, select_examples=HELD_OUT, report_examples=HELD_OUT, **blocks)


def lines_of(batch: Any) -> str:
    """What is told of a batch: a line an example."""
    hashes = [hashlib.blake2b(image.numpy().tobytes(), digest_size=8).hexdigest() for image in batch.fields["image"]]
    told = zip(batch.positions.tolist(), batch.epochs.tolist(), batch.ids.tolist(), hashes, strict=True)
    return "".join(f"{position} {epoch} {example} {pixels}\n" for position, epoch, example, pixels in told)


def serve(spec: ImagesSpec, seed: int, stage: Stage, rank: int, out: str, cache: str) -> None:
    """A rank: batch after batch into the file ``out``, each in one write, until it is killed or done."""
    os.environ["LEVELFIELD_CACHE"] = cache
    source = open_source(spec)
    loader = Loader(
        source,
        order=training_order(source, seed),
        global_batch_size=stage.batch,
        start_examples=stage.start,
        rank=rank,
        world_size=len(stage.readers),
        prefetch=stage.readers[rank],
    )
    descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    steps = -(-(POSITIONS - stage.start) // stage.batch)
    for _, batch in zip(range(steps), loader, strict=False):
        os.write(descriptor, f"{lines_of(batch)}.\n".encode())
        time.sleep(0.001)  # what is trained on takes a while, and is a moment to be killed in


def whole_batches(out: Path) -> list[list[str]]:
    """The batches that were written to their end, each as its lines."""
    content = out.read_text() if out.exists() else ""
    return [part.splitlines() for part in content.split(".\n")[:-1]]


def disturbed(
    spec: ImagesSpec,
    seed: int,
    folder: Path,
    rng: random.Random,
    serving: Any = serve,
    *,
    most_stages: int = 6,
    share: int | None = None,
) -> Run:
    """A run in stages, all but the last killed. With ``share`` its ranks stay as many, each with so many of a batch."""
    steady = rng.choice(_WORLDS)
    history: list[str] = []
    kills = processes = 0
    for number in range(most_stages):
        last = number == most_stages - 1
        readers = tuple(rng.randrange(4) for _ in range(rng.choice(_WORLDS) if share is None else steady))
        batch = rng.choice(BATCHES) if share is None else share * steady
        moment = rng.random() * 0.02
        stage = Stage(
            start=len(history),
            batch=batch,
            readers=readers,
            kill_after=None if last else rng.randrange(5),
            moment_s=moment,
            lost=rng.randrange(3),
        )
        outs = [folder / f"{number}-{rank}" for rank in range(len(readers))]
        kills += _staged(spec, seed, stage, outs, serving)
        processes += len(readers)
        ranks = [whole_batches(out) for out in outs]
        kept = min(map(len, ranks)) - (stage.lost if stage.kill_after is not None else 0)
        for step in range(max(0, kept)):
            history += [line for own in ranks for line in own[step]]
        if len(history) >= POSITIONS:
            break
    return Run(history=history[:POSITIONS], kills=kills, processes=processes)


def _staged(spec: ImagesSpec, seed: int, stage: Stage, outs: Sequence[Path], serving: Any) -> int:
    """Run ``stage``; how many processes were killed before they were done."""
    context, cache = multiprocessing.get_context("forkserver"), os.environ["LEVELFIELD_CACHE"]
    ranks = [
        context.Process(target=serving, args=(spec, seed, stage, rank, str(out), cache))
        for rank, out in enumerate(outs)
    ]
    for each in ranks:
        each.start()
    end = time.monotonic() + _WAIT_S
    if stage.kill_after is not None:
        while min(len(whole_batches(out)) for out in outs) < stage.kill_after and any(r.is_alive() for r in ranks):
            if time.monotonic() > end:
                break
            time.sleep(0.002)
        time.sleep(stage.moment_s)
        for each in ranks:
            with contextlib.suppress(ProcessLookupError):
                os.kill(each.pid or 0, signal.SIGKILL)
    for each in ranks:
        each.join(max(0.1, end - time.monotonic()))
    killed = sum(each.exitcode == -signal.SIGKILL for each in ranks)
    wrong = [each.exitcode for each in ranks if each.exitcode not in (0, -signal.SIGKILL)]
    if wrong:
        raise RuntimeError(f"a rank ended by itself with exit code {wrong[0]}")
    return killed


def undisturbed(spec: ImagesSpec, seed: int) -> list[str]:
    """What one process sees that nobody disturbs, without anything rendered ahead."""
    source = open_source(spec)
    loader = Loader(source, order=training_order(source, seed), global_batch_size=16)
    lines: list[str] = []
    for batch in loader:
        lines += lines_of(batch).splitlines()
        if len(lines) >= POSITIONS:
            return lines[:POSITIONS]
    raise AssertionError


def faults_of(history: Sequence[str], size: int) -> tuple[int, int]:
    """How many examples were lost, and how many seen twice, over the whole epochs in ``history``."""
    lost = repeated = 0
    for epoch in range(len(history) // size):
        counts = Counter(line.split()[2] for line in history[epoch * size : (epoch + 1) * size])
        lost += size - len(counts)
        repeated += sum(count - 1 for count in counts.values())
    return lost, repeated


def main() -> None:
    from benchmarks.killed_peer import PEER_EXAMPLES, peer_version

    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=56)
    parser.add_argument("--peer-runs", type=int, default=14)
    asked = parser.parse_args()
    rows: list[str] = []
    peers = ("datasets",) if asked.peer_runs else ()
    with tempfile.TemporaryDirectory() as scratch, prepared(Path(scratch), *peers) as places:
        if asked.runs:
            rows.append(_ours(places, asked.runs))
        if asked.peer_runs:
            runs = [_peer(places, number) for number in range(asked.peer_runs)]
            rows.append(
                _row(
                    peer_version(),
                    runs,
                    PEER_EXAMPLES,
                    [faults_of(run.history, PEER_EXAMPLES) == (0, 0) for run in runs],
                )
            )
    print("| loader | runs | processes | killed | runs as undisturbed | examples lost | examples repeated |")
    print("|---|---|---|---|---|---|---|")
    print("\n".join(rows))
    print(f"\nPython {sys.version.split()[0]}; {POSITIONS} positions a run.")


def _ours(places: Places, number_of_runs: int) -> str:
    runs, equal = [], []
    for number in range(number_of_runs):
        runs.append(disturbed(places.spec(number), number, places.fresh(), random.Random(number)))
        equal.append(runs[-1].history == undisturbed(places.near(number), number))
        print(f"run {number}: {sum(equal)} of {number + 1} as undisturbed", file=sys.stderr, flush=True)
    return _row("levelfield", runs, NUM_PICTURES - 2 * HELD_OUT, equal)


def _peer(places: Places, number: int) -> Run:
    from benchmarks.killed_peer import PEER_SHARE, serve_peer

    drawn = random.Random(number)
    return disturbed(places.near(number), number, places.fresh(), drawn, serve_peer, share=PEER_SHARE)


def _row(name: str, runs: Sequence[Run], size: int, equal: Sequence[bool]) -> str:
    faults = [faults_of(run.history, size) for run in runs]
    lost, repeated = (sum(each[kind] for each in faults) for kind in (0, 1))
    processes, kills = sum(run.processes for run in runs), sum(run.kills for run in runs)
    return f"| {name} | {len(runs)} | {processes} | {kills} | {sum(equal)} of {len(runs)} | {lost} | {repeated} |"


@dataclass
class Places:
    """Where the pictures lie: ``brought``, ``built`` in shards, and at ``url`` far away."""

    root: Path
    brought: Path
    built: Path
    url: str
    made: int = 0

    def near(self, number: int) -> ImagesSpec:
        """What an undisturbed run reads."""
        return spec_at(str(self.built), **_blocks(number))

    def spec(self, number: int) -> ImagesSpec:
        """What run ``number`` reads: every other one from far away."""
        return spec_at(self.url if number % 2 else str(self.built), **_blocks(number))

    def fresh(self) -> Path:
        """A folder for what is written down of a run; what was fetched from afar before is gone."""
        self.made += 1
        shutil.rmtree(Path(os.environ["LEVELFIELD_CACHE"]) / "remote", ignore_errors=True)
        folder = self.root / f"run-{self.made}"
        folder.mkdir()
        return folder


def _blocks(number: int) -> dict[str, Any]:
    return {"block_examples": 8, "window_blocks": 3} if number % 4 > 1 else {}


@contextlib.contextmanager
def prepared(root: Path, *preloaded: str) -> Iterator[Places]:
    """The pictures, built and served by a bad server, with a cache of their own."""
    from tests.far_away import BadServer

    from levelfield.data.ingest.build import build
    from levelfield.data.ingest.places import PlaceSaid, listed_forms

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["levelfield.data.loader", "obstore", *preloaded])
    brought = write_pictures(root / "brought")
    build(listed_forms(PlaceSaid(path=str(brought))), root / "built", shard_bytes=60_000)
    before = os.environ.get("LEVELFIELD_CACHE")
    os.environ["LEVELFIELD_CACHE"] = str(root / "cache")
    try:
        faults: dict[str, Any] = dict.fromkeys(("error", "cut", "short", "wrong", "closed"), 0.03)
        with BadServer(root / "built", latency_s=0.001, **faults) as bad:
            yield Places(root=root, brought=brought, built=root / "built", url=bad.url)
    finally:
        if before is None:
            del os.environ["LEVELFIELD_CACHE"]
        else:
            os.environ["LEVELFIELD_CACHE"] = before


if __name__ == "__main__":
    main()
