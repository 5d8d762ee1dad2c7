"""Texts, specs and roles: what the rest of the system knows of a family."""

import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from levelfield.families import registry
from levelfield.families.base import Backbone, Layer
from levelfield.families.nfnet.spec import VARIANTS as NFNETS
from levelfield.families.nfnet.spec import NFNetSpec
from levelfield.families.vit.spec import VARIANTS as VITS
from levelfield.families.vit.spec import ViTSpec
from levelfield.records.errors import SpecError
from levelfield.records.fingerprint import fingerprint

NFNET_TEXTS = st.builds(
    lambda width, depths, group, stem, ws, gelu: (
        f"nfnet:w{2 * width}-d{'x'.join(map(str, depths))}-g{group}-s{stem},ws={ws},gelu={gelu}"
    ),
    st.integers(2, 200),
    st.lists(st.integers(1, 12), min_size=1, max_size=4),
    st.integers(1, 128),
    st.sampled_from([1, 2, 4]),
    st.sampled_from(["clamp", "timm"]),
    st.sampled_from(["tanh", "erf"]),
)
VIT_TEXTS = st.builds(
    lambda heads, head_width, depth, patch, ratio, pool, pos: (
        f"vit:p{patch}-w{4 * heads * head_width}-d{depth}-h{heads}-m{ratio},pos={pos},pool={pool}"
    ),
    st.integers(1, 16),
    st.integers(1, 16),
    st.integers(1, 48),
    st.integers(1, 32),
    st.integers(1, 8),
    st.sampled_from(["gap", "token", "map"]),
    st.sampled_from(["learned", "sincos2d"]),
)
TINY_CONVNEXT = "timm:convnextv2_atto,depths=1x1x1x1,dims=8x8x16x16,patch_size=1"
ALL_VARIANTS = [
    *(f"nfnet:{name}" for name in NFNETS),
    *(f"nfnet:{name},rounding=released" for name in NFNETS if name.endswith("+")),
    *(f"vit:{name}/16" for name in VITS),
]
BUILT = [
    "nfnet:F0",
    "nfnet:F0+",
    "nfnet:F0+,rounding=released",
    "vit:Ti/16",
    "vit:So400m/16",
    "nfnet:w8-d1-s4",
    "nfnet:w16-d1x1-s16",
    "nfnet:w16-d1x2x1x2-s1",
    "vit:w24-d2-p4,pool=token",
    "vit:w24-d2-p4,pool=map",
    "vit:w24-d2-p4,pos=sincos2d",
    "timm:convnextv2_atto",
    "timm:convnext_atto,depths=1x1x1x1,dims=8x8x16x16,patch_size=2",
    "timm:coatnext_nano_rw_224",
    "timm:vit_tiny_patch16_224",
    "timm:mixer_s32_224",
]


@settings(deadline=None)
@given(st.one_of(NFNET_TEXTS, VIT_TEXTS))
def test_canonical_text_means_the_same_spec_and_is_its_own_canonical_text(text: str) -> None:
    spec = registry.parse(text)
    again = registry.parse(spec.text)
    assert again == spec
    assert hash(again) == hash(spec)
    assert again.text == spec.text


