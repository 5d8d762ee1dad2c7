"""Every name of timm's that we claim to know, against timm's own registry."""

import pytest
import timm
import torch
from timm.data import resolve_data_config
from timm.models import get_pretrained_cfg

from levelfield.families import registry
from levelfield.families.vit.spec import ViTSpec
from levelfield.records.errors import SpecError
from levelfield.weights.timm_names import architecture_named, preprocessing_named
from tests.narrowed import of_kind, present
from tests.undrawn import Undrawn


def known_names() -> list[str]:
    names = []
    for name in timm.list_models(["*nfnet_f*", "vit_*", "deit*"], pretrained=False):
        try:
            architecture_named(name)
        except SpecError:
            continue
        names.append(name)
    return names


KNOWN = known_names()
SMALLEST = ("dm_nfnet_f0", "nfnet_f0", "vit_tiny_patch16_224", "deit_tiny_patch16_224", "deit3_small_patch16_224")


def test_the_names_are_those_of_plain_networks() -> None:
    assert len(KNOWN) > 40
    assert {"dm_nfnet_f6", "nfnet_f7", "vit_tiny_patch16_224", "deit_base_patch16_384", "deit3_huge_patch14_224"} < set(
        KNOWN
    )
    assert not [name for name in KNOWN if any(word in name for word in ("distilled", "clip", "reg", "rope", "dinov"))]


@pytest.mark.parametrize(
    "name", [name if name in SMALLEST else pytest.param(name, marks=pytest.mark.slow) for name in KNOWN]
)
def test_a_known_network_has_timms_tensors(name: str) -> None:
    with torch.device("meta"), Undrawn():
        theirs = timm.create_model(name, num_classes=7)
        text = architecture_named(name)
        sizes = registry.conversion(text).sizes_in_timm(theirs.state_dict())
        resolution = sizes["resolution"] or 64
        assert sizes["num_outputs"] == 7
        ours = registry.build(text, num_outputs=7, resolution=resolution)
        converted = registry.conversion(text).from_timm(theirs.state_dict(), ours)
    assert converted.keys() == dict(ours.named_parameters()).keys()
    if "vit" in name or "deit" in name:
        block, spec = theirs.get_submodule("blocks.0"), of_kind(ViTSpec, registry.parse(text))
        assert type(block.get_submodule("mlp.act")).__name__ == "GELU"
        assert block.get_submodule("attn").num_heads == spec.num_heads
        assert {"token": "token", "gap": "avg", "map": "map"}[spec.pooling] == theirs.global_pool


def tagged_names() -> list[str]:
    return [name for name in timm.list_pretrained(["*nfnet_f*", "vit_*", "deit*"]) if name.partition(".")[0] in KNOWN]


@pytest.mark.parametrize("name", tagged_names())
def test_known_weights_are_fed_as_timm_feeds_them(name: str) -> None:
    try:
        ours = preprocessing_named(name)
    except SpecError:
        return
    theirs = present(get_pretrained_cfg(name))
    data = resolve_data_config(pretrained_cfg=theirs.to_dict(), use_test_size=True)
    assert data["input_size"][1] == ours.resolution
    for key in ("mean", "std", "crop_pct", "crop_mode", "interpolation"):
        assert data[key] == getattr(ours, key), (name, key)
