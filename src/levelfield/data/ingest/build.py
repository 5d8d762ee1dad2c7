"""``levelfield data build``: what people bring, once and for all, as shards that any reader of WebDataset understands.

::

    OUT/manifest.json                    written last: a folder without it is not done, and the same command goes on
    OUT/skipped.csv                      every file that is none of the pictures, and why
    OUT/train/index.arrow                where each picture lies, in canonical order
    OUT/train/train-00000.tar, .arrow    the user's own bytes with KEY.cls (and KEY.txt), and the index of this shard
    OUT/.building/                       while it is made: the listing, and shards that are done

Nothing is written anywhere else, and nothing in OUT is overwritten that was not made here.
"""

from __future__ import annotations

import csv
import hashlib
import multiprocessing
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from levelfield import __version__
from levelfield.data.canonical import DIGEST_BYTES, DIGEST_RULE, num_shared
from levelfield.data.index import Index, ListedRows
from levelfield.data.ingest.built import BUILDING, INDEX, MANIFEST, Manifest, PartFacts, ShardFacts, sha256_of
from levelfield.data.ingest.format import Format, Listing
from levelfield.data.ingest.packing import PackedShard, ShardTask, SkippedPicture, check_names, pack
from levelfield.data.ingest.validity import decoders
from levelfield.data.manifest import SkipReason, contents_of
from levelfield.records.codec import record
from levelfield.records.errors import DataError, LevelfieldError, StoreError
from levelfield.records.sealed import read_record, write_record

SHARD_BYTES = 256 * 2**20
"""Of a shard, about: large enough to be few, small enough to be fetched whole."""

_MOST_IN_SHARD = 10**6
_PLAN = "plan.json"


@dataclass(frozen=True, kw_only=True)
class Progress:
    """``done`` of ``total`` pictures were looked at."""

    done: int
    total: int


@record
class PartPlan:
    """The shards that a part of a listing is cut into: ``rows`` in all, ``rows_each`` in one."""

    rows: int
    rows_each: int
    shuffled: bool
    captions: bool
    class_names: tuple[str, ...]
    sorted_as_text: bool


@record
class BuildPlan:
    """What a build that was begun was to make: of which files (by what the system said of them) and rule."""

    source: str
    parts: dict[str, PartPlan]
    skipped: tuple[SkippedPicture, ...]


def build(
    forms: Mapping[str, Format],
    out: Path,
    *,
    workers: int = 1,
    shard_bytes: int = SHARD_BYTES,
    told: Callable[[Progress], None] = lambda progress: None,
) -> Manifest:
    """Make the data set ``out`` of the parts ``forms``, or go on making it.

    Raises:
        DataError: the source cannot be read, or holds no picture that can.
        StoreError: ``out`` holds something else, is being made by another process, or cannot be written.
    """
    _refuse_taken(forms, out)
    work = out / BUILDING
    try:
        work.mkdir(parents=True, exist_ok=True)
        with _alone(work):
            plan = _planned(forms, work, shard_bytes)
            tasks = {part: list(_tasks(part, each, forms[part], work)) for part, each in plan.parts.items()}
            _pack_all([task for own in tasks.values() for task in own], workers, told)
            manifest = _published(plan, tasks, out)
        shutil.rmtree(work)
    except OSError as error:
        raise StoreError(f"{out} cannot be written: {error}") from None
    return manifest


def _refuse_taken(forms: Mapping[str, Format], out: Path) -> None:
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


def _planned(forms: Mapping[str, Format], work: Path, shard_bytes: int) -> BuildPlan:
    """The plan that was begun, where its source is as it was; else a new one, and what was made by the old is gone."""
    source = hashlib.blake2b(f"{DIGEST_RULE} {decoders()} {shard_bytes}".encode(), digest_size=16)
    for part, form in sorted(forms.items()):
        source.update(f"\0{part}\0{form.rule}\0".encode("utf-8", "surrogateescape"))
        for path in form.files():
            seen = os.stat(path)
            told = f"{path} {seen.st_size} {seen.st_mtime_ns} {seen.st_ctime_ns} {seen.st_ino}\0"
            source.update(told.encode("utf-8", "surrogateescape"))
    try:
        plan = read_record(BuildPlan, work / _PLAN)
        if plan.source == source.hexdigest():
            return plan
    except LevelfieldError:
        pass
    for old in work.iterdir():
        if old.name != ".lock":
            old.unlink()
    parts: dict[str, PartPlan] = {}
    skipped: list[SkippedPicture] = []
    for part, form in forms.items():
        listing = form.listed()
        check_names(list(listing.class_names))
        parts[part] = _cut(form, listing, shard_bytes)
        _write_listing(listing, work, part)
        skipped += [SkippedPicture(name=repr(each.name)[1:-1], why=each.why) for each in listing.skipped]
    unique = tuple(dict.fromkeys(skipped))  # parts of one archive tell of the same files
    plan = BuildPlan(source=source.hexdigest(), parts=parts, skipped=unique)
    write_record(work / _PLAN, plan)
    return plan


