"""The analytic count against traced networks and against sums done by hand."""

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from levelfield.compute.analytic import count, train_flops
from levelfield.compute.count import trace
from levelfield.families.registry import build
from levelfield.records.errors import SpecError
from tests.compute.sizes import Sizes

SMALL = st.one_of(
    st.builds(
        lambda width, depths, group, stem: f"nfnet:w{2 * width}-d{'x'.join(map(str, depths))}-g{group}-s{stem}",
        st.integers(2, 40),
        st.lists(st.integers(1, 3), min_size=1, max_size=4),
        st.integers(1, 40),
        st.sampled_from([1, 2, 4]),
    ),
    st.builds(
        lambda heads, head_width, depth, ratio, pool: (
            f"vit:w{heads * head_width}-d{depth}-p4-h{heads}-m{ratio},pool={pool}"
        ),
        st.integers(1, 4),
        st.integers(1, 40),
        st.integers(1, 3),
        st.integers(1, 5),
        st.sampled_from(["gap", "token", "map"]),
    ),
)


@settings(max_examples=20, deadline=None)
@given(SMALL, st.integers(2, 24), st.integers(1, 4), st.integers(1, 200))
@example("nfnet:w80-d1x1-g12", 4, 3, 10)  # 40 channels in 2 groups, since 3 would not be equal
def test_small_networks_cost_what_a_traced_forward_costs(text: str, size: int, channels: int, classes: int) -> None:
    options: Sizes = {"resolution": 4 * size, "num_outputs": classes, "in_channels": channels}
    analytic, traced = count(text, **options), trace(text, **options)
    assert traced.params == analytic.params
    assert traced.forward_flops == analytic.forward_flops


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 99))
def test_an_nfnet_takes_any_resolution_and_counts_padded_sides(resolution: int) -> None:
    text = "nfnet:w8-d1x1-s4"
    traced = trace(text, resolution=resolution, num_outputs=10)
    assert traced.forward_flops == count(text, resolution=resolution, num_outputs=10).forward_flops


def test_the_bill_of_a_small_nfnet_is_the_sum_done_by_hand() -> None:
    counted = count("nfnet:w8-d1-g2-s4", resolution=16, num_outputs=10, in_channels=1)
    macs = {layer.name: layer.forward_macs for layer in counted.layers if layer.forward_macs}
    assert macs == {
        "stem.conv1": 8 * 8 * 9 * 1 * 4,
        "stem.conv2": 4 * 4 * 9 * 4 * 4,
        "stages.0.0.shortcut": 4 * 4 * 4 * 8,
        "stages.0.0.conv1": 4 * 4 * 4 * 4,
        "stages.0.0.conv2": 4 * 4 * 9 * 2 * 4,
        "stages.0.0.conv3": 4 * 4 * 9 * 2 * 4,
        "stages.0.0.conv4": 4 * 4 * 4 * 8,
        "stages.0.0.squeeze": 8 * 4,
        "stages.0.0.excite": 4 * 8,
        "final_conv": 4 * 4 * 8 * 16,
        "head": 16 * 10,
    }
    assert counted.forward_flops == 2 * sum(macs.values())
    assert counted.backward_flops == 2 * counted.forward_flops - 2 * macs["stem.conv1"]
    assert counted.train_flops_per_example == counted.forward_flops + counted.backward_flops


def test_the_backward_of_a_vit_is_what_torch_counts() -> None:
    """No grouped convolutions, so torch's counter is right for it; the image needs no gradient."""
    text = "vit:w24-d2-p4,pool=map"
    options: Sizes = {"resolution": 16, "num_outputs": 10}
    with torch.device("meta"):
        model, images = build(text, **options), torch.empty(1, 3, 16, 16)
        with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):  # noqa: SIM117
            with FlopCounterMode(display=False) as counter:
                model(images).sum().backward()
    assert counter.get_total_flops() == count(text, **options).train_flops_per_example


def test_the_backward_of_an_nfnet_without_groups_is_what_torch_counts() -> None:
    text = "nfnet:w8-d1x1-s2"
    options: Sizes = {"resolution": 16, "num_outputs": 10}
    with torch.device("meta"):
        model, images = build(text, **options), torch.empty(1, 3, 16, 16)
        with FlopCounterMode(display=False) as counter:
            model(images).sum().backward()
    assert counter.get_total_flops() == count(text, **options).train_flops_per_example


def test_training_compute_grows_with_the_examples_and_evaluation_is_the_forward_alone() -> None:
    counted = count("vit:w16-d1-p8", resolution=32, num_outputs=10)
    assert counted.architecture == "vit:w16-d1-p8"
    assert counted.train_flops(1000) == 1000 * counted.train_flops_per_example
    assert counted.evaluate_flops(1000) == 1000 * counted.forward_flops
    assert train_flops("vit:w16-d1-p8", examples=7, resolution=32, num_outputs=10) == counted.train_flops(7)


@pytest.mark.parametrize("sizes", [{"resolution": 0}, {"num_outputs": 0}, {"in_channels": 0}])
@pytest.mark.parametrize("text", ["nfnet:w8-d1", "vit:w16-d1-p8"])
def test_sizes_that_no_image_has_are_refused(text: str, sizes: Sizes) -> None:
    with pytest.raises(SpecError):
        count(text, **{"resolution": 32, "num_outputs": 10, **sizes})
