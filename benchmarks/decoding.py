"""Decode, random resized crop to 224 px and flip, against timm's transform: one thread, CPU seconds, interleaved.

    python -m benchmarks.decoding TAR [ROUNDS] [IMAGES]

TAR holds JPEGs below folders, ``PART/CLASS/FILE``; each part is measured for itself. Both end in uint8 [3, 224, 224].
Every round takes every picture by every way, in an order that turns; of each picture and way the least time counts.
Beside it stand the decode alone, and the same without simplejpeg. Memory is kept as in a worker of a study, for all
ways alike, and what crops are drawn by is drawn a batch at a time, as the loader does.
"""

from __future__ import annotations

import collections
import io
import os
import random
import statistics
import sys
import tarfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import timm
import torch
from PIL import Image
from timm.data.transforms_factory import transforms_imagenet_train

from levelfield.data import decode as room
from levelfield.data.augment.resized_crop import crop_draws, random_box
from levelfield.data.resize import resized
from levelfield.study.launch.environment import worker_environment

SIDE = 224
_SIMPLEJPEG = room.simplejpeg


FLIPS, WORDS = crop_draws(np.arange(128, dtype=np.uint64), np.arange(128))


def ours(encoded: bytes, draw: int) -> np.ndarray:
    whole = room.decode(encoded)
    square = resized(whole, random_box(whole.shape[1], whole.shape[0], WORDS[draw], least_area=0.08), SIDE)
    return np.ascontiguousarray(square[..., ::-1]) if FLIPS[draw] else square


def ours_by_pillow(encoded: bytes, draw: int) -> np.ndarray:
    room.simplejpeg = None
    try:
        return ours(encoded, draw)
    finally:
        room.simplejpeg = _SIMPLEJPEG


def timms(interpolation: str) -> Callable[[bytes, int], Any]:
    plain: dict[str, Any] = {"color_jitter": None, "use_prefetcher": True}
    transform: Any = transforms_imagenet_train(SIDE, interpolation=interpolation, **plain)
    return lambda encoded, draw: transform(Image.open(io.BytesIO(encoded)).convert("RGB"))


def decode_alone(encoded: bytes, draw: int) -> np.ndarray:
    assert _SIMPLEJPEG is not None
    return _SIMPLEJPEG.decode_jpeg(encoded)


WAYS: dict[str, Callable[[bytes, int], Any]] = {
    "timm's transform (Pillow, bicubic)": timms("bicubic"),
    "timm's transform (Pillow, bilinear)": timms("bilinear"),
    "ours (simplejpeg, torch, bicubic)": ours,
    "ours without simplejpeg": ours_by_pillow,
    "libjpeg-turbo, the whole picture, decode alone": decode_alone,
}


def pictures(path: str, most: int) -> dict[str, list[bytes]]:
    """The encoded pictures of a tar, by part; ``most`` of each, evenly."""
    found: dict[str, list[bytes]] = collections.defaultdict(list)
    with tarfile.open(path) as tar:
        for member in tar:
            file = tar.extractfile(member) if member.isfile() else None
            if file is not None and member.name.lower().endswith((".jpg", ".jpeg")):
                found[member.name.strip("./").split("/")[0]].append(file.read())
    return {part: each[:: max(1, len(each) // most)][:most] for part, each in found.items()}


def least_seconds(encoded: list[bytes], rounds: int) -> dict[str, np.ndarray]:
    """CPU seconds of every way, [pictures]."""
    seconds = {name: np.full(len(encoded), np.inf) for name in WAYS}
    names = list(WAYS)
    for turn in range(rounds):
        for place, content in enumerate(encoded):
            first = (turn + place) % len(names)
            for name in names[first:] + names[:first]:
                begun = time.process_time_ns()
                WAYS[name](content, (turn * len(encoded) + place) % len(WORDS))
                seconds[name][place] = min(seconds[name][place], (time.process_time_ns() - begun) / 1e9)
    return seconds


def main() -> None:
    path, rounds, most = sys.argv[1], *map(int, (*sys.argv[2:], *("12", "60")[len(sys.argv) - 2 :]))
    if os.environ.get("OMP_NUM_THREADS") != "1" or "MALLOC_MMAP_THRESHOLD_" not in os.environ:
        os.execve(sys.executable, [sys.executable, "-m", "benchmarks.decoding", *sys.argv[1:]], worker_environment(1))
    torch.set_num_threads(1)
    random.seed(0)
    versions = f"torch {torch.__version__}, timm {timm.__version__}, {room.decoder_name()}, Pillow {Image.__version__}"
    print(f"{rounds} rounds, one thread, {torch.backends.cpu.get_cpu_capability()}; {versions}")
    for part, encoded in pictures(path, most).items():
        found = least_seconds(encoded, rounds)
        peer = next(iter(found.values()))
        print(
            f"\n{part}: {len(encoded)} pictures, {np.mean([len(each) for each in encoded]) / 1e3:.0f} kB in the mean\n"
        )
        print("| | images per CPU-second | times timm's: all together | median picture | quartiles |")
        print("|---|---|---|---|---|")
        for name, seconds in found.items():
            low, middle, high = statistics.quantiles((peer / seconds).tolist(), n=4)
            rate, whole = len(seconds) / seconds.sum(), peer.sum() / seconds.sum()
            print(f"| {name} | {rate:,.0f} | {whole:.2f} | {middle:.2f} | {low:.2f} to {high:.2f} |")


if __name__ == "__main__":
    main()
