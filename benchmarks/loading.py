"""A whole loader of JPEG files with two workers, against timm's ``create_loader``: CPU seconds, interleaved.

    python -m benchmarks.loading TAR [ROUNDS] [IMAGES]

Files of TAR (``PART/CLASS/FILE``) are written out, and both read, decode, crop (random resized, 224 px, bicubic), flip
and batch them as uint8 [64, 3, 224, 224], in a random order. timm's loader is its DataLoader without the float32 that
its PrefetchLoader makes on the main thread; ours reads by threads and compares every file with its digest, as always.
Nothing decoded is kept. CPU seconds are those of the process and of the workers that it waited for. Where torchcodec is
installed, its decoder with torchvision's transform in a DataLoader is measured as well; where SPDL is and finds the
libraries of FFmpeg, a pipeline of its threads, in which FFmpeg crops, scales (bicubic) and flips.
"""

from __future__ import annotations

import itertools
import os
import random
import resource
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import Any

import timm
import torch
from timm.data import create_dataset, create_loader

from benchmarks.decoding import pictures
from levelfield.data import decoded
from levelfield.data.arranged import training_order
from levelfield.data.loader import Loader
from levelfield.data.sources import open_source
from levelfield.records.data import ImagesSpec
from levelfield.study.launch.environment import worker_environment

SIDE, BATCH, WORKERS = 224, 64, 2


def write_out(encoded: list[bytes], folder: Path) -> None:
    """As an image folder of two classes."""
    for number, content in enumerate(encoded):
        file = folder / "ab"[number % 2] / f"{number:04}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)


def ours(folder: Path, batches: int) -> Callable[[], None]:
    spec = ImagesSpec(
        path=str(folder), resolution=SIDE, augment="resized-crop-flip", select_examples=2, report_examples=2
    )
    source = open_source(spec)
    order, rounds = training_order(source, 0), itertools.count()

    def run() -> None:
        start = next(rounds) * batches * BATCH
        loader = Loader(
            source,
            order=order,
            global_batch_size=BATCH,
            start_examples=start,
            end_examples=start + batches * BATCH,
            prefetch=WORKERS,
        )
        assert sum(len(batch) for batch in loader) == batches * BATCH

    return run


def timms(folder: Path, batches: int) -> Callable[[], None]:
    pictures: Any = create_dataset("", root=str(folder), split="train", is_training=True)
    plain: dict[str, Any] = {"color_jitter": None}
    whole: Any = create_loader(
        pictures,
        input_size=(3, SIDE, SIDE),
        batch_size=BATCH,
        is_training=True,
        num_workers=WORKERS,
        interpolation="bicubic",
        device=torch.device("cpu"),
        persistent_workers=False,
        **plain,
    )
    return lambda: exhaust(whole.loader, batches)


