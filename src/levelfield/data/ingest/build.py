"""``levelfield data build``: what people bring, once and for all, as shards that any reader of WebDataset understands.

::

    OUT/manifest.json                    written last: a folder without it is not done, and the same command goes on
    OUT/skipped.csv                      every file that is none of the pictures, and why
    OUT/train/index.arrow                where each picture lies, in canonical order
    OUT/train/train-00000.tar, .arrow    the user's own bytes with KEY.cls (KEY.txt, KEY.json), and the shard's index
    OUT/train/texts.arrow                what is said of each picture, where something is
    OUT/train/masks.arrow                the same of masks, which lie as KEY.mask.png beside their pictures
    OUT/.building/                       while it is made: the listing, and shards that are done

Nothing is written anywhere else, and nothing in OUT is overwritten that was not made here.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from levelfield.data.ingest.build_plan import PartPlan, planned
from levelfield.data.ingest.built import BUILDING, MANIFEST, Manifest
from levelfield.data.ingest.format import Format, PairedFormat
from levelfield.data.ingest.packing import MasksTask, ShardTask, pack
from levelfield.data.ingest.publishing import published
from levelfield.records.errors import DataError, StoreError

SHARD_BYTES = 256 * 2**20
"""Of a shard, about: large enough to be few, small enough to be fetched whole."""


@dataclass(frozen=True, kw_only=True)
class Looked:
    """So many of so many pictures were looked at."""

    done: int
    total: int


def build(
    forms: Mapping[str, Format | PairedFormat],
    out: Path,
    *,
    workers: int = 1,
    shard_bytes: int = SHARD_BYTES,
    in_place: bool = False,
    told: Callable[[Looked], None] = lambda progress: None,
) -> Manifest:
    """Make the data set ``out`` of the parts ``forms``, or go on; ``in_place`` leaves pictures where they lie.

    Raises:
        DataError: the source cannot be read, or holds no picture that can.
        StoreError: ``out`` holds something else, is being made by another process, or cannot be written.
    """
    _refuse_taken(forms, out)
    for form in forms.values():
        pictures = form.pictures if isinstance(form, PairedFormat) else form
        if in_place and pictures.in_place() is None:
            raise DataError(f"{form.of} is dear to read at random: build it without --in-place, which copies pictures")
    work = out / BUILDING
    try:
        work.mkdir(parents=True, exist_ok=True)
        with _alone(work):
            plan = planned(forms, work, shard_bytes, in_place=in_place)
            tasks = {part: list(_tasks(part, each, forms[part], work)) for part, each in plan.parts.items()}
            _pack_all([task for own in tasks.values() for task in own], workers, told)
            manifest = published(plan, tasks, out)
        shutil.rmtree(work)
    except OSError as error:
        raise StoreError(f"{out} cannot be written: {error}") from None
    return manifest


def _refuse_taken(forms: Mapping[str, Format | PairedFormat], out: Path) -> None:
    if os.path.lexists(out / MANIFEST):
        raise StoreError(f"{out} holds a data set already: name another folder, or remove it")
    if out.is_dir() and not (out / BUILDING).is_dir() and any(out.iterdir()):
        raise StoreError(f"{out} holds something that was not built here: name an empty folder, or a new one")
    for form in forms.values():
        inside = os.path.realpath(form.of)
        if os.path.isdir(inside) and os.path.commonpath([inside, os.path.realpath(out)]) == inside:
            raise StoreError(f"{out} lies inside of {form.of}, which would be read again as data: name another place")


@contextmanager
def _alone(work: Path) -> Iterator[None]:
    lock = FileLock(work / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise StoreError(f"{work.parent} is being built by another process: wait for it") from None
    try:
        yield
    finally:
        lock.release()


def _tasks(part: str, plan: PartPlan, form: Format | PairedFormat, work: Path) -> Iterator[ShardTask]:
    pictures = form.pictures if isinstance(form, PairedFormat) else form
    masks = None
    if isinstance(form, PairedFormat):
        masks = MasksTask(listing=work / f"{part}.masks.listing.arrow", opener=form.masks.opener(), facts=form.facts)
    opener = pictures.opener()
    for number, start in enumerate(range(0, plan.rows, plan.rows_each)):
        yield ShardTask(
            tar=work / f"{part}-{number:05d}.tar",
            number=number,
            listing=work / f"{part}.listing.arrow",
            texts=work / f"{part}.texts.listing.arrow" if plan.texts else None,
            opener=opener,
            root=form.of if os.path.isdir(form.of) else os.path.dirname(os.path.abspath(form.of)),
            start=start,
            stop=min(start + plan.rows_each, plan.rows),
            shuffled=plan.shuffled,
            in_place=plan.in_place is not None,
            masks=masks,
        )


def _pack_all(tasks: Sequence[ShardTask], workers: int, told: Callable[[Looked], None]) -> None:
    todo = [task for task in tasks if not task.done.exists()]
    total = sum(task.stop - task.start for task in tasks)
    done = total - sum(task.stop - task.start for task in todo)
    told(Looked(done=done, total=total))
    if workers == 1 or len(todo) < 2:
        for task in todo:
            done += pack(task)
            told(Looked(done=done, total=total))
        return
    context = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(min(workers, len(todo)), mp_context=context) as pool:
        waiting, left = set[Future[int]](), iter(todo)
        try:
            while True:
                while len(waiting) < 2 * workers and (task := next(left, None)) is not None:
                    waiting.add(pool.submit(pack, task))
                if not waiting:
                    return
                finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                done += sum(future.result() for future in finished)
                told(Looked(done=done, total=total))
        finally:
            for future in waiting:
                future.cancel()
