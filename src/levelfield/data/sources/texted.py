"""Three splits over pictures with texts: parts that lie apart, or drawn out of the training part."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from levelfield.data.canonical import num_shared
from levelfield.data.classes import match_classes
from levelfield.data.draws import Int64s, UInt64s, below, draw_bits, key_words, mix64
from levelfield.data.order import Permutation
from levelfield.data.said import say
from levelfield.data.source import Examples, check_ids
from levelfield.data.sources.images import ImageTable
from levelfield.data.sources.seen import cropped, plain
from levelfield.data.stores.texted import TextedStore
from levelfield.data.tokens import ByteTokens, ClipTokens, SeenTokens, Tokenizer, Tokens
from levelfield.records.data import Split, TextedImagesSpec, num_report_asked
from levelfield.records.errors import DataError
from levelfield.records.fields import FieldFacts
from levelfield.records.fingerprint import digest

_TOKENS_KEPT = 1 << 16
"""Pictures whose texts are kept as tokens: 100 MB of five texts of 77 each."""


class TextedSource:
    """Pictures with texts: the fields "image" uint8 ``[B, 3, R, R]``, "text" int32 ``[B, C, context]`` and, where all
    parts are labelled, "label" int64 ``[B]``.

    ``parts`` must hold "train"; of "select" and "report" those that are missing are ranks of a permutation of the
    training part that is keyed by its content. Trained on is one text, C = 1, drawn by the key of the example; plainly
    seen are as many as any picture has, up to ``spec.captions``, the first ones in the order of their letters.

    Raises:
        DataError: too few pictures are left to train on, or to tell a held-out one apart from.
    """

    in_channels = 3
    no_verdict_because = None

    def __init__(self, spec: TextedImagesSpec, parts: Mapping[Split, TextedStore]) -> None:
        self.spec, self.resolution, self._stores = spec, spec.resolution, parts
        said = {"resolution": spec.resolution, "mask_corrupt": spec.corrupt == "mask"}
        self._tables = {split: ImageTable(part.pictures, **said) for split, part in parts.items()}
        train = parts["train"]
        drawn: dict[Split, int] = {"report": num_report_asked(spec), "select": spec.select_examples}
        self._ranks: dict[Split, int] = {split: 0 if split in parts else number for split, number in drawn.items()}
        left = len(train) - sum(self._ranks.values())
        if left < 1:
            raise DataError(
                f"{spec.path} holds {len(train)} pictures with texts; select_examples = {self._ranks['select']} and "
                f"report_examples = {self._ranks['report']} taken out of them leave none to train on: lower them"
            )
        sizes: dict[Split, int] = {"train": left}
        sizes |= {split: number or len(parts[split]) for split, number in self._ranks.items()}
        self.split_sizes: Mapping[Split, int] = sizes
        self._refuse_few()
        prints = (f"{name} {parts[name].contents.fingerprint}" for name in sorted(parts))
        self.fingerprint = digest(" ".join(prints).encode())
        self._split = Permutation.of(len(train), "split", train.contents.fingerprint, spec.seed)
        self._places = self._classes()
        labelled = self._places is not None
        self.class_names = train.contents.class_names if labelled else ()
        self._tokens = self._tokenizer()
        self._of_row = functools.lru_cache(maxsize=_TOKENS_KEPT)(self._tokens_of)
        self.fields = FieldFacts(
            names=("image", "text", *(("label",) if labelled else ())),
            num_classes=len(self.class_names) if labelled else None,
            vocabulary=self._tokens.vocabulary,
            context=spec.context,
            candidates=spec.candidates,
        )
        self._most = {split: min(spec.captions, int(part.num_texts().max())) for split, part in parts.items()}
        self.remarks = tuple(self._remarks())
        for remark in self.remarks:
            say(f"{spec.path}: {remark}")

    @functools.cached_property
    def prompts(self) -> Tokens | None:
        """See :class:`levelfield.data.source.Prompted`."""
        if not self.class_names:
            return None
        ways = [prompt.replace("{}", name) for name in self.class_names for prompt in self.spec.prompts]
        return self._tokens(ways, self.spec.context).reshape(len(self.class_names), len(self.spec.prompts), -1)

    def texts_judged(self, split: Split) -> int:
        """See :class:`levelfield.data.source.Prompted`."""
        return self._most.get(split, self._most["train"])

    def batch(self, split: Split, ids: Int64s, augment_keys: UInt64s | None = None) -> Examples:
        """See :meth:`levelfield.data.source.Source.batch`."""
        ids = check_ids(ids, self.split_sizes[split], split)
        part, numbers = self._locate(split, ids)
        table, keys = self._tables[part], augment_keys if split == "train" else None
        if keys is not None and self.spec.augment == "resized-crop":
            images, valid = cropped(table, numbers, keys, ids, least_area=self.spec.least_crop_area)
        else:
            images, valid = plain(table, numbers)
        fields = {"image": images, "text": self._texts(part, numbers, ids, keys)}
        if self._places is not None:
            fields["label"] = self._places[part][table.store.labels[numbers]]
        return Examples(fields, valid)

    def digests(self, split: Split) -> NDArray[np.uint8]:
        """The digests ``[n, 16]`` of the pictures of a split."""
        part, numbers = self._locate(split, np.arange(self.split_sizes[split], dtype=np.int64))
        return self._stores[part].pictures.digests[numbers]

    @property
    def far(self) -> bool:
        """See :class:`levelfield.data.foresight.Far`."""
        return any(part.pictures.far for part in self._stores.values())

    def expect(self, split: Split, ids: Int64s) -> None:
        """See :class:`levelfield.data.foresight.Far`."""
        part, numbers = self._locate(split, ids)
        self._stores[part].pictures.expect(numbers)

    def _locate(self, split: Split, ids: Int64s) -> tuple[Split, Int64s]:
        """The part that holds a split, and the rows of its ``ids`` there."""
        if split in self._stores and split != "train":
            return split, ids
        first = {"report": 0, "select": self._ranks["report"]}.get(split, sum(self._ranks.values()))
        return "train", self._split.forward(ids + first)

    def _texts(self, part: Split, numbers: Int64s, ids: Int64s, keys: UInt64s | None) -> Tokens:
        """One drawn text of each, int32 [B, 1, context], or the first ones of each [B, C, context]."""
        rows = [self._of_row(part, number) for number in numbers.tolist()]
        if keys is not None:
            words = draw_bits(mix64(keys ^ _CAPTION_KEY), ids, 1)[:, 0]
            return np.stack([row[below(word, len(row))][None] for row, word in zip(rows, words, strict=True)])
        most = self._most[part]
        found = np.zeros((len(rows), most, self.spec.context), dtype=np.int32)
        for place, row in enumerate(rows):
            found[place, : len(row)] = row[:most]
        return found

    def _tokens_of(self, part: Split, number: int) -> Tokens:
        return self._tokens(self._stores[part].texts(number), self.spec.context)

    def _tokenizer(self) -> Tokenizer:
        whole = ClipTokens() if self.spec.tokenizer == "clip" else ByteTokens()
        if self.spec.vocabulary == "whole":
            return whole
        train = self._stores["train"]
        _, rows = self._locate("train", np.arange(self.split_sizes["train"], dtype=np.int64))
        texts = [text for row in rows.tolist() for text in train.texts(row)]
        return SeenTokens(whole, whole(texts, self.spec.context))

    def _classes(self) -> dict[Split, Int64s] | None:
        """By part, which class of the training part each of its own is; None where not all parts are labelled.

        Raises:
            DataError: one has a class that the training part has none of.
        """
        if not all(part.is_labelled for part in self._stores.values()):
            return None
        ours = self._stores["train"].pictures.classes
        return {
            split: match_classes(part.pictures.classes, ours, part.contents.used)[0]
            for split, part in self._stores.items()
        }

    def _refuse_few(self) -> None:
        held_out: tuple[Split, ...] = ("select", "report")
        for split in held_out:
            if self.split_sizes[split] < self.spec.candidates:
                raise DataError(
                    f"the {split} part of {self.spec.path} holds {self.split_sizes[split]} pictures with texts, each "
                    f"to be told apart from others, candidates = {self.spec.candidates} in all: lower candidates"
                )

    def _remarks(self) -> Iterator[str]:
        """Which held-out pictures are also trained on, and which labels say nothing."""
        train = self._stores["train"].pictures.digests
        for split in get_args(Split):
            if split != "train" and split in self._stores:
                shared, of = num_shared(train, self._stores[split].pictures.digests)
                if shared:
                    yield f"{shared} of {of} {split} pictures are also trained on, byte for byte"
        labelled = [split for split, part in self._stores.items() if part.is_labelled]
        if labelled and self._places is None:
            yield f"only some parts are labelled ({', '.join(labelled)}), so no classes are told by their names"


_CAPTION_KEY = key_words(1, "caption")[0]
"""Texts are drawn apart from crops."""
