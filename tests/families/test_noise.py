"""Dropout by key: the words of the slow reference, one after another, and the chances that are asked for."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from levelfield.data.draws import draw_bits
from levelfield.families import registry
from levelfield.families.noise import DropSite, KeyedNoise, drawn_words

from .test_registry import TINY_CONVNEXT

WORD = 2**64
NETWORKS = ["nfnet:w8-d1x1-s4", "vit:w16-d2-p8", "vit:w16-d1-p8,pool=token", TINY_CONVNEXT]


def mixed_by_hand(word: int) -> int:
    """SplitMix64's finaliser (Stafford's variant 13) on unsigned words, from the paper."""
    word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9 % WORD
    word = (word ^ (word >> 27)) * 0x94D049BB133111EB % WORD
    return word ^ (word >> 31)


def kept_by_hand(stream: int, site: int, unit: int, grains: int) -> bool:
    """Whether one unit of one example is kept where ``grains`` of 2^16 are dropped."""
    golden = 0x9E3779B97F4A7C15
    start = mixed_by_hand((stream + site * golden) % WORD)
    word = mixed_by_hand((start + (unit // 4 + 1) * golden) % WORD)
    part = word >> 16 * (unit % 4) & 0xFFFF
    signed = part - 2**16 if part >= 2**15 else part
    return signed + 2**15 >= grains


def streams(count: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(-(2**63), 2**63, count))


def at_site(number: int, rate: float, **how: bool) -> tuple[KeyedNoise, DropSite]:
    noise = KeyedNoise()
    noise.num_sites = number
    return noise, DropSite(noise, rate, **how)


@pytest.mark.parametrize("site", [0, 1, 59, 2**40])
def test_words_are_those_that_data_draws(site: int) -> None:
    each = torch.cat([streams(9), torch.tensor([0, -1, 2**63 - 1, -(2**63)])])
    words = drawn_words(each, site, 17).numpy().view(np.uint64)
    assert (words == draw_bits(each.numpy().view(np.uint64), np.full(len(each), site), 17)).all()


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.93, 1e-9, 1 - 1e-9])
def test_every_unit_falls_as_the_reference_says_one_at_a_time(rate: float) -> None:
    noise, site = at_site(7, rate)
    each, grains = streams(5), min(max(1, round(rate * 2**16)), 2**16 - 1)
    with noise.drawn_from(each):
        found = site(torch.ones(5, 3, 7, dtype=torch.float64), True)
    scale = 2**16 / (2**16 - grains)
    for row, stream in enumerate(each.tolist()):
        kept = [kept_by_hand(stream % WORD, 7, unit, grains) for unit in range(21)]
        assert found[row].flatten().tolist() == [scale * keep for keep in kept]


def test_a_branch_falls_whole_and_is_made_up_for_only_where_that_is_said() -> None:
    each = streams(40)
    for rescaled, scale in ((True, 2.0), (False, 1.0)):
        noise, site = at_site(3, 0.5, whole=True, rescaled=rescaled)
        with noise.drawn_from(each):
            found = site(torch.ones(40, 2, 3), True)
        kept = [scale * kept_by_hand(stream % WORD, 3, 0, 2**15) for stream in each.tolist()]
        assert found.tolist() == [[[value] * 3] * 2 for value in kept]


def test_several_rows_of_an_example_draw_apart_in_their_order() -> None:
    noise, site = at_site(3, 0.5, whole=True)
    with noise.drawn_from(streams(10)):
        apart = site(torch.ones(30, 4), True)
    noise, site = at_site(3, 0.5)
    with noise.drawn_from(streams(10)):
        assert torch.equal(site(torch.ones(10, 3), True).flatten(), apart[:, 0])


def test_units_fall_at_their_rate_whatever_their_place_and_independently_of_their_neighbours() -> None:
    rate, examples, units = 0.3, 600, 400
    each, found = streams(examples), []
    for number in range(3):
        noise, site = at_site(number, rate)
        with noise.drawn_from(each):
            found.append((site(torch.ones(examples, units), True) == 0).double())
    fallen = torch.stack(found)
    spread = math.sqrt(rate * (1 - rate))
    for axes in ((0, 1), (0, 2), (1, 2)):  # a unit's, an example's, a site's share
        share = fallen.mean(axes)
        draws = fallen.numel() / len(share)
        assert (share - rate).abs().max() < 5 * spread / math.sqrt(draws)
        assert ((share - rate).square().mean() * draws / spread**2).sqrt() == pytest.approx(
            1, abs=4 / math.sqrt(2 * len(share)) if len(share) > 3 else 1.5
        )
    scores = (fallen - rate) / spread
    pairs = {
        "the unit beside": (scores[..., 1:], scores[..., :-1]),
        "the word beside": (scores[..., 4:], scores[..., :-4]),
        "the example beside": (scores[:, 1:], scores[:, :-1]),
        "the next site": (scores[1:], scores[:-1]),
        "the next site's next unit": (scores[1:, :, 1:], scores[:-1, :, :-1]),
    }
    for name, (here, there) in pairs.items():
        assert abs(float((here * there).mean())) < 4.5 / math.sqrt(here.numel()), name


def test_streams_of_neighbouring_keys_are_as_good() -> None:
    """Streams 0, 1, 2 ... instead of hashes: the mixing alone must tell them apart."""
    noise, site = at_site(0, 0.5)
    with noise.drawn_from(torch.arange(1000)):
        signs = site(torch.ones(1000, 300), True) - 1
    assert abs(float((signs[1:] * signs[:-1]).mean())) < 4.5 / math.sqrt(300_000)
    assert signs.mean(0).abs().max() < 5 / math.sqrt(1000)
    assert signs.mean(1).abs().max() < 5 / math.sqrt(300)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_the_gradient_meets_what_the_activation_met(dtype: torch.dtype) -> None:
    noise, site = at_site(2, 0.4)
    x = torch.randn(6, 50, dtype=dtype, requires_grad=True)
    with noise.drawn_from(streams(6)):
        y = site(x, True)
        again = site(torch.ones_like(x), True)
    y.backward(torch.ones_like(y))
    assert y.dtype == dtype
    assert x.grad is not None
    torch.testing.assert_close(x.grad, again.detach())
    torch.testing.assert_close(y.detach(), x.detach() * again.detach(), rtol=1e-2, atol=0)


def test_nothing_is_drawn_where_nothing_falls() -> None:
    x = torch.randn(3, 4)
    for rate, training in ((0.0, True), (0.5, False)):
        _, site = at_site(0, rate)
        assert site(x, training) is x


def test_a_network_that_is_told_no_streams_or_those_of_others_says_so() -> None:
    noise, site = at_site(0, 0.5)
    with pytest.raises(ValueError, match="needs streams"):
        site(torch.ones(3, 4), True)
    with noise.drawn_from(streams(2)), pytest.raises(ValueError, match="2 streams on cpu are not one for each example"):
        site(torch.ones(3, 5), True)
    assert noise.streams is None


@pytest.mark.parametrize("text", NETWORKS)
def test_all_that_a_network_drops_is_drawn_by_key(text: str) -> None:
    """Equal streams, equal outputs, whatever torch's generator holds; an example has its own in any company."""
    torch.manual_seed(0)
    model = registry.build(text, num_outputs=5, resolution=16, dropout=0.3, stochastic_depth=0.6)
    for name, parameter in model.named_parameters():
        if name.startswith("head.") or name.endswith("skip_gain"):
            torch.nn.init.normal_(parameter)
    model.train()
    noise, images, each = model.noise, torch.randn(6, 3, 16, 16), streams(6)
    assert isinstance(noise, KeyedNoise)

    def outputs(rows: slice, drawn: torch.Tensor) -> torch.Tensor:
        with noise.drawn_from(drawn[rows]), torch.no_grad():
            return model(images[rows])

    whole = outputs(slice(None), each)
    parts = torch.cat([outputs(slice(start, start + 2), each) for start in (0, 2, 4)])
    torch.testing.assert_close(parts, whole, rtol=1e-4, atol=1e-5)
    others = outputs(slice(None), streams(6, seed=1))
    assert ((others - whole).abs().amax(1) > 1e-3).all()
