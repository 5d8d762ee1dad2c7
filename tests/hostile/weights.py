"""Weight files of every format: whole ones, and what damage and forgery make of them.

The oracle: a whole file gives the tensors that were written, to the last bit. A damaged one is refused, or differs only
in names and numbers that lie in the file as they are read: never a tensor that was not there, never a larger one.
"""

from __future__ import annotations

import io
import json
import pickle
import random
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save

from levelfield.families.registry import build
from levelfield.records.errors import WeightsError
from levelfield.weights.card import Card
from levelfield.weights.preprocessing import Preprocessing
from levelfield.weights.read import load_model
from levelfield.weights.tensors import read_tensors

COUNT = 1_000

build("vit:w16-d1-p4", num_outputs=2, resolution=8)  # what building imports is no part of an attempt

_FORMATS = ("safetensors", "torch", "legacy", "npz", "compressed", "pickle2", "pickle5")
_SHAPES = ((), (1,), (7,), (3, 4), (2, 3, 1, 1), (0,), (64, 33))
_ABSURD = (0, 1, 255, 2**16, 2**31 - 1, 2**32 - 1)
_ARCHITECTURE = "vit:w16-d1-p4"


def attempt(seed: int, index: int, folder: Path) -> str:
    """See the package."""
    draw = random.Random(f"{seed}/{index}")
    if draw.random() < 0.2:
        return _whole_network(draw, folder)
    form = draw.choice(_FORMATS)
    written = _state(draw)
    content = _encoded(form, written, draw)
    damage = draw.choice((_none, _none, _bits, _cut, _number, _pickled, _member, _header, _spliced, _hostile))
    damaged = damage(draw, form, content)
    (folder / "w.bin").write_bytes(damaged)
    try:
        found = read_tensors(folder / "w.bin").tensors
    except WeightsError as error:
        if damaged == content:
            return f"wrong: a whole {form} file is refused: {error}"
        raise
    if damaged == content:
        same = found.keys() == written.keys() and all(_same(found[name], written[name]) for name in written)
        return "right" if same else f"wrong: other tensors than the {form} file was written with"
    return _bounded(found, len(damaged))


def _bounded(found: Mapping[str, torch.Tensor], size: int) -> str:
    total = sum(tensor.numel() * tensor.itemsize for tensor in found.values())
    if total > 8 * size + 64 * 2**20:
        return f"wrong: {total} bytes of tensors out of {size}"
    finite = all(bool(tensor.isfinite().all()) for tensor in found.values())
    return "right" if finite else "wrong: numbers that are not finite"


