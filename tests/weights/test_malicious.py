"""Damaged and hostile files: refused with a clear message, nothing run."""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save, save_file
from torch import Tensor

from levelfield.records.errors import WeightsError
from levelfield.weights.read import load_model
from levelfield.weights.write import save_safetensors
from tests.weights.test_round_trips import random_model

TEXT = "nfnet:w16-d1"


class Bomb:
    """Makes the directory ``trace`` when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.trace),)


@pytest.mark.parametrize("kind", ["torch", "pickle", "nested", "npz", "legacy"])
def test_a_bomb_does_not_go_off(kind: str, tmp_path: Path) -> None:
    path, trace = tmp_path / "weights.bin", tmp_path / "trace"
    bomb = Bomb(trace)
    if kind in ("torch", "legacy"):
        torch.save({"state_dict": bomb}, path, _use_new_zipfile_serialization=kind == "torch")
    elif kind == "npz":
        path = tmp_path / "weights.npz"
        np.savez(path, allow_pickle=True, a=np.array([bomb], dtype=object))
    else:
        tree = bomb if kind == "pickle" else {"NFNet/~/nf_block": {"skip_gain": np.zeros(()), "w": bomb}}
        path.write_bytes(pickle.dumps(tree))
    with pytest.raises(WeightsError, match=r"mkdir|more than arrays of numbers"):
        load_model(path, arch="dm_nfnet_f0")
    assert not trace.exists()


def test_an_array_that_hides_a_bomb_does_not_go_off(tmp_path: Path) -> None:
    path, trace = tmp_path / "w.pkl", tmp_path / "trace"
    path.write_bytes(pickle.dumps({"w": np.array([Bomb(trace)], dtype=object)}))
    with pytest.raises(WeightsError, match="expected numbers, saw dtype object"):
        load_model(path)
    assert not trace.exists()


@pytest.fixture
def own(tmp_path: Path) -> Path:
    save_safetensors(random_model(TEXT, resolution=8), tmp_path / "own.safetensors")
    return tmp_path / "own.safetensors"


def rewritten(path: Path, change: Any) -> None:
    """``path`` with its header's plain card changed in place."""
    loaded = load_model(path)
    card = json.loads(loaded.card.header()["levelfield"])
    change(card)
    state = {name: parameter.detach().contiguous() for name, parameter in loaded.model.named_parameters()}
    path.write_bytes(save(state, metadata={"levelfield": json.dumps(card)}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda card: card.pop("rules"), "does not state the rules .*ws_rule"),
        (lambda card: card["rules"].pop("ws"), "the rule 'ws' is not stated"),
        (lambda card: card["rules"].update(ws="timm"), "rules must be those of nfnet:w16-d1"),
        (lambda card: card.update(architecture="nfnet:w18-d1"), "has shape .*, saw"),
        (lambda card: card.update(num_outputs=8, classes=None), r"head.weight .* has shape \(8, 32\), saw \(7, 32\)"),
        (lambda card: card["preprocessing"].update(crop_mode="spiral"), "crop_mode"),
    ],
)
def test_a_header_that_does_not_say_what_the_weights_mean_is_refused(own: Path, change: Any, message: str) -> None:
    rewritten(own, change)
    with pytest.raises(WeightsError, match=message):
        load_model(own)


def own_state(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    loaded = load_model(path)
    state = dict(loaded.model.named_parameters())
    return {
        name: state[name].detach().clone(memory_format=torch.contiguous_format) for name in state
    }, loaded.card.header()


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_refused_by_name(own: Path, bad: float) -> None:
    state, header = own_state(own)
    state["final_conv.weight"][0] = bad
    save_file(state, own, metadata=header)
    with pytest.raises(WeightsError, match=r"not finite, in final_conv\.weight"):
        load_model(own)


def test_missing_and_unknown_tensors_are_refused_by_name(own: Path) -> None:
    state, header = own_state(own)
    save_file({name: tensor for name, tensor in state.items() if name != "head.bias"}, own, metadata=header)
    with pytest.raises(WeightsError, match=r"nfnet:w16-d1 lacks head\.bias"):
        load_model(own)
    save_file(state | {"head.extra": torch.zeros(1)}, own, metadata=header)
    with pytest.raises(WeightsError, match=r"has no place for head\.extra"):
        load_model(own)


@pytest.mark.parametrize("kept", [0, 4, 100, 5000])
def test_a_truncated_safetensors_file_is_refused(own: Path, kept: int) -> None:
    own.write_bytes(own.read_bytes()[:kept])
    with pytest.raises(WeightsError, match=r"damaged safetensors|begins like no weight file"):
        load_model(own)


def test_a_truncated_torch_file_and_a_truncated_pickle_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    torch.save({"a": torch.randn(100)}, path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(WeightsError, match="damaged"):
        load_model(path, arch="dm_nfnet_f0")
    path.write_bytes(pickle.dumps({"a": np.zeros(100)})[:-50])
    with pytest.raises(WeightsError, match="damaged pickle"):
        load_model(path, arch="dm_nfnet_f0")


@pytest.mark.slow
def test_the_command_ends_with_code_2_and_one_line(own: Path, tmp_path: Path, invoke) -> None:
    path, trace = tmp_path / "w.pth", tmp_path / "trace"
    torch.save({"state_dict": Bomb(trace)}, path)
    command = [sys.executable, "-m", "levelfield", "convert", path, tmp_path / "out", "--arch", "dm_nfnet_f0"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, len(ended.stderr.splitlines())) == (2, 1)
    assert "nothing was run" in ended.stderr
    assert not trace.exists()
    code, _, error = invoke("convert", own, tmp_path / "out", "--to", "timm")
    assert (code, "timm has no stem like its own" in error) == (2, True)
