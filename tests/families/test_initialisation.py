"""Initial values, tensor by tensor: the whole distribution as the sources state it, and no tensor without a source."""

import math
import re
from collections.abc import Callable

import pytest
import torch
from scipy import stats
from torch import Tensor

from levelfield.families import registry

# A law says what a tensor's numbers are drawn from, given the inputs and outputs of its kernel.
Law = Callable[[int, int], stats.distributions.rv_frozen]


def cut_normal(std: float) -> stats.distributions.rv_frozen:
    """A normal of ``std`` before it is cut at two deviations."""
    return stats.truncnorm(-2, 2, scale=std)


def uniform(limit: float) -> stats.distributions.rv_frozen:
    return stats.uniform(-limit, 2 * limit)


def xavier(inputs: int, outputs: int) -> stats.distributions.rv_frozen:
    return uniform(math.sqrt(6 / (inputs + outputs)))


# nfnets/{base,nfnet}.py: standardised convolutions by VarianceScaling(1, fan_in, normal), gains one, biases zero;
# haiku's default for the linear maps of squeeze-excite; N(0, 0.01) for the classifier; branches shut.
CONV = r"(stem\.conv\d|stages\.\d\.\d\.(conv\d|shortcut)|final_conv)"
NFNET: dict[str, float | Law] = {
    rf"{CONV}\.weight": lambda inputs, outputs: stats.norm(scale=inputs**-0.5),
    rf"{CONV}\.gain": 1.0,
    r"stages\.\d\.\d\.(squeeze|excite)\.weight": lambda inputs, outputs: cut_normal(inputs**-0.5),
    r"head\.weight": lambda inputs, outputs: stats.norm(scale=0.01),
    r"stages\.\d\.\d\.skip_gain": 0.0,
    r".*\.bias": 0.0,
}
# big_vision models/vit.py: flax's lecun_normal (its deviation is that after the cut) for patches, xavier_uniform for
# each projection of its own, N(0, 1e-6) for the biases of an MLP, zeros for class token and head.
VIT: dict[str, float | Law] = {
    r"patch_embed\.weight": lambda inputs, outputs: cut_normal(inputs**-0.5 / stats.truncnorm(-2, 2).std()),
    r"(blocks\.\d\.(proj|fc1|fc2)|map_head\.(query|proj|fc1|fc2))\.weight": xavier,
    r"blocks\.\d\.qkv\.weight": lambda inputs, outputs: xavier(inputs, outputs // 3),
    r"map_head\.key_value\.weight": lambda inputs, outputs: xavier(inputs, outputs // 2),
    r"map_head\.probe": lambda inputs, outputs: xavier(inputs, 1),
    r"(blocks\.\d|map_head)\.fc\d\.bias": lambda inputs, outputs: stats.norm(scale=1e-6),
    r"position": lambda inputs, outputs: stats.norm(scale=inputs**-0.5),
    r"(.*\.)?norm\d?\.weight": 1.0,
    r"class_token": 0.0,
    r"head\.weight": 0.0,
    r".*\.bias": 0.0,
}


def assert_drawn_from(law: Law, tensor: Tensor, name: str) -> None:
    """Every statistic of ``tensor`` is one that such a draw has, but for once in tens of thousands of tensors."""
    inputs = tensor[0].numel() if tensor.ndim > 1 else 1
    expected, numbers = law(inputs, len(tensor)), tensor.flatten().double()
    count = len(numbers)
    deviation, kurtosis = expected.std(), float(expected.stats(moments="k"))
    assert abs(numbers.mean().item()) < 4.5 * deviation / math.sqrt(count), name
    tolerance = 4.5 * math.sqrt((kurtosis + 2) / (4 * count))
    assert numbers.std().item() == pytest.approx(deviation, rel=tolerance), name
    assert stats.kstest(numbers[:20_000].numpy(), expected.cdf).pvalue > 1e-5, name
    assert numbers.abs().max().item() <= expected.support()[1] * (1 + 1e-6), name


@pytest.mark.parametrize(
    ("text", "laws"),
    [
        ("nfnet:w64-d1x2x1-s4", NFNET),
        ("nfnet:w96-d2-g16", NFNET),
        ("vit:w128-d2-p8-m2,pool=map", VIT),
        ("vit:w96-d1-p16,pool=token", VIT),
    ],
)
def test_every_tensor_starts_as_its_source_says(text: str, laws: dict[str, float | Law]) -> None:
    torch.manual_seed(0)
    model = registry.build(text, num_outputs=100, resolution=64)
    for name, parameter in model.named_parameters():
        law = next((law for pattern, law in laws.items() if re.fullmatch(pattern, name)), None)
        assert law is not None, f"{name} has no source"
        if callable(law):
            assert_drawn_from(law, parameter.detach(), name)
        else:
            assert (parameter == law).all(), name
