"""MixUp and CutMix: by whole blocks of positions, exact, and the same whoever mixes them."""

import dataclasses
import functools
from itertools import islice

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests.study.test_trial import trial
from timm.data.mixup import mixup_target

from levelfield.data.arranged import training_order
from levelfield.data.augment.mixing import Mixing, _box, _quantile
from levelfield.data.loader import Batch, Loader
from levelfield.data.sources import open_source
from levelfield.records.data import DigitsSpec
from levelfield.records.errors import SpecError
from levelfield.records.fields import OWN_SHARE, PARTNER
from levelfield.tasks.classification import Classification
from levelfield.train.step import TrainingStep

SOURCE = open_source(DigitsSpec())
BOTH = Mixing(mixup_alpha=0.8, cutmix_alpha=1.0, block=8, seed=3)


def loaded(steps: int, *, mixing: Mixing | None = BOTH, **more) -> list[Batch]:
    said = {"global_batch_size": 32, **more}
    return list(islice(Loader(SOURCE, order=training_order(SOURCE, 1), mixing=mixing, **said), steps))


def table(batches: list[Batch]) -> dict[str, np.ndarray]:
    names = batches[0].fields
    return {name: np.concatenate([batch.fields[name].numpy() for batch in batches]) for name in names}


@functools.cache
def whole() -> dict[str, np.ndarray]:
    return table(loaded(8))


def test_a_mixed_run_is_the_same_for_every_batch_rank_thread_and_restart():
    for batches in (loaded(16, global_batch_size=16), loaded(2, global_batch_size=128), loaded(8, prefetch=3)):
        assert all(np.array_equal(found, whole()[name]) for name, found in table(batches).items())
    rest = table(loaded(5, start_examples=96))
    assert all(np.array_equal(found, whole()[name][96:]) for name, found in rest.items())
    ranks = [loaded(8, rank=rank, world_size=4) for rank in range(4)]
    shares = table([share for batch in zip(*ranks, strict=True) for share in batch])
    assert all(np.array_equal(found, whole()[name]) for name, found in shares.items())


def test_every_pixel_is_mixed_as_the_shares_say():
    plain = table(loaded(8, mixing=None))
    images, labels = plain["image"].astype(int), plain["label"]
    partner = np.arange(256).reshape(-1, 8)[:, [4, 5, 6, 7, 0, 1, 2, 3]].reshape(-1)
    assert np.array_equal(whole()[PARTNER], labels[partner])
    assert np.array_equal(whole()["label"], labels)
    cut = mixed = 0
    for place, own in enumerate(whole()[OWN_SHARE].tolist()):
        seen, mine, theirs = whole()["image"][place].astype(int), images[place], images[partner[place]]
        by_share = (mine * round(own * 256) + theirs * (256 - round(own * 256)) + 128) >> 8
        if np.array_equal(seen, by_share) and (own * 256).is_integer():
            mixed += 1
            continue
        assert ((seen == mine) | (seen == theirs)).all()
        changed = (seen != mine).any(axis=0)
        rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
        area = (rows[-1] - rows[0] + 1) * (columns[-1] - columns[0] + 1) if len(rows) else 0
        assert area <= round((1 - own) * 64), "pixels change inside a box of just that area"
        cut += 1
    assert min(cut, mixed) > 60


def test_shares_have_their_distribution():
    evenly = (np.arange(100_000) + 0.5) / 100_000
    for alpha in (0.2, 0.8, 1.0, 5.0):
        theirs = np.random.default_rng(0).beta(alpha, alpha, 100_000)
        ours = _quantile(evenly, alpha) / 256
        assert abs(np.sort(theirs) - np.sort(ours)).mean() < 0.005
    with_box = [_box(share, 20, row, column) for share in (0.0, 0.3, 1.0) for row in (0, 9, 19) for column in (0, 19)]
    assert all(0 <= top <= bottom <= 20 and 0 <= left <= right <= 20 for top, bottom, left, right in with_box)
    assert _box(0.75, 20, 10, 10) == (5, 15, 5, 15), "a quarter of the area"
    assert _box(1.0, 20, 10, 10) == (10, 10, 10, 10)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_is_that_of_the_mixed_target(smoothing):
    logits, labels = torch.randn(8, 10), torch.arange(8)
    recipe = trial("vit").recipe
    recipe = dataclasses.replace(recipe, label_smoothing=smoothing, mixup_alpha=0.8)
    fields = {"label": labels, PARTNER: labels.flip(0), OWN_SHARE: torch.full((8,), 0.3)}
    ours = Classification().mixed_loss(logits, fields, torch.ones(8, dtype=torch.bool), recipe)
    target = mixup_target(labels, 10, lam=0.3, smoothing=smoothing)
    assert torch.allclose(ours, -(target * F.log_softmax(logits, dim=1)).sum(), rtol=1e-5)


def test_what_is_corrupt_is_mixed_into_nothing():
    images = torch.arange(8, dtype=torch.uint8).mul(30).view(8, 1, 1, 1).expand(8, 1, 4, 4)
    valid = torch.tensor([True] * 7 + [False])
    fields = {"image": images, "label": torch.arange(8)}
    for block in range(20):
        mixed = BOTH.mixed(np.arange(8 * block, 8 * block + 8), fields, valid)
        assert torch.equal(mixed["image"][[3, 7]], images[[3, 7]])
        assert mixed[OWN_SHARE][[3, 7]].tolist() == [1, 1]


@pytest.mark.parametrize(
    "more",
    [{"global_batch_size": 36}, {"start_examples": 4}, {"world_size": 3}, {"global_batch_size": 40, "world_size": 2}],
)
def test_a_block_is_never_cut_and_the_error_says_which_batches_there_may_be(more):
    with pytest.raises(ValueError, match=r"the global batch must be a multiple of \d+"):
        loaded(1, **more)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"mixup_alpha": -1.0}, "mixup_alpha must be from 0.01"),
        ({"cutmix_alpha": 1.0, "mix_block": 12}, "mix_block must be a power of two"),
        ({"cutmix_alpha": 1.0, "multiplicity": 8}, "at least twice the multiplicity"),
    ],
)
def test_a_recipe_that_mixes_an_example_with_itself_is_refused(fields, said):
    with pytest.raises(SpecError, match=said):
        dataclasses.replace(trial("vit").recipe, **fields)


def test_a_task_without_one_label_an_example_cannot_mix():
    spec = trial("vit")
    spec = dataclasses.replace(spec, recipe=dataclasses.replace(spec.recipe, mixup_alpha=0.8))

    class Other:
        fields, additive, loss = ("image",), True, None

    with pytest.raises(SpecError, match="mix labels"):
        TrainingStep(spec, Other(), device=torch.device("cpu"))  # pyright: ignore[reportArgumentType]
