"""Checkpoints as training scripts leave them: wrapped in dictionaries and prefixes, in any order."""

import itertools
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from levelfield.records.errors import WeightsError
from levelfield.weights.read import load_model
from levelfield.weights.tensors import read_tensors
from levelfield.weights.wrappers import bare_tensors
from tests.weights.networks import SMALL_VIT, difference, timm_network

SMALL_TEXT = "vit:w48-d2-p8-h4-m2,pool=token,gelu=erf"
BARE = {"patch_embed.weight": torch.ones(2, 3), "blocks.0.attn.bias": torch.zeros(2), "head.weight": torch.ones(1)}
PREFIXES = ("module.", "model.", "_orig_mod.", "ema.", "backbone.", "encoder.")
DICTIONARIES = ("state_dict", "model", "module")


def prefixed(prefix: str, tensors=BARE):
    return {f"{prefix}{name}": tensor for name, tensor in tensors.items()}


@pytest.mark.parametrize("order", list(itertools.permutations(PREFIXES, 3)), ids="".join)
def test_prefixes_come_off_in_any_order(order):
    assert bare_tensors(prefixed("".join(order)), where="w") == BARE


def test_dictionaries_and_prefixes_come_off_in_any_nesting():
    draw = random.Random(0)
    for _ in range(200):
        value = prefixed("".join(draw.choices(PREFIXES, k=draw.randrange(5))))
        for name in draw.choices(DICTIONARIES, k=draw.randrange(4)):
            value = {"epoch": 3, name: value}
        assert bare_tensors(value, where="w") == BARE


def test_what_torch_puts_amid_names_and_what_averages_count_comes_off():
    amid = {name.replace("blocks.0.", "blocks.0._orig_mod."): tensor for name, tensor in BARE.items()}
    assert bare_tensors(amid, where="w") == BARE
    averaged = {"n_averaged": torch.tensor(7)} | prefixed("module.")
    assert bare_tensors(averaged, where="w") == BARE
    body = {name if name.startswith("head.") else f"backbone.{name}": tensor for name, tensor in BARE.items()}
    assert bare_tensors(body, where="w") == BARE
    part = {"encoder.weight": torch.ones(1), "head.weight": torch.ones(1)}
    assert bare_tensors(part, where="w") == part, "a network's own part"


ZEROS = {name: torch.zeros_like(tensor) for name, tensor in BARE.items()}
SEVERAL = {
    "dictionaries": {"model": ZEROS, "model_ema": BARE},
    "nested": {"state_dict": {"model": ZEROS, "model_ema": {"module": BARE}}},
    "prefixes": prefixed("model.", ZEROS) | prefixed("model_ema."),
    "prefixed prefixes": prefixed("module.model.", ZEROS) | prefixed("module.model_ema."),
    "prefix in a dictionary": {"state_dict": prefixed("model.", ZEROS) | prefixed("model_ema.module.")},
}


@pytest.mark.parametrize("kind", SEVERAL)
def test_of_several_sets_of_weights_one_must_be_named(kind):
    with pytest.raises(WeightsError, match="several sets of weights, model, model_ema: say which with --key"):
        bare_tensors(SEVERAL[kind], where="w")
    assert bare_tensors(SEVERAL[kind], where="w", key="model_ema") == BARE
    with pytest.raises(WeightsError):
        bare_tensors(SEVERAL[kind], where="w", key="teacher")


def test_what_has_no_end_and_what_is_there_twice_is_refused():
    loop: dict = {}
    loop["model"] = loop
    with pytest.raises(WeightsError, match="more than 16 deep"):
        bare_tensors(loop, where="w")
    with pytest.raises(WeightsError, match="with and without a wrapper's prefix"):
        bare_tensors(BARE | prefixed("module."), where="w")
    with pytest.raises(WeightsError, match="has no state dict 'ema'; it holds 'model'"):
        bare_tensors({"model": BARE}, where="w", key="ema")


@pytest.mark.parametrize("form", ["safetensors", "torch"])
def test_a_wrapped_checkpoint_gives_its_logits_from_any_format(form, tmp_path: Path):
    theirs = timm_network("vit_base_patch16_224", **SMALL_VIT)
    state = prefixed("module._orig_mod.model.", theirs.state_dict())
    if form == "torch":
        torch.save({"state_dict": state}, tmp_path / "w")
    else:
        save_file(state, tmp_path / "w")
    assert difference(load_model(tmp_path / "w", arch=SMALL_TEXT).model, theirs, resolution=32) < 1e-5
    assert not any(name.startswith("module") for name in read_tensors(tmp_path / "w").tensors)


@pytest.mark.parametrize(
    ("grid", "said"), [((2, 4), "9 less the class token's"), ((3, 5), "16 less the class token's")]
)
def test_positions_of_no_square_grid_are_refused_and_not_read_as_another(grid, said, tmp_path: Path):
    options: dict[str, Any] = SMALL_VIT | {"img_size": (8 * grid[0], 8 * grid[1])}
    theirs = timm_network("vit_base_patch16_224", **options)
    save_file(theirs.state_dict(), tmp_path / "w")
    with pytest.raises(WeightsError, match=f"it has {said} positions, and no square has so many patches"):
        load_model(tmp_path / "w", arch=SMALL_TEXT)


def test_positions_without_the_class_tokens_are_known_by_what_deit_iii_has(tmp_path: Path):
    theirs = timm_network("deit3_small_patch16_224", img_size=48)
    save_file(theirs.state_dict(), tmp_path / "w")
    loaded = load_model(tmp_path / "w", arch="deit3_small_patch16_224")
    assert loaded.card.resolution == 48
    assert difference(loaded.model, theirs, resolution=48) < 1e-5