def _same(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.dtype == other.dtype and one.shape == other.shape and torch.equal(one, other)


def _state(draw: random.Random) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(draw.getrandbits(60))
    dtypes = (torch.float32, torch.float32, torch.float16, torch.float64, torch.int64, torch.uint8, torch.bool)
    return {
        f"{draw.choice(('blocks', 'stem', 'head'))}.{number}.weight": torch.randn(
            draw.choice(_SHAPES), generator=generator
        ).to(draw.choice(dtypes))
        for number in range(draw.randint(1, 8))
    }


def _encoded(form: str, state: dict[str, torch.Tensor], draw: random.Random) -> bytes:
    stream = io.BytesIO()
    if form == "safetensors":
        return save(state, metadata={"note": "x"} if draw.random() < 0.5 else None)
    if form in ("torch", "legacy"):
        wrapped = {"state_dict": state, "epoch": 3} if draw.random() < 0.5 else state
        torch.save(wrapped, stream, _use_new_zipfile_serialization=form == "torch")
        return stream.getvalue()
    arrays = {name: tensor.numpy() for name, tensor in state.items()}
    if form in ("npz", "compressed"):
        write: Callable[..., None] = np.savez_compressed if form == "compressed" else np.savez
        write(stream, **arrays)
        return stream.getvalue()
    return pickle.dumps(arrays, protocol=int(form[-1]))


def _none(draw: random.Random, form: str, content: bytes) -> bytes:
    return content


def _bits(draw: random.Random, form: str, content: bytes) -> bytes:
    damaged = bytearray(content)
    for _ in range(draw.choice((1, 3, 20))):
        damaged[draw.randrange(min(len(damaged), draw.choice((64, 1000, len(damaged)))))] ^= 1 << draw.randrange(8)
    return bytes(damaged)


def _cut(draw: random.Random, form: str, content: bytes) -> bytes:
    return content[: draw.randrange(len(content) + 1)]


def _number(draw: random.Random, form: str, content: bytes) -> bytes:
    """An absurd number in some place, of 4 or 8 bytes."""
    damaged = bytearray(content)
    place = draw.randrange(max(1, len(damaged) - 8))
    damaged[place : place + 4] = struct.pack("<I", draw.choice(_ABSURD))
    return bytes(damaged)


def _pickled(draw: random.Random, form: str, content: bytes) -> bytes:
    """A number in a pickle, in the archive or bare, that is absurd: shapes, strides, offsets, sizes of storages."""

    def forged(pickled: bytes) -> bytes:
        places = [place for place in range(len(pickled) - 1) if pickled[place : place + 1] == b"K"]
        for place in sorted(draw.sample(places, min(len(places), draw.choice((1, 2)))), reverse=True):
            pickled = pickled[:place] + b"J" + struct.pack("<I", draw.choice(_ABSURD)) + pickled[place + 2 :]
        return pickled

    if form == "torch":
        return _rezipped(content, lambda name, each: forged(each) if name.endswith("data.pkl") else each)
    return forged(content) if form.startswith("pickle") or form == "legacy" else _bits(draw, form, content)


def _member(draw: random.Random, form: str, content: bytes) -> bytes:
    """An archive with a member damaged, emptied, blown up, or there twice; its checksums right."""
    if form not in ("torch", "npz", "compressed"):
        return _spliced(draw, form, content)
    kind = draw.choice(("bits", "empty", "zeros", "header", "cut"))

    def changed(name: str, each: bytes) -> bytes:
        if draw.random() < 0.5 or not each:
            return each
        if kind == "header":
            place = each.find(b"'shape': (")
            return each if place < 0 else each[: place + 10] + b"9999999, 9999999" + each[place + 26 :]
        blown = {"empty": b"", "zeros": each + bytes(10**8), "cut": each[: draw.randrange(len(each))]}
        return blown[kind] if kind in blown else _bits(draw, form, each)

    return _rezipped(content, changed, deflated=draw.random() < 0.7)


def _rezipped(content: bytes, changed, *, deflated: bool = False) -> bytes:
    stream = io.BytesIO()
    how = zipfile.ZIP_DEFLATED if deflated else zipfile.ZIP_STORED
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(stream, "w", how) as new:
        for name in old.namelist():
            new.writestr(name, changed(name, old.read(name)))
    return stream.getvalue()


def _header(draw: random.Random, form: str, content: bytes) -> bytes:
    """A header of safetensors that claims what is not there."""
    if form != "safetensors":
        return _number(draw, form, content)
    length = struct.unpack_from("<Q", content)[0]
    header = json.loads(content[8 : 8 + length])
    name = draw.choice([key for key in header if key != "__metadata__"])
    field = draw.choice(("shape", "data_offsets", "dtype"))
    header[name][field] = {
        "shape": [draw.choice((0, -1, 2**40))] * draw.randint(0, 70),
        "data_offsets": [draw.choice((0, 5, -1)), draw.choice((0, 2**50))],
        "dtype": draw.choice(("F32", "F64", "F8_E4M3", "I4", "?", None)),
    }[field]
    text = json.dumps(header).encode()
    return struct.pack("<Q", draw.choice((len(text), len(text), 2**60))) + text + content[8 + length :]


def _spliced(draw: random.Random, form: str, content: bytes) -> bytes:
    other = _encoded(draw.choice(_FORMATS), _state(draw), draw)
    return content[: draw.randrange(len(content))] + other[draw.randrange(len(other)) :]


def _hostile(draw: random.Random, form: str, content: bytes) -> bytes:
    """Pickles that cost without end, or name what they must not."""
    own: dict[str, object] = {}
    own["own"] = own
    laughs: object = "x"
    for _ in range(40):
        laughs = [laughs] * 2
    level = b"(" + b"K\x01" * 10 + b"tq\x00"
    for number in range(1, draw.randint(2, 40)):
        level += b"0(" + b"h" + bytes([number - 1]) + (b"h" + bytes([number - 1])) * 9 + b"tq" + bytes([number])
    bare = draw.choice(
        (
            pickle.dumps(own, protocol=2),
            pickle.dumps({"a": laughs}, protocol=2),
            b"\x80\x02}" + level + b"K\x01s.",
            b"\x80\x02" + b"]" * 10**5 + b"a" * (10**5 - 1) + b".",
            b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R.",
            b"\x80\x02cnumpy\ndtype\nX\x0a\x00\x00\x00V999999999\x85R.",
            b"\x80\x02cbuiltins\nbytearray\nJ\xff\xff\xff\x7f\x85R.",
        )
    )
    if form != "torch":
        return bare
    return _rezipped(content, lambda name, each: bare if name.endswith("data.pkl") else each)


def _whole_network(draw: random.Random, folder: Path) -> str:
    """A network of ours in safetensors whose card or tensors are changed: the network that was written, or refused."""
    card = Card.of(
        _ARCHITECTURE,
        resolution=8,
        num_outputs=3,
        in_channels=3,
        preprocessing=Preprocessing(resolution=8, mean=(0.5,) * 3, std=(0.5,) * 3),
        source="a test",
    )
    torch.manual_seed(draw.getrandbits(60))
    model = build(_ARCHITECTURE, num_outputs=3, resolution=8)
    state = {name: parameter.detach().contiguous() for name, parameter in model.named_parameters()}
    header = json.loads(card.header()["levelfield"])
    before = json.dumps([header, sorted(state)])
    changed = draw.choice((None, "card", "card", "tensor"))
    if changed == "card":
        place = draw.choice((header, header["preprocessing"]))
        key = draw.choice(sorted(place))
        place[key] = draw.choice((None, -1, 0, 10**9, 1e308, "x", [], {}, True, [float("inf")] * 3, "vit:w16-d9-p4"))
    elif changed == "tensor":
        name = draw.choice(sorted(state))
        tensor = state.pop(name)
        if draw.random() < 0.7:
            state[draw.choice((name, name + "x"))] = tensor.flatten().repeat(2)
    (folder / "w.safetensors").write_bytes(save(state, metadata={"levelfield": json.dumps(header)}))
    loaded = load_model(folder / "w.safetensors")
    shapes_changed = changed == "tensor" or any(
        header[key] != value for key, value in json.loads(before)[0].items() if key in ("architecture", "num_outputs")
    )
    if shapes_changed and json.dumps([header, sorted(state)]) != before:
        return f"wrong: loaded although {changed} was changed"
    same = all(_same(parameter.detach(), state[name]) for name, parameter in loaded.model.named_parameters())
    return "right" if same else "wrong: other numbers than were written"
