"""Weights written for others compute the same there, and come back."""

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import timm
import torch
from safetensors.torch import load_file
from torch import nn

from levelfield.families import registry
from levelfield.families.tensors import statistics_of
from levelfield.records.errors import SpecError
from levelfield.records.head import LinearHead, PixelHead
from levelfield.weights.card import Card
from levelfield.weights.export import folded, save_onnx, save_torch_export
from levelfield.weights.loaded import LoadedModel, assemble
from levelfield.weights.preprocessing import Preprocessing
from levelfield.weights.read import load_model
from levelfield.weights.write import save_hub, save_safetensors, save_timm
from tests.narrowed import of_kind
from tests.undrawn import Undrawn
from tests.weights.networks import difference

CLASSES = 7
FED = {"mean": (0.5, 0.4, 0.3), "std": (0.2, 0.3, 0.25), "crop_pct": 0.9, "crop_mode": "squash"}


def random_model(text: str, *, resolution: int, pixel_head: PixelHead | None = None) -> LoadedModel:
    """``text`` with no tensor at its initial value, its convolutions' weights small enough to tell the rules apart."""
    with Undrawn():
        network = registry.build(text, head=pixel_head or LinearHead(num_outputs=CLASSES), resolution=resolution)
    generator = torch.Generator().manual_seed(0)
    state = {}
    for name, parameter in network.named_parameters():
        role = registry.parameter_role(text, name)
        noise = torch.randn(parameter.shape, generator=generator)
        if role in ("kernel", "classifier_kernel"):
            state[name] = (0.3 if "nfnet" in text else 1.0) * noise * parameter[0].numel() ** -0.5
        elif role in ("gain", "norm") and not name.endswith("bias"):
            state[name] = 1 + 0.2 * noise
        else:
            state[name] = noise if role == "skip_gain" else 0.1 * noise
    for name, statistic in statistics_of(network).items():
        noise = torch.rand(statistic.shape, generator=generator)
        state[name] = 0.5 + noise if name.endswith("var") else noise
    fed = Preprocessing(resolution=resolution, **FED)  # pyright: ignore[reportArgumentType]
    names = tuple(f"class {number}" for number in range(CLASSES))
    card = Card.of(
        text,
        resolution=resolution,
        num_outputs=CLASSES,
        in_channels=3,
        preprocessing=fed,
        classes=names,
        source="here",
        pixel_head=pixel_head,
    )
    return assemble(card, state, where="here")


def resolutions(text: str, resolution: int) -> tuple[int, ...]:
    """A second one where the weights are for any."""
    return (resolution, resolution + 33) if text.startswith("nfnet") else (resolution,)


def check_own_and_hub(loaded: LoadedModel, folder: Path) -> None:
    save_safetensors(loaded, folder / "own.safetensors")
    again = load_model(folder / "own.safetensors")
    assert again.card == loaded.card
    assert again.digest() == loaded.digest()
    save_hub(loaded, folder / "hub")
    from_hub = load_model(folder / "hub")
    assert (from_hub.preprocessing, from_hub.classes) == (loaded.preprocessing, loaded.classes)
    for pixels in resolutions(loaded.card.architecture, loaded.card.resolution):
        assert difference(from_hub.model, loaded.model, resolution=pixels) <= 1e-5


def check_timm(loaded: LoadedModel, folder: Path) -> None:
    call = save_timm(loaded, folder / "theirs.safetensors")
    with Undrawn():
        theirs = timm.create_model(call.name, **call.arguments)
    theirs.load_state_dict(load_file(folder / "theirs.safetensors"))
    save_hub(loaded, folder / "hub")
    hub = timm.create_model(f"local-dir:{folder / 'hub'}", pretrained=True)
    for pixels in resolutions(loaded.card.architecture, loaded.card.resolution):
        assert difference(theirs.eval(), loaded.model, resolution=pixels) <= 1e-5
        assert difference(hub.eval(), loaded.model, resolution=pixels) <= 1e-5
    assert of_kind(dict, hub.pretrained_cfg)["mean"] == list(loaded.preprocessing.mean)


def check_programs(loaded: LoadedModel, folder: Path) -> None:
    pixels = loaded.card.resolution
    assert difference(folded(loaded), loaded.model, resolution=pixels) <= 1e-5
    save_torch_export(loaded, folder / "net.pt2")
    extra = {"levelfield.json": ""}
    program = torch.export.load(folder / "net.pt2", extra_files=extra).module()
    assert json.loads(extra["levelfield.json"])["rules"] == loaded.card.rules
    assert difference(program, loaded.model, resolution=pixels) <= 1e-5
    save_onnx(loaded, folder / "net.onnx")
    session = onnxruntime.InferenceSession(folder / "net.onnx", providers=["CPUExecutionProvider"])
    assert json.loads(session.get_modelmeta().custom_metadata_map["levelfield"])["classes"][0] == "class 0"

    def run(images: torch.Tensor) -> np.ndarray:
        return session.run(["logits"], {"images": images.numpy()})[0]  # pyright: ignore[reportReturnType]

    assert difference(run, loaded.model, resolution=pixels) <= 1e-5
    images = torch.randn(5, 3, pixels, pixels)
    with torch.no_grad():
        assert np.allclose(run(images), loaded.model(images), atol=1e-4)