@pytest.mark.parametrize("text", ALL_VARIANTS)
def test_the_text_of_a_published_variant_is_canonical(text: str) -> None:
    assert registry.parse(text).text == text


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("nfnet:w16-d1x1x1-g16-s2", "nfnet:w16-d1x1x1"),
        ("nfnet:s4-d1x2-w16,gelu=tanh,ws=timm", "nfnet:w16-d1x2-s4,ws=timm"),
        ("vit:w64-d3-p4-h2-m4", "vit:w64-d3-p4"),
        ("vit:w768-d12-p16-h12", "vit:B/16"),
        (" vit:B/16 , gelu=erf , pool=map ", "vit:B/16,pool=map,gelu=erf"),
        ("timm:convnext_atto, dims=8x8x16x16, depths=1x1x1x1", "timm:convnext_atto,depths=1x1x1x1,dims=8x8x16x16"),
    ],
)
def test_defaults_are_omitted_and_codes_and_options_are_put_in_order(text: str, canonical: str) -> None:
    assert registry.parse(text).text == canonical


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("F3+", "expected family:body"),
        ("nfnt:F3", "did you mean 'nfnet'"),
        ("nfnet:F8", "no variant 'F8'"),
        ("nfnet:F3++", "did you mean 'F3"),
        ("nfnet:w16", "w<width>-d<blocks>"),
        ("nfnet:w16-d1x2-q3", "cannot read 'q3'"),
        ("nfnet:w16-g16", "d missing"),
        ("nfnet:w16-w32-d1", "given twice"),
        ("nfnet:w15-d1", "even number"),
        ("nfnet:w2-d1", "at least 4"),
        ("nfnet:w16-d1x1x1x1x1", "cannot read"),
        ("nfnet:w16-d1-s3", "cannot read 's3'"),
        ("nfnet:F3,rounding=released", "only matters for the '+' variants"),
        ("nfnet:w16-d1,rounding=released", "only matters for the '+' variants"),
        ("nfnet:F3,geluu=erf", "did you mean 'gelu'"),
        ("nfnet:F3,gelu=erff", "did you mean 'erf'"),
        ("nfnet:F3,gelu", "expected key=value"),
        ("nfnet:F3,gelu=erf,gelu=tanh", "given twice"),
        ("vit:B", "such as 'B/16'"),
        ("vit:So400/14", "did you mean 'So400m'"),
        ("vit:w64-d3", "p missing"),
        ("vit:w64-d3-p4-h3", "divisor of the width 64"),
        ("vit:w30-d1-p4,pos=sincos2d", "multiple of 4"),
        ("timm:convnextv2_atto.fcmae", "a name without a tag"),
        ("timm:convnextv2_atto,drop_path_rate=0.1", "the recipe's stochastic_depth decides"),
        ("timm:convnextv2_atto,act_layer=import os", "expected <timm's name>"),
    ],
)
def test_a_text_that_cannot_be_meant_is_refused_with_what_was_expected(text: str, message: str) -> None:
    with pytest.raises(SpecError) as refused:
        registry.parse(text)
    assert message in str(refused.value)


def test_a_shape_that_no_text_names_is_refused() -> None:
    with pytest.raises(SpecError, match="no text names"):
        NFNetSpec(widths=(16, 48), depths=(1, 1), group_width=16, stem_channels=(8,), stem_strides=(2,))
    with pytest.raises(SpecError, match="multiple of the width"):
        ViTSpec(width=64, depth=2, mlp_width=100, num_heads=2, patch_size=4)


@pytest.mark.parametrize(("width", "heads"), [(8, 1), (16, 1), (24, 1), (32, 1), (48, 2), (64, 2), (96, 3), (192, 6)])
def test_default_heads_are_about_32_channels_wide(width: int, heads: int) -> None:
    assert ViTSpec.ladder(width=width, depth=1, patch_size=4).num_heads == heads


def test_a_resolution_that_patches_do_not_divide_is_refused_by_counting_and_building() -> None:
    with pytest.raises(SpecError, match="not a multiple"):
        registry.list_layers("vit:B/16", resolution=100, num_outputs=10)
    with pytest.raises(SpecError, match="not a multiple"):
        registry.build("vit:w16-d1-p4", num_outputs=10, resolution=30)


@pytest.mark.parametrize("text", BUILT)
def test_every_parameter_has_a_role_that_its_shape_bears_out(text: str) -> None:
    spec = registry.parse(text)
    with torch.device("meta"):
        model = registry.build(spec, num_outputs=11, resolution=32)
    roles = {name: registry.parameter_role(spec, name) for name, _ in model.named_parameters()}
    for name, parameter in model.named_parameters():
        role = roles[name]
        assert (role in ("kernel", "classifier_kernel", "position", "token")) == (parameter.ndim >= 2), name
        assert (role == "skip_gain") == (parameter.ndim == 0), name
    assert [name for name, role in roles.items() if role == "classifier_kernel"] == ["head.weight"]
    assert [name for name, role in roles.items() if role == "classifier_bias"] == ["head.bias"]


