"""The policy of every published variant, by name: what is clipped, what is decayed, and in which units."""

import pytest
import torch

from levelfield.families import registry
from levelfield.families.nfnet.spec import VARIANTS as NFNETS
from levelfield.families.vit.spec import VARIANTS as VITS
from levelfield.study.plan.recipes import preset
from levelfield.train.policy import policy_table
from tests.undrawn import Undrawn

# Of a tensor: clipped, decayed, clipped row by row.
Row = tuple[bool, bool, bool]


def nfnet_table(depths: tuple[int, ...], *, skip_gain_clipped: bool) -> dict[str, Row]:
    """Every tensor of a published NFNet. The classifier's kernel alone is never clipped, kernels alone are decayed."""
    table: dict[str, Row] = {}
    convs = [f"stem.conv{index}" for index in (1, 2, 3, 4)] + ["final_conv"]
    for stage, depth in enumerate(depths):
        for index in range(depth):
            block = f"stages.{stage}.{index}"
            convs += [f"{block}.{conv}" for conv in ("conv1", "conv2", "conv3", "conv4")] + [f"{block}.shortcut"] * (
                index == 0
            )
            table[f"{block}.skip_gain"] = (skip_gain_clipped, False, False)
            for linear in ("squeeze", "excite"):
                table[f"{block}.{linear}.weight"] = (True, True, True)
                table[f"{block}.{linear}.bias"] = (True, False, False)
    for conv in convs:
        table[f"{conv}.weight"] = (True, True, True)
        table[f"{conv}.gain"] = table[f"{conv}.bias"] = (True, False, False)
    table["head.weight"], table["head.bias"] = (False, True, True), (True, False, False)
    return table


def vit_table(depth: int, pool: str, *, agc: bool) -> dict[str, Row]:
    """The same of a published ViT: kernels are decayed; nothing is clipped tensor by tensor but under AGC."""
    linears = ["patch_embed"] + [f"blocks.{i}.{part}" for i in range(depth) for part in ("qkv", "proj", "fc1", "fc2")]
    norms = [f"blocks.{i}.{part}" for i in range(depth) for part in ("norm1", "norm2")] + ["norm"]
    others = ["position", *(["class_token"] if pool == "token" else []), *(["map_head.probe"] if pool == "map" else [])]
    if pool == "map":
        linears += [f"map_head.{part}" for part in ("query", "key_value", "proj", "fc1", "fc2")]
        norms += ["map_head.norm"]
    table: dict[str, Row] = {name: (agc, False, name == "position") for name in others}
    for name in linears:
        table[f"{name}.weight"], table[f"{name}.bias"] = (agc, True, True), (agc, False, False)
    for name in norms:
        table[f"{name}.weight"] = table[f"{name}.bias"] = (agc, False, False)
    table["head.weight"], table["head.bias"] = (False, True, True), (agc, False, False)
    return table


def policy_of(architecture: str, recipes: tuple[str, ...]) -> dict[str, dict[str, Row]]:
    """The policy of a network that takes no memory, by recipe and name."""
    spec = registry.parse(architecture)
    with torch.device("meta"), Undrawn():
        model = registry.build(spec, num_outputs=10, resolution=64)
    parameters = dict(model.named_parameters())
    roles = {name: registry.parameter_role(spec, name) for name in parameters}
    tables = {name: policy_table(parameters, roles, preset(name, peak_lr=0.1)) for name in recipes}
    assert all([row.name for row in rows] == list(parameters) for rows in tables.values())
    return {
        recipe: {row.name: (row.clipped, row.decayed, row.unit_axis == 0 and row.shape[0] > 1) for row in rows}
        for recipe, rows in tables.items()
    }


@pytest.mark.parametrize(
    "variant", [each if each[1] in "01" else pytest.param(each, marks=pytest.mark.slow) for each in NFNETS]
)
def test_the_policy_of_every_published_nfnet_is_the_papers_by_name(variant: str) -> None:
    depths = tuple((int(variant[1]) + 1) * blocks for blocks in (1, 2, 6, 3))
    for recipe, rows in policy_of(f"nfnet:{variant}", ("nfnet-faithful", "nfnet-short")).items():
        expected = nfnet_table(depths, skip_gain_clipped=recipe == "nfnet-faithful")
        assert rows == expected


@pytest.mark.parametrize("variant", VITS)
@pytest.mark.parametrize("pool", ["gap", "token", "map"])
def test_the_policy_of_every_published_vit_is_big_visions_by_name(variant: str, pool: str) -> None:
    depth = {"Ti": 12, "S": 12, "B": 12, "L": 24, "So400m": 27, "H": 32, "g": 40, "G": 48}[variant]
    for recipe, rows in policy_of(f"vit:{variant}/16,pool={pool}", ("vit-big-vision", "vit-sgd-agc")).items():
        expected = vit_table(depth, pool, agc=recipe == "vit-sgd-agc")
        assert rows == expected
