"""Weights that others wrote give their logits in our networks."""

import dataclasses
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from levelfield.families import registry
from levelfield.records.errors import SpecError, WeightsError
from levelfield.weights.card import Card
from levelfield.weights.loaded import LoadedModel, assemble
from levelfield.weights.preprocessing import Preprocessing
from levelfield.weights.read import load_model
from levelfield.weights.refed import fed_as_trained
from levelfield.weights.tensors import read_tensors
from tests.weights.networks import CLASSES, SMALL_VIT, State, difference, timm_network

SMALL_TEXT = "vit:w48-d2-p8-h4-m2,pool=token,gelu=erf"


@pytest.mark.parametrize("name", ["dm_nfnet_f0", pytest.param("nfnet_f0", marks=pytest.mark.slow)])
def test_an_nfnet_of_timms_gives_its_logits_whether_gamma_is_in_activations_or_convolutions(
    name: str, tmp_path: Path
) -> None:
    theirs = timm_network(name)
    path = tmp_path / "anything.bin"
    torch.save({"state_dict": {f"module.{key}": tensor for key, tensor in theirs.state_dict().items()}}, path)
    loaded = load_model(path, arch=name)
    assert difference(loaded.model, theirs, resolution=64) < 1e-5
    assert difference(loaded.model, theirs, resolution=97) < 1e-5
    assert loaded.card.rules == {
        "ws": "timm",
        "gelu": "erf",
        "rounding": "published",
        "pad": "same" if name.startswith("dm") else "symmetric",
    }
    assert (loaded.preprocessing.resolution, loaded.card.num_outputs, loaded.classes) == (256, CLASSES, None)


@pytest.mark.parametrize(
    "name", ["vit_tiny_patch16_224.augreg_in21k", "deit_tiny_patch16_224", "deit3_small_patch16_224"]
)
def test_a_vit_of_timms_gives_its_logits(name: str, tmp_path: Path) -> None:
    theirs = timm_network(name)
    save_file(theirs.state_dict(), tmp_path / "model.safetensors")
    loaded = load_model(tmp_path / "model.safetensors", arch=name)
    assert difference(loaded.model, theirs, resolution=224) < 1e-5
    assert loaded.preprocessing.mean[0] == (0.5 if name.startswith("vit") else 0.485)


def test_what_a_hub_folder_says_holds_also_where_its_network_is_named(tmp_path: Path) -> None:
    save_file(timm_network("vit_base_patch16_224", **SMALL_VIT).state_dict(), tmp_path / "model.safetensors")
    said = {"architecture": "vit_base_patch16_224", "label_names": [f"class {n}" for n in range(CLASSES)]}
    said["pretrained_cfg"] = {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6], "input_size": [3, 32, 32]}
    write = (tmp_path / "config.json").write_text
    write(json.dumps(said))
    with pytest.raises(SpecError, match=r"holds vit:B/16.*, --arch says vit:w48"):
        load_model(tmp_path, arch=SMALL_TEXT)
    write(json.dumps(said | {"model_args": {"embed_dim": 48, "depth": 2}}))
    with pytest.raises(WeightsError, match="changes vit_base_patch16_224 by depth, embed_dim: say by --arch"):
        load_model(tmp_path)
    loaded = load_model(tmp_path, arch=SMALL_TEXT)
    assert (loaded.preprocessing.mean, loaded.classes) == ((0.1, 0.2, 0.3), tuple(said["label_names"]))


def test_images_fed_our_way_give_the_logits_of_images_fed_theirs(tmp_path: Path) -> None:
    theirs = timm_network("vit_base_patch16_224", **SMALL_VIT)
    save_file(theirs.state_dict(), tmp_path / "w.safetensors")
    loaded = load_model(tmp_path / "w.safetensors", arch=SMALL_TEXT)
    assert loaded.card.resolution == 32
    half = Preprocessing(resolution=32, mean=(0.5,) * 3, std=(0.5,) * 3)
    card = dataclasses.replace(loaded.card, preprocessing=half)
    ours = fed_as_trained(LoadedModel(model=loaded.model, card=card))
    pixels = torch.randint(256, (3, 3, 32, 32), generator=torch.Generator().manual_seed(0)).numpy()
    with torch.no_grad():
        expected = theirs(torch.from_numpy(half.scale(pixels)))
        seen = ours.model(torch.from_numpy(ours.preprocessing.scale(pixels)))
    assert ((seen - expected).abs().max() / expected.abs().max()) < 1e-5
    assert ours.preprocessing.mean == (0.485, 0.456, 0.406)


def test_an_nfnet_that_was_fed_otherwise_is_not_refed() -> None:
    state = dict(registry.build("nfnet:w16-d1", num_outputs=2, resolution=8).named_parameters())
    fed = Preprocessing(resolution=8, mean=(0.5,) * 3, std=(0.5,) * 3)
    card = Card.of("nfnet:w16-d1", resolution=8, num_outputs=2, in_channels=3, preprocessing=fed)
    with pytest.raises(SpecError, match="only a patch embedding can take the difference"):
        fed_as_trained(assemble(card, state, where="here"))


