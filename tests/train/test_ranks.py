"""A trial over several ranks is the same trial: the same examples, and the same curve to rounding."""

from __future__ import annotations

import dataclasses
import os
import signal
import time
from typing import Any, NamedTuple

import pytest
import torch

from levelfield.data.loader import Batch
from levelfield.data.sources import open_source_once
from levelfield.native.library import kernels
from levelfield.records.data import DigitPairsSpec
from levelfield.records.errors import RankLostError, SpecError
from levelfield.records.execution import Engine, ExecutionSpec
from levelfield.records.head import LinearHead
from levelfield.records.trial import Dtype, TrialSpec
from levelfield.study.execute.executed import execution_here
from levelfield.study.execute.parts import TrialParts, put_together
from levelfield.study.plan.recipes import preset
from levelfield.train.cuts import refuse_cuts
from levelfield.train.evaluate import evaluate
from levelfield.train.ranks import ALONE, Ranks
from tests.train.over_ranks import over_ranks
from tests.train.test_training_equals_the_recipe import float64

CPU = torch.device("cpu")
DATA = DigitPairsSpec(resolution=16, select_examples=64, report_examples=64)
NFNET, VIT = "nfnet:w16-d1x2-g4-s4", "vit:w16-d2-p4-h2"
RESNET = "timm:resnet10t,channels=8x8x16x16,stem_width=8"
NETWORKS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "NFNet": (NFNET, "nfnet-short", {}),
    "ViT": (VIT, "vit-sgd-agc", {}),
    "ViT by AdamW": (VIT, "vit-short", {}),
    "BatchNorm": (RESNET, "vit-sgd-agc", {"weight_decay": 0.01}),  # with AGC: the preset's
}
CASES: dict[str, tuple[str, str, dict[str, Any]]] = {
    **NETWORKS,
    "dropout and dropped branches": (VIT, "vit-short", {"dropout": 0.2, "stochastic_depth": 0.3}),
    "sharpness by a quarter of the batch": (NFNET, "nfnet-short", {"sam_rho": 0.05, "sam_fraction": 0.25}),
    "sharpness with BatchNorm": (RESNET, "vit-sgd-agc", {"sam_rho": 0.05}),
    "ghost batches": (RESNET, "vit-sgd-agc", {"ghost_batch_size": 4}),
    "mixed in blocks": (NFNET, "nfnet-short", {"mixup_alpha": 0.2, "cutmix_alpha": 1.0, "mix_block": 4}),
}
_RATES = {NFNET: 1.0, VIT: 0.1, RESNET: 0.1}
"""Where training is no chaos, which amplifies rounding without bound."""
ROUNDING = 1e-6
"""How far two curves of 50 steps may be apart, of their losses: see docs/decisions/0037-ranks.md."""


def trial(case: str, *, steps: int, dtype: Dtype = "float32", **changed: Any) -> TrialSpec:
    architecture, recipe, own = CASES[case]
    override = {"warmup_fraction": 0.1, "ema_fraction": 0.3, **own}
    return TrialSpec(
        architecture=architecture,
        data=DATA,
        recipe=preset(recipe, peak_lr=3e-3 if recipe == "vit-short" else _RATES[architecture], override=override),
        head=LinearHead(num_outputs=100),
        budget_flops=1e8,
        global_batch_size=16,
        steps=steps,
        dtype=dtype,
        weights="ema",
        **changed,
    )


class Trained(NamedTuple):
    losses: list[float]
    seen: tuple[int, str, int]
    plain: dict[str, Any]


def parts_of(ranks: Ranks, spec: TrialSpec, asked: ExecutionSpec) -> TrialParts:
    execution = execution_here(asked, CPU, ranks)
    return put_together(spec, open_source_once(spec.data), device=CPU, execution=execution, ranks=ranks)


def masked(batch: Batch) -> Batch:
    """``batch`` with every fifth example of the run, and all of the first four of every other batch, corrupt."""
    corrupt = torch.from_numpy((batch.positions % 5 == 1) | (batch.positions % 32 < 4))
    return dataclasses.replace(batch, valid=batch.valid & ~corrupt)


