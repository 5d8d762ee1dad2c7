"""BatchNorm in a plan: its statistics come out of the budget, and who shares one is the recipe's and nobody else's."""

import dataclasses

import pytest

from levelfield.records.allowed import TooFewSteps
from levelfield.records.errors import SpecError
from levelfield.records.head import LinearHead
from levelfield.records.study import StudySpec
from levelfield.study.facts import TargetFacts
from levelfield.study.plan.plan import plan
from tests.study.simulated import FACTS, MEASURES, run_to_the_end, study

RATES, SLOW = {"low": 0.1, "start": 0.8, "high": 12.8}, {"low": 1e-3, "start": 8e-3, "high": 0.128}
SIZES = [f"timm:resnet10t,channels={w}x{w}x{w}x{w},stem_width=8" for w in (8, 16)]
TARGET = TargetFacts(
    name="flowers",
    head=LinearHead(num_outputs=10),
    measures=MEASURES,
    in_channels=1,
    resolution=32,
    num_train=1000,
    num_report=400,
    fingerprint="target",
)


def with_resnet(*, override=None, other=None, **changes) -> StudySpec:
    vit = dataclasses.asdict(study().families[1]) | {"axes": {}, "override": other or {}}
    resnet = {
        "name": "resnet",
        "recipe": "vit-sgd-agc",
        "sizes": SIZES,
        "base_lr": RATES,
        "lr_batch_exponent": 1.0,
        "override": override or {},
        "swap": {"recipe": "nfnet-adamw", "base_lr": SLOW, "lr_batch_exponent": 0.5},
    }
    vit["swap"] = {"recipe": "vit-sgd-agc", "base_lr": RATES, "lr_batch_exponent": 0.5}
    return study(families=[resnet, vit], verdict={"swap_budget": 6e10}, **changes)


def test_a_cell_spends_its_budget_on_steps_and_on_statistics_and_no_more():
    cells = [cell for cell in plan(with_resnet(), FACTS, {}).cells if cell.family == "resnet"]
    assert any(cell.affordable.refusal is None for cell in cells)
    for cell in cells:
        bought = cell.affordable
        batch = bought.global_batch_size * bought.flops_per_example
        spent = bought.steps * batch + bought.statistics_flops
        assert spent <= cell.budget_flops < spent + batch
        assert 300 < bought.statistics_flops / bought.flops_per_example < 400, "1,024 examples forward"
    dear = cells[0].affordable.statistics_flops
    refused = plan(with_resnet(ladder={"budgets": [dear, 6e10]}), FACTS, {}).cells[0].affordable
    assert refused.refusal == TooFewSteps(steps=0, batch=8, least=500)


def test_the_optimiser_swap_leaves_alone_who_shares_a_statistic():
    planned, _ = run_to_the_end(with_resnet(override={"ghost_batch_size": 8}), loss=lambda trial: 1 + trial.base_lr)
    shared = {(trial.role, trial.spec.recipe.ghost_batch_size) for trial in planned.trials if trial.family == "resnet"}
    assert {role for role, _ in shared} >= {"search", "winner", "swap-search", "swap"}
    assert {size for _, size in shared} == {8}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"other": {"ghost_batch_size": 8}}, "family 'vit': .* vit:w16-d2-p8 has no BatchNorm"),
        ({"override": {"ghost_batch_size": 24}}, "family 'resnet': ghost_batch_size must be a divisor"),
        ({"override": {"sam_rho": 0.1, "sam_fraction": 0.25}}, "family 'resnet': sam_fraction = 0.25 cuts a batch"),
    ],
)
def test_what_cannot_be_shared_so_is_refused_before_anything_runs(changes, message):
    with pytest.raises(SpecError, match=message):
        plan(with_resnet(**changes), FACTS, {})


@pytest.mark.parametrize(
    ("family", "override", "message"),
    [
        ("resnet", {"ghost_batch_size": 16}, r"a divisor of the global batch \(8\)"),
        ("resnet", {"sam_rho": 0.1, "sam_fraction": 0.2}, "cuts a batch"),
        ("vit", {"ghost_batch_size": 4}, "has no BatchNorm"),
    ],
)
def test_a_transfer_is_refused_likewise(family, override, message):
    arm = {"recipe": "short-sgd", "base_lr": RATES, "override": override}
    transfer = {
        "name": "flowers",
        "data": {"source": "digits", "resolution": 32},
        "families": [{"name": family, "finetune": arm}],
    }
    with pytest.raises(SpecError, match=message):
        plan(with_resnet(transfer=[transfer]), dataclasses.replace(FACTS, targets=(TARGET,)), {})