def torchcodecs(folder: Path, batches: int) -> Callable[[], None]:
    """Raises ImportError where there is none."""
    from torchcodec.decoders import decode_jpeg  # pyright: ignore[reportMissingImports]
    from torchvision.transforms import v2

    transform = v2.Compose(
        [
            v2.RandomResizedCrop(SIDE, interpolation=v2.InterpolationMode.BICUBIC, antialias=True),
            v2.RandomHorizontalFlip(),
        ]
    )
    files = sorted(folder.rglob("*.jpg"))

    class Files(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return len(files)

        def __getitem__(self, number: int) -> tuple[Any, int]:
            image = decode_jpeg(torch.frombuffer(bytearray(files[number].read_bytes()), dtype=torch.uint8))
            return transform(image.expand(3, -1, -1)), number % 2

    loader = torch.utils.data.DataLoader(Files(), BATCH, shuffle=True, num_workers=WORKERS, drop_last=True)
    return lambda: exhaust(loader, batches)


def spdls(folder: Path, batches: int) -> Callable[[], None]:
    """Raises ImportError where there is none, RuntimeError where it finds no FFmpeg."""
    import spdl.io  # pyright: ignore[reportMissingImports]
    from spdl.pipeline import PipelineBuilder  # pyright: ignore[reportMissingImports]
    from torchvision.transforms import RandomResizedCrop

    files = sorted(folder.rglob("*.jpg"))
    spdl.io.load_image(files[0].read_bytes())

    def decoded_crop(file: Path) -> Any:
        packets = spdl.io.demux_image(file.read_bytes())
        picture = torch.empty((1, packets.height, packets.width), device="meta")
        top, left, height, width = RandomResizedCrop.get_params(picture, [0.08, 1.0], [3 / 4, 4 / 3])
        asked = [f"crop={width}:{height}:{left}:{top}:exact=1", f"scale={SIDE}:{SIDE}:flags=bicubic"]
        asked += ["hflip"] * (random.random() < 0.5)
        return spdl.io.decode_packets(packets, filter_desc=",".join((*asked, "format=pix_fmts=rgb24")))

    def batched(frames: list[Any]) -> torch.Tensor:
        return torch.from_numpy(spdl.io.to_numpy(spdl.io.convert_frames(frames))).permute(0, 3, 1, 2)

    def run() -> None:
        order = random.sample(files, len(files))
        built = PipelineBuilder().add_source(order).pipe(decoded_crop, concurrency=WORKERS)
        built = built.aggregate(BATCH, drop_last=True).pipe(batched).add_sink(2)
        with (pipeline := built.build(num_threads=WORKERS)).auto_stop():
            seen = sum(batch.shape == (BATCH, 3, SIDE, SIDE) for batch in pipeline)
        assert seen >= batches, seen

    return run


def exhaust(loader: Any, batches: int) -> None:
    """All of it, so that its workers end."""
    seen = sum(1 for _ in loader)
    assert seen >= batches, seen


def cpu_seconds() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return process_time() + children.ru_utime + children.ru_stime


def main() -> None:
    path, rounds, most = sys.argv[1], *map(int, (*sys.argv[2:], *("8", "640")[len(sys.argv) - 2 :]))
    if os.environ.get("OMP_NUM_THREADS") != "1" or "MALLOC_MMAP_THRESHOLD_" not in os.environ:
        os.execve(sys.executable, [sys.executable, "-m", "benchmarks.loading", *sys.argv[1:]], worker_environment(1))
    torch.set_num_threads(1)
    decoded._ROOM = decoded._Room(0)
    print(f"{rounds} rounds, {WORKERS} workers, batches of {BATCH}; torch {torch.__version__}, timm {timm.__version__}")
    with tempfile.TemporaryDirectory() as folder:
        encoded = max(pictures(path, most).values(), key=len)
        write_out(encoded, Path(folder))
        batches = len(encoded) // BATCH
        ways = {"timm's create_loader": timms(Path(folder), batches), "ours": ours(Path(folder), batches)}
        for name, peer in {"torchcodec, torchvision, DataLoader": torchcodecs, "SPDL (FFmpeg)": spdls}.items():
            try:
                ways[name] = peer(Path(folder), batches)
            except (ImportError, RuntimeError) as error:
                print(f"not measured: {name} ({str(error).splitlines()[0]})")
        seconds = measured(ways, rounds)
    peer = seconds["timm's create_loader"]
    print("\n| | images per CPU-second | timm's CPU seconds over its own: median | quartiles |")
    print("|---|---|---|---|")
    for name, each in seconds.items():
        low, middle, high = statistics.quantiles([their / my for their, my in zip(peer, each, strict=True)], n=4)
        rate = batches * BATCH / statistics.median(each)
        print(f"| {name} | {rate:,.0f} | {middle:.2f} | {low:.2f} to {high:.2f} |")


def measured(ways: dict[str, Callable[[], None]], rounds: int) -> dict[str, list[float]]:
    """CPU seconds of every way, a round each, in an order that turns; the first round warms up."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    names = list(ways)
    for turn in range(rounds + 1):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            begun = cpu_seconds()
            ways[name]()
            if turn:
                seconds[name].append(cpu_seconds() - begun)
    return seconds


if __name__ == "__main__":
    main()