@pytest.mark.parametrize("text", BUILT)
def test_every_layer_of_the_bill_is_a_part_of_the_network_with_as_many_parameters(text: str) -> None:
    spec = registry.parse(text)
    with torch.device("meta"):
        model = registry.build(spec, num_outputs=11, resolution=32)
    built = {name: parameter.numel() for name, parameter in model.named_parameters()}
    for layer in registry.list_layers(spec, resolution=32, num_outputs=11):
        params = sum(built.pop(name, 0) for name in parameter_names(layer))
        assert params == layer.params, layer.name
    assert not built


@pytest.mark.parametrize("text", ALL_VARIANTS)
def test_every_parameter_of_every_variant_has_a_role(text: str) -> None:
    spec = registry.parse(text)
    for layer in registry.list_layers(spec, resolution=224, num_outputs=1000):
        for name in parameter_names(layer):
            assert registry.parameter_role(spec, name)


def parameter_names(layer: Layer) -> list[str]:
    """The names that a layer's parameters have in the built network."""
    leaves = {
        "conv": ("weight", "gain", "bias"),
        "linear": ("weight", "bias"),
        "norm": ("weight", "bias"),
        "attention": (),
    }
    return [f"{layer.name}.{leaf}" for leaf in leaves[layer.kind]] if layer.kind in leaves else [layer.name]


@pytest.mark.parametrize("text", ["nfnet:F0", "vit:B/16", "timm:convnextv2_atto"])
@pytest.mark.parametrize("name", ["head", "head.weights", "module.head.weight", "stages.0.0.conv5.weight", ""])
def test_a_name_that_no_parameter_has_is_refused(text: str, name: str) -> None:
    with pytest.raises(SpecError):
        registry.parameter_role(text, name)


@pytest.mark.parametrize(
    "text", ["nfnet:w8-d1x1-s4", "vit:w16-d2-p8", "vit:w16-d2-p8,pool=map", "vit:w16-d1-p8,pool=token", TINY_CONVNEXT]
)
def test_a_backbone_trains_one_step_with_finite_gradients_on_every_parameter(text: str) -> None:
    torch.manual_seed(0)
    model = registry.build(text, num_outputs=5, resolution=16, in_channels=2, dropout=0.2, stochastic_depth=0.2)
    assert isinstance(model, Backbone)
    with model.noise.drawn_from(torch.arange(3)):
        assert model.features(torch.randn(3, 2, 16, 16)).shape == (3, model.num_features)
        loss = torch.nn.functional.cross_entropy(model(torch.randn(3, 2, 16, 16)), torch.arange(3))
    loss.backward()
    assert loss.isfinite()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


@pytest.mark.parametrize("text", ["nfnet:w8-d1x1-s4", "vit:w16-d1-p8", TINY_CONVNEXT])
def test_the_same_seed_builds_the_same_weights(text: str) -> None:
    states = []
    for _ in range(2):
        torch.manual_seed(3)
        states.append(registry.build(text, num_outputs=5, resolution=16).state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@pytest.mark.parametrize("text", ["nfnet:w8-d1x2-s4", "vit:w16-d2-p8,pool=map", TINY_CONVNEXT])
def test_a_backbone_exports_and_the_exported_program_gives_the_same_logits(text: str) -> None:
    torch.manual_seed(0)
    model = registry.build(text, num_outputs=5, resolution=16).eval()
    images = torch.randn(2, 3, 16, 16)
    exported = torch.export.export(model, (images,), strict=False)
    torch.testing.assert_close(exported.module()(images), model(images))


def test_equal_specs_have_equal_fingerprints() -> None:
    first, second = registry.parse("nfnet:F3+"), NFNetSpec.variant("F3+")
    assert first == second
    assert fingerprint("architecture", first) == fingerprint("architecture", second)


def test_every_example_in_the_table_of_families_parses() -> None:
    for family in registry.list_families():
        for example in family.examples:
            assert registry.parse(example).family == family.name


def test_specs_texts_and_counts_never_load_torch() -> None:
    code = (
        "import sys; from levelfield.families import registry; import levelfield.compute.analytic as a, "
        "levelfield.compute.budget, levelfield.compute.devices, levelfield.compute.ledger; "
        "registry.list_families(); a.count('nfnet:F3+', resolution=224, num_outputs=1000); "
        "a.count('vit:B/16', resolution=224, num_outputs=1000); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