def _cut(form: Format, listing: Listing, shard_bytes: int) -> PartPlan:
    total = sum(os.stat(path).st_size for path in form.files())
    each = max(1, min(_MOST_IN_SHARD, shard_bytes * len(listing) // max(1, total)))
    return PartPlan(
        rows=len(listing),
        rows_each=each,
        shuffled=form.reads_at_random,
        captions=listing.captions is not None,
        class_names=listing.class_names,
        sorted_as_text=listing.sorted_as_text,
    )


def _write_listing(listing: Listing, work: Path, part: str) -> None:
    number = len(listing)
    rows = ListedRows(
        label=listing.labels.astype(np.int32),
        digest=np.zeros((number, DIGEST_BYTES), dtype=np.uint8),
        shard=listing.shards,
        offset=listing.offsets,
        length=listing.lengths,
        names=listing.names,
    )
    Index.unordered(rows).write(work / f"{part}.listing.arrow")
    if listing.captions is not None:
        texts = [text.encode("utf-8", "replace") for text in listing.captions]
        Index.unordered(rows.called(texts)).write(work / f"{part}.captions.arrow")


def _tasks(part: str, plan: PartPlan, form: Format, work: Path) -> Iterator[ShardTask]:
    opener = form.opener()
    for number, start in enumerate(range(0, plan.rows, plan.rows_each)):
        yield ShardTask(
            tar=work / f"{part}-{number:05d}.tar",
            number=number,
            listing=work / f"{part}.listing.arrow",
            captions=work / f"{part}.captions.arrow" if plan.captions else None,
            opener=opener,
            root=form.of if os.path.isdir(form.of) else os.path.dirname(os.path.abspath(form.of)),
            start=start,
            stop=min(start + plan.rows_each, plan.rows),
            shuffled=plan.shuffled,
        )


def _pack_all(tasks: Sequence[ShardTask], workers: int, told: Callable[[Progress], None]) -> None:
    todo = [task for task in tasks if not task.done.exists()]
    total = sum(task.stop - task.start for task in tasks)
    done = total - sum(task.stop - task.start for task in todo)
    told(Progress(done=done, total=total))
    if workers == 1 or len(todo) < 2:
        for task in todo:
            done += pack(task)
            told(Progress(done=done, total=total))
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
                told(Progress(done=done, total=total))
        finally:
            for future in waiting:
                future.cancel()


def _published(plan: BuildPlan, tasks: Mapping[str, Sequence[ShardTask]], out: Path) -> Manifest:
    """The manifest, once everything that it names stands where it says."""
    skipped = [*plan.skipped]
    parts: dict[str, PartFacts] = {}
    indices: dict[str, Index] = {}
    for part, own in tasks.items():
        (out / part).mkdir(exist_ok=True)
        shards = []
        for task in own:
            packed = read_record(PackedShard, task.done)
            skipped += packed.skipped
            shards.append(
                ShardFacts(
                    name=task.tar.name, num_bytes=packed.num_bytes, examples=packed.examples, sha256=packed.sha256
                )
            )
            for made in (task.tar, task.index):
                if made.exists():
                    os.replace(made, out / part / made.name)
        index = Index.merged([Index.open(out / part / task.index.name) for task in own])
        if not len(index):
            raise DataError(f"{part} holds no picture that can be read: {out / BUILDING} says why of each")
        (out / part / INDEX).unlink(missing_ok=True)
        index.write(out / part / INDEX)
        each = plan.parts[part]
        parts[part] = PartFacts(
            contents=contents_of(index, each.class_names, sorted_as_text=each.sorted_as_text),
            index_sha256=sha256_of(out / part / INDEX),
            shards=tuple(shards),
            shuffled=each.shuffled,
        )
        indices[part] = index
    _write_skipped(skipped, out)
    counts: dict[SkipReason, int] = dict(Counter(each.why for each in skipped))
    manifest = Manifest(
        parts=parts,
        skipped=counts,
        also_in_train={
            part: num_shared(indices["train"].digests, index.digests)[0]
            for part, index in indices.items()
            if part != "train" and "train" in indices
        },
        decoders=decoders(),
        digest_rule=DIGEST_RULE,
        levelfield=__version__,
    )
    write_record(out / MANIFEST, manifest)
    return manifest


def _write_skipped(skipped: Sequence[SkippedPicture], out: Path) -> None:
    with open(out / "skipped.csv", "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("name", "why", "seen"))
        table.writerows((each.name, each.why, each.said) for each in skipped)
