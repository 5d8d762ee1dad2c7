"""Label layouts: folders and Parquet whose classes are named, numbered, ordered and laid out in many ways.

A picture's class can be read off its colour, whatever its folder or its label says. So the oracle knows the class of
every picture: a source that opens must give each label one colour, the same in every split, and leave no class
untrained; and a network that tells colours without fault must score 100 % on labelled pictures, or they are refused.
"""

from __future__ import annotations

import io
import json
import random
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from levelfield.data.ingest.places import PlaceSaid
from levelfield.data.sources import Source, open_source
from levelfield.families import registry
from levelfield.inference.labelled import score_place
from levelfield.records.data import ImagesSpec
from levelfield.weights.card import Card
from levelfield.weights.loaded import LoadedModel
from levelfield.weights.preprocessing import Preprocessing
from tests.narrowed import present

COUNT = 600
SIDE = 8
PALETTE = np.array(
    [(40 + 170 * (c % 2), 40 + 85 * (c // 2 % 3), 40 + 170 * (c // 6)) for c in range(12)], dtype=np.uint8
)
_WORDS = ("ant", "bee", "cat", "dog", "elk", "fox", "gnu", "hen", "jay", "kite", "Mole", "newt", "owl")
_ACCENTS = ("árbol", "été", "ïle", "ñu", "öl", "über", "ça", "år", "tea", "øre", "zoë", "aï")


@dataclass(frozen=True, kw_only=True)
class World:
    """``names`` of the true classes, and the ``numbers`` that they have where nobody names them."""

    names: tuple[str, ...]
    numbers: tuple[int, ...]

    @property
    def size(self) -> int:
        return len(self.names)

    @property
    def by_number(self) -> list[int] | None:
        """The classes in the order of their numbers, where these count from 0."""
        order = sorted(range(self.size), key=self.numbers.__getitem__)
        return order if sorted(self.numbers) == list(range(self.size)) else None


def attempt(seed: int, index: int, folder: Path) -> str:
    """Case ``index`` of ``seed``; see ``tests/hostile``."""
    draw = random.Random(f"{seed}/{index}")
    size, kind = draw.randint(2, 12), draw.choice(list(_SCHEMES))
    names = list(_SCHEMES[kind](draw, size))
    as_folder = draw.random() < 0.6
    named = as_folder or draw.random() < 0.5
    if not named and kind not in _NUMBERED:
        names.sort(key=str.encode)  # the order in which folders so called number classes
    places = sorted(range(size), key=lambda c: names[c].encode()) if as_folder else draw.sample(range(size), size)
    world = World(names=tuple(names), numbers=_numbers(kind, places if named else range(size)))
    counts = [draw.randint(1, 6) for _ in range(size)]
    write = _write_folder if as_folder else _write_parquet
    train = write(draw, folder / "train_part", world, counts, places if named else None)
    report = None
    if draw.random() < 0.6:
        report = _held_out(draw, folder / "held_part", world, as_folder=as_folder, named=named)
    held: Any = {"select_examples": draw.randint(1, 3), "report_examples": draw.randint(1, 3), "resolution": SIDE}
    source = open_source(ImagesSpec(path=train, report_path=report, augment="none", seed=index, **held))
    if wrong := _labels_against_colours(source):
        return f"wrong: {wrong}"
    taught, outputs = _colours_of(source), source.class_names
    if draw.random() < 0.3 and max(world.numbers) <= size:  # as somebody would keep it who keeps no names
        taught, outputs = [-1] * (1 + max(world.numbers)), None
        for c, number in enumerate(world.numbers):
            taught[number] = c
    # Folders of names are taken in their order by a network without names, so that must have been the order.
    of_folders = draw.random() < 0.5 and (outputs is not None or as_folder or not named)
    judged = _held_out(draw, folder / "judged_part", world, as_folder=of_folders, named=named and outputs is not None)
    network = telling(taught, outputs)
    found, unreadable, _ = score_place(PlaceSaid(path=judged), network, device=torch.device("cpu"))
    if unreadable or found.top1.estimate != 1.0:
        return f"wrong: {found.top1.estimate:.0%} for 100 % ({kind}, {size} classes, {judged})"
    return "right"


_SCHEMES: dict[str, Callable[[random.Random, int], Sequence[str]]] = {
    "words": lambda draw, size: draw.sample(_WORDS, size),
    "accents": lambda draw, size: draw.sample(_ACCENTS, size),
    "numbers": lambda draw, size: [str(c) for c in range(size)],
    "padded": lambda draw, size: [f"{c:02}" for c in range(size)],
    "from one": lambda draw, size: [str(c + 1) for c in range(size)],
    "years": lambda draw, size: [str(year) for year in draw.sample(range(1950, 2050), size)],
    "letters": lambda draw, size: [f"class_{c}" for c in range(size)],
    "letters from one": lambda draw, size: [f"class{c + 1}" for c in range(size)],
    "wordnet": lambda draw, size: [f"n{number:08}" for number in draw.sample(range(10**7), size)],
}


_NUMBERED = ("numbers", "padded", "letters", "from one")
"""Schemes whose names say numbers that classes are told by."""


def _numbers(kind: str, places: Sequence[int]) -> tuple[int, ...]:
    """What the classes are where they have no names: the number that their name is, else their place."""
    if kind in _NUMBERED:
        return tuple(c + (kind == "from one") for c in range(len(places)))
    return tuple(list(places).index(c) for c in range(len(places)))


def _held_out(draw: random.Random, place: Path, world: World, *, as_folder: bool, named: bool) -> str:
    """Pictures to be judged on, whose classes are called as in training or a little otherwise.

    Where training is not ``named``, the places of names are numbers, too.
    """
    names = list(world.names)
    change = draw.choice(("none", "none", "none", "forms", "case", "zeros", "stranger"))
    if change == "forms":
        names = [unicodedata.normalize(draw.choice(("NFC", "NFD")), name) for name in names]
    if change == "case" and named:
        names[0] = names[0].swapcase()
    if change == "zeros":
        names = [name.zfill(3) if name.isdigit() else name for name in names]
    if change == "stranger" and named:
        names[draw.randrange(world.size)] = "stranger"
    fewest = 0 if draw.random() < 0.3 and named else 1
    counts = [draw.randint(fewest, 3) for _ in names]
    counts[0] = max(counts[0], 1)
    called = World(names=tuple(names), numbers=world.numbers)
    if as_folder:
        return _write_folder(draw, place, called, counts, None)
    order = draw.sample(range(world.size), world.size) if named else world.by_number
    return _write_parquet(draw, place, called, counts, order if draw.random() < 0.6 else None)


def _picture(draw: random.Random, c: int) -> bytes:
    """A picture of class ``c``: its colour alone, in a file like no other."""
    unlike = PngInfo()
    unlike.add_text("Comment", str(draw.random()))
    stream = io.BytesIO()
    Image.new("RGB", (SIDE, SIDE), tuple(PALETTE[c].tolist())).save(stream, "PNG", pnginfo=unlike)
    return stream.getvalue()


def _write_parquet(
    draw: random.Random, place: Path, world: World, counts: Sequence[int], order: Sequence[int] | None
) -> str:
    """A table with the names of its labels, in ``order`` of the true classes; without, labels are numbers."""
    labels = world.numbers if order is None else tuple(list(order).index(c) for c in range(world.size))
    far = draw.choice((*(0,) * 9, 10**4))  # sometimes labels as no classes are numbered
    rows = [(_picture(draw, c), labels[c] + far) for c, count in enumerate(counts) for _ in range(count)]
    draw.shuffle(rows)
    table = pa.table({"image": [row[0] for row in rows], "label": [row[1] for row in rows]})
    if order is not None:
        table = table.replace_schema_metadata({"class_names": json.dumps([world.names[c] for c in order])})
    place.mkdir(parents=True)
    pq.write_table(table, place / "rows.parquet")
    return str(place / "rows.parquet")


def _write_folder(
    draw: random.Random, place: Path, world: World, counts: Sequence[int], order: Sequence[int] | None
) -> str:
    """Class folders, laid out as expected or as somebody else would."""
    layout = draw.choice((*("plain",) * 20, *_LAYOUTS))
    for c, count in enumerate(counts):
        for number in range(count):
            path = place / _LAYOUTS.get(layout, _plain)(world.names[c], number, c)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(_picture(draw, c))
    return str(place)


def _plain(name: str, number: int, c: int) -> str:
    return f"{name}/{number}.{('png', 'PNG', 'Png')[number % 3]}"


_LAYOUTS: dict[str, Callable[[str, int, int], str]] = {
    "wrapped": lambda name, number, c: f"all/{name}/{number}.png",
    "parts": lambda name, number, c: f"{('Train', 'Valid', 'test')[number % 3]}/{name}/{number}.png",
    "capitals": lambda name, number, c: f"{('TRAIN', 'TEST')[number % 2]}/{name}/{number}.png",
    "folds": lambda name, number, c: f"fold{number % 2}/{name}/{number}.png",
    "flat": lambda name, number, c: f"{name}-{number}.png",
    "loose": lambda name, number, c: f"{name}/{number}.png" if number else f"{name}-0.png",
    "images": lambda name, number, c: f"{name}/images/{number}.png",
    "deep": lambda name, number, c: f"{name}/{number % 2}/{number}.png",
    "twins": lambda name, number, c: f"{name if number % 2 else name + ' '}/{number}.png",
    "cases": lambda name, number, c: f"{name if number % 2 else name.upper()}/{number}.png",
    "hidden": lambda name, number, c: f"{name}/{number}.png" if number != 1 else f"__MACOSX/{name}/{number}.png",
    "known parts": lambda name, number, c: f"{'train' if number else 'test'}/{name}/{number}.png",
}


def _class_of(image: np.ndarray) -> int:
    """The class whose colour the middle of ``image`` [3, side, side] has."""
    pixel = image[:, SIDE // 2, SIDE // 2].astype(int)
    return int(np.abs(PALETTE.astype(int) - pixel).sum(axis=1).argmin())


def _colours_of(source: Source) -> list[int]:
    """The class whose pictures each label has in training; -1 where it has none."""
    found = [-1] * present(source.fields.num_classes)
    batch = source.batch("train", np.arange(source.split_sizes["train"]))
    for image, label in zip(batch.fields["image"], batch.fields["label"].tolist(), strict=True):
        found[label] = _class_of(image)
    return found


def _labels_against_colours(source: Source) -> str:
    taught = _colours_of(source)
    known = [c for c in taught if c >= 0]
    if len(set(known)) < len(known):
        return "two labels of one class"
    for split, size in source.split_sizes.items():
        batch = source.batch(split, np.arange(size))
        for image, label in zip(batch.fields["image"], batch.fields["label"].tolist(), strict=True):
            if taught[label] != _class_of(image):
                return f"a picture of class {_class_of(image)} in {split} is label {label}, trained as {taught[label]}"
    return ""


def telling(taught: Sequence[int], names: Sequence[str] | None) -> LoadedModel:
    """A network that tells the colours of its classes: random features, and the head that least squares gives."""
    torch.manual_seed(0)
    fed = Preprocessing.of_training(resolution=SIDE, in_channels=3)
    model: Any = registry.build("vit:w48-d1-p4", num_outputs=len(taught), resolution=SIDE).eval()
    pictures = np.broadcast_to(PALETTE[:, :, None, None], (len(PALETTE), 3, SIDE, SIDE))
    with torch.no_grad():
        features = model.features(torch.from_numpy(fed.scale(pictures)))
        known = torch.cat([features, torch.ones(len(PALETTE), 1)], dim=1).double()
        wanted = torch.tensor(
            [[100.0 * (c == own) for own in taught] for c in range(len(PALETTE))], dtype=torch.float64
        )
        solved = torch.linalg.lstsq(known, wanted, driver="gelsd").solution
        model.head.weight.copy_(solved[:-1].T)
        model.head.bias.copy_(solved[-1])
        told = model.head(features).argmax(dim=1).tolist()
    assert all(told[own] == output for output, own in enumerate(taught) if own >= 0), "the planted network is no oracle"
    card = Card.of(
        "vit:w48-d1-p4",
        resolution=SIDE,
        num_outputs=len(taught),
        in_channels=3,
        preprocessing=fed,
        classes=None if names is None else tuple(names),
        source="a planted network",
    )
    return LoadedModel(model=model, card=card)
