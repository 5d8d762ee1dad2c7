"""What people bring, damaged: every format that is read, opened in place and built, at a price that is its own.

The oracle is the pictures as they were written. What was not damaged must be read as them, each under its class, before
and after it is built. What was is refused, or gives pictures that are what their digests say; of what is built every
picture can be decoded, every row of the listing is an example or counted with a reason, and nothing is written but what
is named by the command.
"""

from __future__ import annotations

import io
import random
from pathlib import Path

from PIL import Image

from levelfield.data.ingest.build import build
from levelfield.data.ingest.built import BuiltPart
from levelfield.data.ingest.places import PlaceSaid, forms_at, judged_at, listed_forms
from levelfield.data.ingest.validity import fault_of
from levelfield.data.stores.base import read_listed
from levelfield.testing.readers import Pictures, expected_table, table_of
from tests.formats import FORMATS

COUNT = 10_000


def attempt(seed: int, index: int, folder: Path) -> str:
    """See the package."""
    draw = random.Random(f"{seed}/{index}")
    pictures = _pictures(draw)
    place: PlaceSaid = FORMATS[draw.choice(tuple(FORMATS))](folder / "data", pictures)
    damage = draw.choice(DAMAGES)
    damage(draw, folder / "data")
    whole = damage is undamaged
    wrong = _in_place(place, pictures, whole=whole) if draw.random() < 0.5 or whole else ""
    return wrong or _built(place, pictures, folder, whole=whole)


def _in_place(place: PlaceSaid, pictures: Pictures, *, whole: bool) -> str:
    store = judged_at(place)
    if whole and table_of(store) != expected_table(pictures):
        return "wrong: other pictures than were written"
    for row, label in enumerate(store.labels):
        read_listed(store, row)
        if not 0 <= int(label) < len(store.classes.names):
            return f"wrong: label {label} of {len(store.classes.names)} classes"
    return ""


def _built(place: PlaceSaid, pictures: Pictures, folder: Path, *, whole: bool) -> str:
    before = set(folder.rglob("*"))
    forms = listed_forms(place)
    rows = sum(len(form.listed()) for form in forms.values())
    try:
        manifest = build(forms, folder / "out", shard_bytes=4000)
    finally:
        strange = [path for path in set(folder.rglob("*")) - before if folder / "out" not in (path, *path.parents)]
        assert not strange, f"written elsewhere: {strange}"
    found = 0
    for form in forms_at(PlaceSaid(path=str(folder / "out")), str(folder / "out")).values():
        assert isinstance(form, BuiltPart)
        store = form.opened(rehash=True)
        for row in range(len(store.labels)):
            if (fault := fault_of(store.read(row))) is not None:
                return f"wrong: built in, {fault.why}: {fault.said}"
        found += len(store.labels)
    if found != sum(part.contents.num_examples for part in manifest.parts.values()):
        return "wrong: the manifest counts other examples"
    if found + sum(manifest.skipped.values()) < rows:
        return f"wrong: {rows} listed, {found} built and {manifest.skipped} counted"
    if whole and table_of(judged_at(PlaceSaid(path=str(folder / "out")))) != expected_table(pictures):
        return "wrong: built otherwise than written"
    return "right"


def _pictures(draw: random.Random) -> Pictures:
    return [(draw.choice(("ant", "bee", "cat")), _picture(draw)) for _ in range(draw.choice((2, 5, 12)))] + [
        ("ant", _picture(draw)),
        ("bee", _picture(draw)),
    ]


def _picture(draw: random.Random) -> bytes:
    stream = io.BytesIO()
    Image.frombytes("RGB", (8, 8), draw.randbytes(192)).save(stream, draw.choice(("PNG", "JPEG")))
    return stream.getvalue()


def undamaged(draw: random.Random, data: Path) -> None:
    pass


def _files(data: Path) -> list[Path]:
    return sorted(path for path in data.rglob("*") if path.is_file())


def _bits(draw: random.Random, data: Path) -> None:
    file = draw.choice(_files(data))
    content = bytearray(file.read_bytes())
    for _ in range(draw.choice((1, 3, 30))):
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    file.write_bytes(content)


def _heads(draw: random.Random, data: Path) -> None:
    """Bytes near the beginning or the end, where containers say what they hold."""
    file = draw.choice(_files(data))
    content = bytearray(file.read_bytes())
    for _ in range(draw.choice((1, 4, 16))):
        place = draw.randrange(min(600, len(content)))
        content[place if draw.random() < 0.5 else -1 - place] = draw.choice(
            (0, 1, 32, 47, 127, 255, draw.randrange(256))
        )
    file.write_bytes(content)


def _cut(draw: random.Random, data: Path) -> None:
    file = draw.choice(_files(data))
    content = file.read_bytes()
    file.write_bytes(content[: draw.randrange(len(content) + 1)])


def _spliced(draw: random.Random, data: Path) -> None:
    """A piece of one file in the middle of another, or of itself."""
    first, second = draw.choice(_files(data)), draw.choice(_files(data))
    piece, content = second.read_bytes(), first.read_bytes()
    start, place = draw.randrange(len(piece) + 1), draw.randrange(len(content) + 1)
    first.write_bytes(content[:place] + piece[start : start + draw.choice((1, 512, 5000))] + content[place:])


def _zeroed(draw: random.Random, data: Path) -> None:
    file = draw.choice(_files(data))
    content = bytearray(file.read_bytes())
    place = draw.randrange(len(content) + 1)
    content[place : place + 512] = bytes(512)
    file.write_bytes(content)


def _gone(draw: random.Random, data: Path) -> None:
    draw.choice(_files(data)).unlink()


def _exchanged(draw: random.Random, data: Path) -> None:
    """A file in the place of another."""
    first, second = draw.choice(_files(data)), draw.choice(_files(data))
    first.write_bytes(second.read_bytes())


def _texts(draw: random.Random, data: Path) -> None:
    """Numbers and names in what says them, of another length or kind."""
    file = draw.choice(_files(data))
    content = file.read_bytes()
    old = draw.choice([each for each in _OLD if each in content] or [b"\0"])
    new = draw.choice(_NEW)
    file.write_bytes(content.replace(old, new, draw.choice((1, 3, 10**6))))


_OLD = (b"ant", b"bee", b".png", b".jpg", b"data-", b"0000", b"train", b"names", b"image", b"label", b"}", b'"', b"/")
_NEW = (b"", b"../", b"/etc/passwd", b"-1", b"9" * 40, b"\xff\xfe", b"null", b"ant", b"[" * 300, b"x" * 300)
DAMAGES = (undamaged, _bits, _heads, _cut, _spliced, _zeroed, _gone, _exchanged, _texts)