HAIKU_PARTS = {
    "shortcut": "conv_shortcut",
    "conv1": "conv0",
    "conv2": "conv1",
    "conv3": "conv1b",
    "conv4": "conv2",
    "squeeze": "squeeze_excite/~/linear",
    "excite": "squeeze_excite/~/linear_1",
}


def as_released(state: State) -> dict[str, dict[str, Any]]:
    """An F0's weights in Haiku's nesting, names and layouts, written down apart from the code under test."""
    tree: dict[str, dict[str, Any]] = {}
    firsts = (0, 1, 3, 9)
    for name, tensor in state.items():
        array = tensor.numpy()
        parts = name.split(".")
        if parts[0] == "stages":
            number = firsts[int(parts[1])] + int(parts[2])
            module = "NFNet/~/nf_block" + (f"_{number}" if number else "")
            if parts[3] != "skip_gain":
                module += "/~/" + HAIKU_PARTS[parts[3]]
        elif parts[0] == "stem":
            module = f"NFNet/~/stem_conv{int(parts[1][-1]) - 1}"
        else:
            module = "NFNet/~/" + {"head": "linear"}.get(parts[0], parts[0])
        linear = module.endswith(("linear", "linear_1"))
        leaf = {"weight": "w", "bias": "b" if linear else "bias"}.get(parts[-1], parts[-1])
        array = array.transpose(2, 3, 1, 0) if array.ndim == 4 else array.T
        tree.setdefault(module, {})[leaf] = np.ascontiguousarray(array) if array.ndim else array
    return tree


@pytest.mark.slow
@pytest.mark.parametrize("protocol", [pytest.param(2, marks=pytest.mark.acceptance), 5])
def test_a_released_archive_is_read_by_its_own_rules(protocol: int, tmp_path: Path) -> None:
    torch.manual_seed(0)
    ours = registry.build("nfnet:F0", num_outputs=CLASSES, resolution=64).eval()
    with torch.no_grad():
        for name, parameter in ours.named_parameters():
            if name.endswith("skip_gain"):
                parameter.normal_()
    tree = as_released({name: parameter.detach() for name, parameter in ours.named_parameters()})
    path = tmp_path / "F0_haiku.npz"
    path.write_bytes(pickle.dumps(tree, protocol=protocol))
    loaded = load_model(path)
    assert loaded.card.architecture == "nfnet:F0"
    assert loaded.card.rules["ws"] == "clamp"
    assert loaded.preprocessing.crop_mode == "squash"
    assert difference(loaded.model, ours, resolution=64) == 0
    with pytest.raises(SpecError, match="holds nfnet:F0, --arch says nfnet:F0,ws=timm"):
        load_model(path, arch="nfnet:F0,ws=timm")

    if protocol == 5:
        flat = {f"{module}/{leaf}": array for module, leaves in tree.items() for leaf, array in leaves.items()}
        np.savez(tmp_path / "plain.npz", **flat)
        assert load_model(tmp_path / "plain.npz").digest() == loaded.digest()


def test_weights_of_which_nothing_says_what_they_are_are_refused(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match=r"nothing says which network .* name it by --arch"):
        load_model(tmp_path / "w.safetensors")
    with pytest.raises(SpecError, match="'resnet50' is no network of timm's that our families hold"):
        load_model(tmp_path / "w.safetensors", arch="resnet50")
    with pytest.raises(WeightsError, match=r"is no vit:B/16.* in timm's names: it lacks 'patch_embed.proj.weight'"):
        load_model(tmp_path / "w.safetensors", arch="vit_base_patch16_224")


def test_a_checkpoint_of_several_sets_of_weights_is_asked_for_one(tmp_path: Path) -> None:
    theirs = timm_network("vit_base_patch16_224", **SMALL_VIT)
    state = theirs.state_dict()
    zeros = {name: torch.zeros_like(tensor) for name, tensor in state.items()}
    torch.save({"epoch": 3, "state_dict": zeros, "state_dict_ema": state}, tmp_path / "last.pth.tar")
    with pytest.raises(WeightsError, match="several sets of weights, state_dict, state_dict_ema: say which with --key"):
        load_model(tmp_path / "last.pth.tar", arch=SMALL_TEXT)
    loaded = load_model(tmp_path / "last.pth.tar", arch=SMALL_TEXT, key="state_dict_ema")
    assert difference(loaded.model, theirs, resolution=32) < 1e-5


@pytest.mark.parametrize("length", [0x0280, int.from_bytes(b"PK", "little")], ids=["pickle", "zip"])
def test_a_safetensors_header_as_long_as_another_format_begins_is_read(length: int, tmp_path: Path) -> None:
    header = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'.ljust(length)
    path = tmp_path / "w.safetensors"
    path.write_bytes(length.to_bytes(8, "little") + header + np.float32(7).tobytes())
    found = read_tensors(path)
    assert (found.format, found.tensors["a"].item()) == ("safetensors", 7.0)