def trained(
    ranks: Ranks, spec: TrialSpec, asked: ExecutionSpec, masks: bool = False, end: int | None = None, begun: Any = None
) -> Trained:
    parts = parts_of(ranks, spec, asked)
    if begun is not None:
        parts.state.restore(begun)
    state = parts.state
    for batch in parts.loader():
        assert parts.step(state, masked(batch) if masks else batch).finite
        if state.step == end:
            break
    return Trained(state.losses, (state.seen.examples, state.seen.digest, state.masked_examples), state.to_plain())


def assert_equal_to_rounding(one: Trained, other: Trained, *, of: float = ROUNDING, weights: float = 1e-4) -> None:
    """Seen examples equal exactly; every loss to ``of`` of itself, and so all ``weights`` and averages together."""
    assert one.seen == other.seen
    assert len(one.losses) == len(other.losses)
    off = [abs(a - b) / abs(a) for a, b in zip(one.losses, other.losses, strict=True)]
    assert max(off) <= of, max(off)
    for what in (weights_in, averages_in):
        whole, moved = what(one), (what(one) - what(other)).norm()
        assert moved <= weights * whole.norm(), (what, moved / whole.norm())


def weights_in(trained: Trained) -> torch.Tensor:
    return torch.cat([each.double().flatten() for each in trained.plain["model"].values()])


def averages_in(trained: Trained) -> torch.Tensor:
    return torch.cat([each.double().flatten() for each in trained.plain["average"]])


def in_double(ranks: Ranks, spec: TrialSpec, asked: ExecutionSpec, masks: bool) -> Trained:
    """What single precision hides: where curves run apart by rounding alone, they do not here."""
    with float64():
        return trained(ranks, spec, asked, masks)


PLAIN = ExecutionSpec(engine="plain")


@pytest.mark.parametrize(
    ("size", "masks"), [(2, False), *(pytest.param(*each, marks=pytest.mark.slow) for each in ((2, True), (4, True)))]
)
@pytest.mark.parametrize("case", CASES)
def test_steps_of_many_ranks_are_those_of_one(case: str, size: int, masks: bool) -> None:
    """Whatever is clipped, averaged, dropped, mixed, climbed or normalised; with corrupt examples here and there."""
    spec = trial(case, steps=3)
    run, bounds = in_double, {"of": 1e-12, "weights": 1e-9}
    if spec.recipe.mixes:  # shares of a mixture are in single precision
        run, bounds = trained, {}
    (one,), many = (over_ranks(number, run, spec, PLAIN, masks) for number in (1, size))
    for rank in many:
        assert_equal_to_rounding(one, rank, **bounds)
        assert all(torch.equal(what(rank), what(many[0])) for what in (weights_in, averages_in)), "replicas are one"


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["plain", "lean"])
@pytest.mark.parametrize("case", NETWORKS)
def test_fifty_steps_of_one_two_and_four_ranks_are_one_curve(case: str, engine: Engine) -> None:
    if engine == "lean" and kernels() is None:
        pytest.skip("no C compiler is installed")
    spec = trial(case, steps=50)
    one, *many = (over_ranks(size, trained, spec, ExecutionSpec(engine=engine))[0] for size in (1, 2, 4))
    for other in many:
        assert_equal_to_rounding(one, other)
    assert abs(one.losses[0] - one.losses[-1]) > 1e3 * ROUNDING


@pytest.mark.parametrize("case", ["NFNet", "ghost batches", "sharpness by a quarter of the batch"])
def test_a_microbatch_changes_nothing(case: str) -> None:
    spec, micro = trial(case, steps=3), 5
    whole = in_double(ALONE, spec, PLAIN, False)
    one, other = (
        over_ranks(size, in_double, spec, dataclasses.replace(PLAIN, microbatch_size=micro), False)[0]
        for size in (1, 2)
    )
    for cut in (one, other):
        assert_equal_to_rounding(whole, cut, of=1e-12, weights=1e-9)