SMALLEST = ("vit:w48-d2-p8-h4-m2", 32)
FURTHER = {
    "nfnet:w16-d1x1-s2": 17,
    "nfnet:w16-d1x1,ws=timm,gelu=erf,pad=symmetric": 16,
    "vit:w48-d2-p8-h4-m2,pool=token,gelu=erf": 32,
    "vit:w48-d2-p8-h4-m2,pool=map,pos=sincos2d,gelu=erf": 32,
    "timm:resnet10t,channels=8x8x16x16,stem_width=8": 32,
}


@pytest.mark.parametrize(
    ("text", "resolution"),
    [SMALLEST, *(pytest.param(*own, marks=pytest.mark.slow) for own in FURTHER.items())],
)
def test_small_networks_come_back_from_every_form(text: str, resolution: int, tmp_path: Path) -> None:
    loaded = random_model(text, resolution=resolution)
    check_own_and_hub(loaded, tmp_path)
    check_programs(loaded, tmp_path)
    if text.startswith(("vit", "timm")):
        check_timm(loaded, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("text", ["nfnet:w16-d1x1-s2", "vit:w48-d2-p8-h4-m2,pool=token", "timm:resnet10t,stem_width=8"])
def test_a_network_that_answers_every_pixel_goes_to_others_runtimes(text: str, tmp_path: Path) -> None:
    check_programs(
        random_model(text, resolution=32, pixel_head=PixelHead(num_outputs=CLASSES, output_stride=4)), tmp_path
    )


@pytest.mark.slow
@pytest.mark.parametrize("text", ["nfnet:F0,gelu=erf", "nfnet:F0,ws=timm,gelu=erf,pad=symmetric"])
def test_an_f0_goes_to_timm_by_either_rule(text: str, tmp_path: Path) -> None:
    check_timm(random_model(text, resolution=64), tmp_path)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("nfnet:F0,ws=timm", "tanh|erf gelu alone"),
        ("nfnet:F0+,gelu=erf", r"stem of a '\+' variant 24, 48 and 96"),
        ("nfnet:w16-d1,gelu=erf", "no stem like its own"),
    ],
)
def test_what_timm_cannot_express_is_refused_with_the_reason(text: str, why: str, tmp_path: Path) -> None:
    with torch.device("meta"), Undrawn():
        network = registry.build(text, num_outputs=2, resolution=32)
    assert isinstance(network, nn.Module)
    fed = Preprocessing.of_training(resolution=32, in_channels=3)
    card = Card.of(text, resolution=32, num_outputs=2, in_channels=3, preprocessing=fed)
    with pytest.raises(SpecError, match=why):
        save_timm(LoadedModel(model=network, card=card), tmp_path / "theirs.safetensors")


SIZES = [
    *((f"nfnet:F{n},gelu=erf", (64, 97)) for n in range(5)),
    *((f"nfnet:F{n}+", (64, 97)) for n in range(3)),
    *((f"vit:{name}/16,gelu=erf", (64, 96)) for name in ("Ti", "S", "B", "L")),
    # F5 to F7 and F3+ to F7+ are F0 and F0+ with more of the same blocks; H/14 is this with more layers.
    ("vit:w1280-d2-p14-h16-m4,gelu=erf", (56, 98)),
]


ONE_OF_EACH = ("nfnet:F0+", "vit:S/16,gelu=erf")


@pytest.mark.parametrize(
    ("text", "sides"),
    [
        *(
            pytest.param(text, sides[:1], marks=pytest.mark.slow, id=text)
            for text, sides in SIZES
            if text in ONE_OF_EACH
        ),
        *(pytest.param(text, sides, marks=pytest.mark.acceptance, id=f"{text} at {sides}") for text, sides in SIZES),
    ],
)
def test_every_preset_up_to_350_million_parameters_comes_back(
    text: str, sides: tuple[int, int], tmp_path: Path
) -> None:
    for side in sides:
        loaded = random_model(text, resolution=side)
        check_own_and_hub(loaded, tmp_path)
        if "+" not in text:
            check_timm(loaded, tmp_path)
        check_programs(loaded, tmp_path)
