"""What is known of a set of labelled pictures as a whole: found out once and kept beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from levelfield.data.canonical import content_fingerprint, num_twins, paired_fingerprint, said_fingerprint
from levelfield.data.classes import Classes
from levelfield.data.index import Index
from levelfield.records.codec import later, record

SkipReason: TypeAlias = Literal[
    "not-a-picture",
    "video",
    "sidecar",
    "link",
    "outside",
    "special",
    "sparse",
    "empty",
    "format",
    "damaged",
    "pixels",
    "unlabelled",
    "missing",
    "unreadable",
    "same-name",
    "mask",
    "no-text",
]
"""Why a file is none of the pictures; the sentences are in report/words/skipped.py."""


UNLABELLED = "unlabelled"
"""The one class of pictures of which none has a label: those with captions alone, or with masks."""


class Skipped(NamedTuple):
    """A file that is none of the pictures."""

    name: str
    why: SkipReason


@record
class Contents:
    """``num_by_class`` are the pictures of each of ``class_names``; ``twins`` those that stand there twice, byte for
    byte, of which ``contradicted`` under another class; ``fingerprint`` names labels and bytes, see
    :func:`levelfield.data.canonical.content_fingerprint` (of pictures with masks
    :func:`levelfield.data.canonical.paired_fingerprint`)."""

    class_names: tuple[str, ...]
    num_by_class: tuple[int, ...]
    twins: int
    fingerprint: str
    sorted_as_text: bool = later(default=False)
    contradicted: int = later(default=0)

    @property
    def num_examples(self) -> int:
        return sum(self.num_by_class)

    @property
    def used(self) -> list[int]:
        """The classes that pictures have."""
        return [label for label, number in enumerate(self.num_by_class) if number]

    def classes(self, of: str) -> Classes:
        """The classes, of a set that messages call ``of``."""
        return Classes(names=self.class_names, of=of, sorted_as_text=self.sorted_as_text)


@record
class MaskFacts:
    """What the masks of a set say: the ``names`` of the classes of pixels by number, and the value in files of pixels
    that belong to none. ``framed`` says that what pictures are called names frames of films.

    Classes are the whole numbers from 0 that are not ``ignore_index``, in order: a class that files number before it
    keeps its number, one after it moves down by one.
    """

    names: tuple[str, ...]
    ignore_index: int
    framed: bool

    @property
    def values(self) -> tuple[int, ...]:
        """How files number each class."""
        return tuple(value for value in range(len(self.names) + 1) if value != self.ignore_index)[: len(self.names)]


def paired_contents(pictures: Index, masks: Index, facts: MaskFacts) -> Contents:
    """What is known of ``pictures`` and their ``masks``, row by row, as a whole; every row is looked at."""
    return Contents(
        class_names=(UNLABELLED,),
        num_by_class=(len(pictures),),
        twins=num_twins(pictures.digests, pictures.labels)[0],
        fingerprint=paired_fingerprint(
            pictures.digests, masks.digests, num_classes=len(facts.names), ignore_index=facts.ignore_index
        ),
    )


def said_contents(pictures: Index, texts: Index, class_names: Sequence[str], *, sorted_as_text: bool) -> Contents:
    """What is known of ``pictures`` and of what is said of them, row by row, as a whole; every row is looked at."""
    twins, contradicted = num_twins(pictures.digests, pictures.labels)
    return Contents(
        class_names=tuple(class_names),
        num_by_class=tuple(np.bincount(pictures.labels, minlength=len(class_names)).tolist()),
        twins=twins,
        contradicted=contradicted,
        fingerprint=said_fingerprint(pictures.labels, pictures.digests, texts.digests, classes=class_names),
        sorted_as_text=sorted_as_text,
    )


def contents_of(index: Index, class_names: Sequence[str], *, sorted_as_text: bool) -> Contents:
    """What is known of the pictures of ``index`` as a whole; every row is looked at."""
    twins, contradicted = num_twins(index.digests, index.labels)
    return Contents(
        class_names=tuple(class_names),
        num_by_class=tuple(np.bincount(index.labels, minlength=len(class_names)).tolist()),
        twins=twins,
        contradicted=contradicted,
        fingerprint=content_fingerprint(index.labels, index.digests),
        sorted_as_text=sorted_as_text,
    )