def test_other_ranks_and_another_microbatch_go_on_with_the_same_trial() -> None:
    """Four steps by one rank, four by two with a microbatch, four by three that have batches of 5, 5 and 6."""
    spec = trial("NFNet", steps=12)
    whole = trained(ALONE, spec, PLAIN)
    first = trained(ALONE, spec, PLAIN, False, 4)
    micro = dataclasses.replace(PLAIN, microbatch_size=3)
    (second, _) = over_ranks(2, trained, spec, micro, False, 8, first.plain)
    last = over_ranks(3, trained, spec, PLAIN, False, None, second.plain)
    assert_equal_to_rounding(whole, last[0])
    assert last[0].seen[0] == 12 * 16


@pytest.mark.parametrize(
    ("case", "asked", "message"),
    [
        ("NFNet", {"num_devices": 17}, "num_devices must be 16 at the most"),
        ("mixed in blocks", {"num_devices": 8}, "num_devices must be so few that each has whole blocks of 4"),
        ("ghost batches", {"num_devices": 3}, "num_devices must be so few that each has whole ghost batches of 4"),
        ("ghost batches", {"microbatch_size": 3}, "at least the 4 examples that share statistics"),
        ("BatchNorm", {"microbatch_size": 8}, "at least the 16 examples that share statistics"),
    ],
)
def test_what_belongs_together_is_not_cut(case: str, asked: dict[str, int], message: str) -> None:
    spec = trial(case, steps=3)
    shares = spec.architecture == RESNET
    with pytest.raises(SpecError, match=message):
        refuse_cuts(spec, dataclasses.replace(PLAIN, **asked), shares=shares)


def judged_once(ranks: Ranks, spec: TrialSpec) -> tuple[dict[str, Any], Any]:
    parts = parts_of(ranks, spec, PLAIN)
    torch.manual_seed(0)
    with torch.no_grad():
        parts.network.head.weight.normal_()
    scores = evaluate(
        parts.network, parts.task, parts.source, "report", device=CPU, dtype="float32", batch_size=24, ranks=ranks
    )
    return scores.each, scores.mean


def test_judging_is_shared_out_and_every_example_keeps_its_value() -> None:
    """Three batches, of which the last is smaller, by one rank, by two, and by four of which one has none."""
    spec = trial("NFNet", steps=3)
    (each, mean), *others = (found for size in (1, 2, 4) for found in over_ranks(size, judged_once, spec))
    for other, other_mean in others:
        assert other_mean == mean
        assert all((other[name] == each[name]).all() for name in each)


def fails(ranks: Ranks, spec: TrialSpec, rank: int, how: int) -> str:
    """Take two steps, in the midst of which ``rank`` comes to nothing."""
    parts = parts_of(ranks, spec, PLAIN)
    batches = iter(parts.loader())
    parts.step(parts.state, next(batches))
    if ranks.rank == rank:
        os.kill(os.getpid(), how)
    begun = time.monotonic()
    with pytest.raises(RankLostError, match="another that has died or hangs"):
        parts.step(parts.state, next(batches))
    assert time.monotonic() - begun < 30
    return "told"


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
@pytest.mark.parametrize("rank", [0, 2])
def test_a_rank_that_dies_or_hangs_is_told_by_all_others(rank: int, how: int) -> None:
    told = over_ranks(3, fails, trial("NFNet", steps=3), rank, how, hung_after_s=2.0, dying=rank)
    assert told == ["told", "told"]


def not_finite(ranks: Ranks, spec: TrialSpec) -> tuple[bool, list[float]]:
    """One step in which a single weight, of the last rank, is no number."""
    parts = parts_of(ranks, spec, PLAIN)
    weights = list(parts.state.parameters.values())
    if ranks.rank == ranks.size - 1:
        weights[0].detach().view(-1)[0] = torch.inf
    before = [each.detach().clone() for each in weights]
    report = parts.step(parts.state, next(iter(parts.loader())))
    same = all(torch.equal(*each) for each in zip(before, weights, strict=True))
    return report.finite or not same, parts.state.losses


def test_what_is_no_number_on_one_rank_stops_all_before_a_weight_has_changed() -> None:
    assert over_ranks(2, not_finite, trial("NFNet", steps=3)) == [(False, []), (False, [])]
