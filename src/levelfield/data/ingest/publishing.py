"""Shards that are done, put where they belong, and the manifest that names them: written when all of it stands."""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from levelfield import __version__
from levelfield.data.canonical import DIGEST_RULE, num_shared
from levelfield.data.index import Index
from levelfield.data.ingest.build_plan import BuildPlan, PartPlan
from levelfield.data.ingest.built import (
    BUILDING,
    INDEX,
    MANIFEST,
    MASKS,
    TEXTS,
    Manifest,
    PartFacts,
    PartMasks,
    PartTexts,
    ShardFacts,
    sha256_of,
)
from levelfield.data.ingest.packing import PackedShard, ShardTask, SkippedPicture
from levelfield.data.ingest.validity import decoders
from levelfield.data.manifest import SkipReason, contents_of, paired_contents, said_contents
from levelfield.records.errors import DataError
from levelfield.records.sealed import read_record, write_record


def published(plan: BuildPlan, tasks: Mapping[str, Sequence[ShardTask]], out: Path) -> Manifest:
    """The manifest, once everything that it names stands where it says."""
    skipped = [*plan.skipped]
    parts: dict[str, PartFacts] = {}
    indices: dict[str, Index] = {}
    for part, own in tasks.items():
        packed = [read_record(PackedShard, task.done) for task in own]
        skipped += [each for shard in packed for each in shard.skipped]
        indices[part] = _index_of(plan.parts[part], own, out / part)
        parts[part] = _facts_of(plan.parts[part], own, packed, indices[part], out / part)
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


def _index_of(plan: PartPlan, tasks: Sequence[ShardTask], folder: Path) -> Index:
    """The index of a part, written, once its shards and theirs stand in its ``folder``; so is that of its masks, and of
    what is said of its pictures."""
    folder.mkdir(exist_ok=True)
    for task in tasks:
        for made in task.made:
            if made.exists():
                os.replace(made, folder / made.name)
    own = {made.name for task in tasks for made in task.made}
    for stray in folder.iterdir():  # of a build that was begun of other files
        if stray.name not in own:
            stray.unlink()
    pictures = [Index.open(folder / task.index.name) for task in tasks]
    if not sum(map(len, pictures)):
        raise DataError(f"{folder.name} holds no picture that can be read: {folder.parent / BUILDING} says why of each")
    if plan.texts:
        index, texts = Index.merged_said(pictures, [Index.open(folder / task.text_index.name) for task in tasks])
        texts.write(folder / TEXTS)
    elif plan.masks is None:
        index = Index.merged(pictures)
    else:
        index, masks = Index.merged_pairs(pictures, [Index.open(folder / task.mask_index.name) for task in tasks])
        masks.write(folder / MASKS)
    index.write(folder / INDEX)
    return index


def _facts_of(
    plan: PartPlan, tasks: Sequence[ShardTask], packed: Sequence[PackedShard], index: Index, folder: Path
) -> PartFacts:
    shards = tuple(
        ShardFacts(name=task.tar.name, num_bytes=each.num_bytes, examples=each.examples, sha256=each.sha256)
        for task, each in zip(tasks, packed, strict=True)
    )
    contents = contents_of(index, plan.class_names, sorted_as_text=plan.sorted_as_text)
    masks = None
    if plan.masks is not None:
        contents = paired_contents(index, Index.open(folder / MASKS), plan.masks.facts)
        masks = PartMasks(facts=plan.masks.facts, index_sha256=sha256_of(folder / MASKS), in_place=plan.masks.in_place)
    return PartFacts(
        texts=_texts_of(plan, index, folder) if plan.texts else None,
        contents=contents,
        index_sha256=sha256_of(folder / INDEX),
        shards=() if plan.in_place else shards,
        shuffled=plan.shuffled,
        in_place=plan.in_place,
        masks=masks,
    )


def _texts_of(plan: PartPlan, index: Index, folder: Path) -> PartTexts | None:
    """What is said of the pictures; None where nothing is of any that can be read."""
    texts = Index.open(folder / TEXTS)
    rows = np.flatnonzero(texts.lengths > 0)
    if not len(rows):
        return None
    contents = said_contents(index.at(rows), texts.at(rows), plan.class_names, sorted_as_text=plan.sorted_as_text)
    num_texts = int(texts.lengths.sum())
    return PartTexts(contents=contents, num_texts=num_texts, index_sha256=sha256_of(folder / TEXTS))


def _write_skipped(skipped: Sequence[SkippedPicture], out: Path) -> None:
    with open(out / "skipped.csv", "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("name", "why", "seen"))
        table.writerows((each.name, each.why, each.said) for each in skipped)
