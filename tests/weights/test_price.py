"""What a weight file claims is held against its size before any of it is made."""

import dataclasses
import io
import json
import os
import pickle
import struct
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save, save_file

from levelfield.records.errors import WeightsError
from levelfield.weights.card import Card
from levelfield.weights.hub import read_config
from levelfield.weights.read import load_model
from levelfield.weights.tensors import read_tensors
from levelfield.weights.write import save_safetensors
from tests.weights.test_round_trips import random_model


def claimed_npy(shape: str, content: bytes = b"", dtype: str = "<f4") -> bytes:
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + content


def npz(**members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return stream.getvalue()


def torch_file(value: object, changes: dict[bytes, bytes] | None = None, **more: bool) -> bytes:
    """``value`` as torch saves it, with bytes of its pickle exchanged."""
    stream = io.BytesIO()
    torch.save(value, stream, **more)
    if not changes:
        return stream.getvalue()
    rewritten = io.BytesIO()
    with zipfile.ZipFile(stream) as old, zipfile.ZipFile(rewritten, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            for before, after in changes.items() if name.endswith("data.pkl") else ():
                assert before in content
                content = content.replace(before, after)
            new.writestr(name, content)
    return rewritten.getvalue()


def nested_tuples(depth: int) -> bytes:
    """A dictionary whose key is a tuple of ten tuples of ten tuples …, each written once."""
    level = b"(" + b"K\x01" * 10 + b"tq\x00"
    for number in range(1, depth):
        level += b"0(" + b"h" + bytes([number - 1]) + (b"h" + bytes([number - 1])) * 9 + b"tq" + bytes([number])
    return b"\x80\x02}" + level + b"K\x01s."


def unfolding(depth: int) -> bytes:
    """Dictionaries that hold one another ten times over."""
    inner: dict[str, object] = {"x": np.zeros(1, np.float32)}
    for _ in range(depth):
        inner = {str(number): inner for number in range(10)}
    return pickle.dumps(inner, protocol=2)


def holding_itself() -> bytes:
    own: dict[str, object] = {}
    own["self"] = own
    return pickle.dumps(own, protocol=2)


def deep(depth: int) -> bytes:
    return b"\x80\x02" + b"}U\x01a" * depth + b"}" + b"s" * depth + b"."


FOUR = {"a": torch.arange(4.0)}
CLAIMS = {
    "an array of a terabyte": (npz(a=claimed_npy("(1000000, 1000000)")), "wants 4,000,000,000,000 bytes and has 0"),
    "an array of negative length": (npz(a=claimed_npy("(-1, -1)", b"1234")), "damaged .npz"),
    "a zip bomb": (npz(a=claimed_npy("(100000000,)", bytes(400_000_000))), "claims to hold 400,000,0"),
    "texts in an npz": (npz(a=claimed_npy("(1,)", b"abcd", "|S4")), "holds more than arrays of numbers"),
    "a header of an npz that is an expression": (npz(a=claimed_npy("[" * 5000)), "damaged .npz"),
    "keys that take for ever to hash": (nested_tuples(30), "tuples nested to more than 1,024 values"),
    "dictionaries that unfold without end": (unfolding(12), "unfolds to more than 4,194,304 values"),
    "a dictionary in itself": (holding_itself(), "holds itself"),
    "a pickle ten thousand deep": (deep(10**4), "nested more than 64 deep"),
    "an array of a terabyte in a pickle": (
        pickle.dumps({"a": np.zeros(3, np.float32)}, protocol=2).replace(b"K\x03\x85", b"J\x00\x00\x00\x7f\x85"),
        "damaged pickle",
    ),
    "numpy.ndarray called": (b"\x80\x02cnumpy\nndarray\nJ\x00\x00\x00\x7f\x85R.", "damaged pickle"),
    "bytes of 2^62": (b"\x80\x04\x8e" + struct.pack("<Q", 2**62) + b"a.", "damaged pickle"),
    "more numbers than are stored": (
        torch_file(FOUR, {b"K\x04tq": b"J\x00\x00\x00\x10tq"}),
        "asks for 268435456 numbers",
    ),
    "more numbers than are stored, in the old format": (
        torch_file(FOUR, _use_new_zipfile_serialization=False).replace(b"K\x04Nt", b"J\x00\x00\x00\x10Nt"),
        "asks for 268435456 numbers",
    ),
    "one number shown as a terabyte": (torch_file({"a": torch.zeros(1).expand(10**12)}), "shows 4 stored bytes as 4,0"),
    "one tensor under a thousand names": (
        torch_file(dict.fromkeys(map(str, range(1000)), torch.zeros(10**5))),
        "claims to hold 400,000,000",
    ),
    "memory to be filled": (b"\x80\x02cbuiltins\nbytearray\nJ\x00\x00\x00\x7f\x85R.", "asks for memory to be filled"),
    "a sparse tensor": (torch_file({"a": torch.eye(3).to_sparse()}), "sparse"),
    "complex numbers": (torch_file({"a": torch.zeros(3, dtype=torch.complex64)}), "complex64"),
    "numbers of 8 bits": (save({"a": torch.zeros(3).to(torch.float8_e4m3fn)}), "float8_e4m3fn"),
    "a safetensors header longer than the file": (struct.pack("<Q", 10**8) + b'{"a":1', "damaged|begins like no"),
    "a safetensors tensor larger than the file": (
        (lambda head: struct.pack("<Q", len(head)) + head)(
            json.dumps({"a": {"dtype": "F32", "shape": [10**9], "data_offsets": [0, 4 * 10**9]}}).encode()
        ),
        "damaged safetensors",
    ),
}  # fmt: skip


@pytest.mark.parametrize("claim", CLAIMS)
def test_a_claim_is_refused_at_once_for_what_it_is(claim: str, tmp_path: Path) -> None:
    content, message = CLAIMS[claim]
    (tmp_path / "w.bin").write_bytes(content)
    begun = time.monotonic()
    with pytest.raises(WeightsError, match=message):
        read_tensors(tmp_path / "w.bin")
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize("architecture", ["vit:w4096-d500-p4", "nfnet:w2048-d50x50x50x50"])
def test_a_network_larger_than_its_file_takes_no_memory(architecture: str, tmp_path: Path) -> None:
    model = random_model("nfnet:w16-d1", resolution=8)
    save_safetensors(model, tmp_path / "w.safetensors")
    facts = {field.name: getattr(model.card, field.name) for field in dataclasses.fields(model.card)}
    del facts["architecture"], facts["rules"]
    state = {name: parameter.detach().contiguous() for name, parameter in model.model.named_parameters()}
    save_file(state, tmp_path / "w.safetensors", metadata=Card.of(architecture, **facts).header())
    with pytest.raises(WeightsError, match=f"holds 2,904 numbers, and {architecture} has [0-9,]* parameters"):
        load_model(tmp_path / "w.safetensors")


@pytest.mark.parametrize("content", [b"[" * 10**5, b"\xff", b"[1", b"{}", b'"text"'])
def test_a_config_that_cannot_be_meant_is_one_sentence(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(WeightsError, match=r"config.json"):
        read_config(tmp_path / "config.json")


def test_what_is_no_file_is_no_weights(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "w.bin")
    with pytest.raises(WeightsError, match="is a named pipe, expected a regular file"):
        read_tensors(tmp_path / "w.bin")


def test_numbers_in_either_byte_order_and_tied_tensors_are_read(tmp_path: Path) -> None:
    there = {"a": np.arange(6, dtype=">f4").reshape(2, 3), "b": np.asfortranarray(np.eye(3, dtype=np.float64))}
    np.savez(tmp_path / "w.npz", **there)
    (tmp_path / "w.pkl").write_bytes(pickle.dumps(there, protocol=4))
    for name in ("w.npz", "w.pkl"):
        found = read_tensors(tmp_path / name).tensors
        assert all(np.array_equal(found[key].numpy(), there[key]) for key in there)
    tied = torch.randn(100, 10)
    torch.save({"a": tied, "b": tied, "c": tied[3:5]}, tmp_path / "w.pth")
    assert torch.equal(read_tensors(tmp_path / "w.pth").tensors["c"], tied[3:5])


_IN_LITTLE_MEMORY = """
import resource, sys
from pathlib import Path
from levelfield.records.errors import WeightsError
{imports}
size = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmSize"))
resource.setrlimit(resource.RLIMIT_AS, ((size << 10) + (64 << 20),) * 2)
try:
    {read}(Path(sys.argv[1]))
except WeightsError as error:
    sys.exit(f"a fault of the file: {{error}}")
except MemoryError:
    sys.exit(0)
sys.exit("it fitted")
"""


@pytest.mark.parametrize("kind", ["npz", "pkl"])
def test_a_lack_of_memory_is_not_taken_for_a_damaged_file(kind: str, tmp_path: Path) -> None:
    path, large = tmp_path / f"large.{kind}", np.zeros((40, 10**6), dtype=np.float32)
    if kind == "npz":
        np.savez(path, large=large)
        imports, read = "from levelfield.weights.archives import read_npz", "read_npz"
    else:
        path.write_bytes(pickle.dumps({"large": large}, protocol=4))
        imports, read = "from levelfield.weights.unpickle import read_pickled_arrays", "read_pickled_arrays"
    script = _IN_LITTLE_MEMORY.format(imports=imports, read=read)
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
