"""Samples in WebDataset's convention: files of one key, told apart by what follows the first dot of their names.

``KEY.jpg`` is the picture, ``KEY.cls`` its label, a whole number or the name of a class; or ``KEY.json`` says it.
``KEY.txt`` is a text, and so is what JSON calls one. Pictures without labels are kept where none has one.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from levelfield.data.ingest.named_labels import numbered
from levelfield.data.ingest.tar_members import Member, Members
from levelfield.data.ingest.tree import is_image, visible, why_no_picture
from levelfield.data.manifest import UNLABELLED, Skipped
from levelfield.data.stores.tar import Shards
from levelfield.data.texts import MOST_TEXT_BYTES, texts_of_json, told
from levelfield.records.errors import DataError, quoted_names

LABEL_ENDINGS = frozenset({"cls", "json", "txt", "cls.txt", "caption", "text"})
_CAPTIONS = ("txt", "caption", "text")
_JSON_LABELS = ("label", "cls", "class", "target", "class_name", "category")


def is_keyed(members: Members) -> bool:
    """Whether most pictures have a file of the same key that says their label, or, all in one folder, a caption.

    A text beside some pictures of class folders, or a note in an archive of them, makes no samples of them.
    """
    pictures: set[tuple[int, str]] = set()
    labels: set[tuple[int, str]] = set()
    captions: set[tuple[int, str]] = set()
    for member in members.files:
        folder, _, name = member.name.rpartition("/")
        stem, _, ending = name.partition(".")
        key, ending = (member.shard, f"{folder}/{stem}"), ending.lower()
        if is_image(name):
            pictures.add(key)
        elif ending in LABEL_ENDINGS:
            (captions if ending in _CAPTIONS else labels).add(key)
    if 2 * len(pictures & labels) > len(pictures):
        return True
    folders = {key.rpartition("/")[0] for _, key in pictures}
    return len(folders) == 1 and 2 * len(pictures & (labels | captions)) > len(pictures)


@dataclass(frozen=True, kw_only=True)
class Samples:
    """Pictures in tars, the place of each in ``class_names``, what is said of each where something is, and what
    else was there."""

    pictures: list[Member]
    labels: list[int]
    class_names: tuple[str, ...]
    sorted_as_text: bool
    texts: list[tuple[str, ...]] | None = None
    skipped: Sequence[Skipped] = field(default=())


def samples_of(
    paths: Sequence[str], members: Members, *, label: str | None, text: str | None = None, of: str
) -> Samples:
    """The samples of the tars at ``paths``; ``label`` and ``text`` name keys in their JSON: of the label, and of texts.

    Raises:
        DataError: no sample has a picture, or nothing tells which of several keys is the label.
    """
    keyed, skipped = _keyed(members)
    shards = Shards(paths)
    found: list[Member] = []
    said: list[str | None] = []
    of_each: list[tuple[str, ...]] = []
    for parts in keyed.values():
        pictures = [ending for ending in parts if is_image(f"x.{ending}")]
        if len(pictures) != 1:
            why = "same-name" if pictures else "not-a-picture"
            skipped += [Skipped(member.name, why) for member in parts.values()] if pictures else []
            continue
        found.append(parts[pictures[0]])
        said.append(_label(shards, parts, label))
        of_each.append(_texts(shards, parts, text))
    if not found:
        raise DataError(f"{of} holds no pictures: expected KEY.jpg beside KEY.cls, KEY.json or KEY.txt")
    texts = of_each if any(of_each) else None
    if not any(text is not None for text in said):
        return Samples(
            pictures=found,
            labels=[0] * len(found),
            class_names=(UNLABELLED,),
            sorted_as_text=False,
            texts=texts,
            skipped=skipped,
        )
    whole = [row for row, text in enumerate(said) if text is not None]
    skipped += [Skipped(member.name, "unlabelled") for member, text in zip(found, said, strict=True) if text is None]
    names, labels, as_text = numbered([text for text in said if text is not None], of=of)
    return Samples(
        pictures=[found[row] for row in whole],
        labels=labels.tolist(),
        class_names=names,
        sorted_as_text=as_text,
        texts=None if texts is None else [texts[row] for row in whole],
        skipped=skipped,
    )


def _keyed(members: Members) -> tuple[dict[tuple[int, str], dict[str, Member]], list[Skipped]]:
    """The files of every sample by their endings."""
    found: dict[tuple[int, str], dict[str, Member]] = {}
    skipped = [*members.skipped]
    for member in members.files:
        folder, _, name = member.name.rpartition("/")
        if not all(map(visible, member.name.split("/"))):
            continue
        stem, _, ending = name.partition(".")
        ending = ending.lower()
        parts = found.setdefault((member.shard, f"{folder}/{stem}"), {})
        if ending in parts:
            skipped.append(Skipped(member.name, "same-name"))
        elif not is_image(name) and ending not in LABEL_ENDINGS:
            skipped.append(Skipped(member.name, why_no_picture(name)))
        else:
            parts[ending] = member
    return found, skipped


def _label(shards: Shards, parts: dict[str, Member], named: str | None) -> str | None:
    """What a sample says of its class; None where it says nothing."""
    if named is None:
        for ending in ("cls", "cls.txt"):
            if ending in parts:
                return _text(shards, parts[ending]) or None
    plain = _json(shards, parts)
    if not isinstance(plain, dict):
        return None
    keys = [named] if named is not None else [key for key in _JSON_LABELS if key in plain]
    values = {str(plain[key]) for key in keys if isinstance(plain.get(key), (int, str))}
    if len(values) > 1:
        raise DataError(
            f"{parts['json'].name} says {quoted_names(keys)}, each of which could be the label: name the key by "
            "label_column (--label-column)"
        )
    return next(iter(values), None)


def _json(shards: Shards, parts: dict[str, Member]) -> Any:
    """What the JSON of a sample says; None where there is none that can be read."""
    if "json" not in parts:
        return None
    try:
        return json.loads(_text(shards, parts["json"]))
    except (ValueError, RecursionError):
        return None


def _texts(shards: Shards, parts: dict[str, Member], named: str | None) -> tuple[str, ...]:
    """What is said of a picture: in files beside it, and in the JSON, under the key ``named`` if one is."""
    files = () if named is not None else (parts[ending] for ending in _CAPTIONS if ending in parts)
    beside = (_exactly(shards, member) for member in files)
    return told((*beside, *texts_of_json(_json(shards, parts), named)))


def _exactly(shards: Shards, member: Member) -> str:
    """The text of a file; empty where it is none in UTF-8."""
    if member.length > MOST_TEXT_BYTES:
        return ""
    try:
        return shards.read(member.shard, member.offset, member.length).decode("utf-8-sig")
    except UnicodeDecodeError:
        return ""


def _text(shards: Shards, member: Member) -> str:
    if member.length > MOST_TEXT_BYTES:
        return ""
    return shards.read(member.shard, member.offset, member.length).decode("utf-8", "replace").strip()
