"""Transfers in a plan: what is fine-tuned, from what, for how much, and that order of arrival never matters."""

import dataclasses
import math
import random

import pytest

from levelfield.compute.analytic import count
from levelfield.compute.head_fit import head_fit_flops
from levelfield.records.allowed import ArmOf, TooFewSteps
from levelfield.records.data import ImagesSpec
from levelfield.records.errors import InputError, SpecError
from levelfield.records.fields import FieldFacts
from levelfield.records.head import LinearHead, PixelHead
from levelfield.records.probe import ProbeSpec
from levelfield.records.study import StudySpec
from levelfield.records.trial import HeldOutMeans, TrialResult, TrialSpec
from levelfield.study.facts import TargetFacts
from levelfield.study.plan.plan import plan
from levelfield.study.planned import Plan, PlannedTransfer
from levelfield.study.spec_file import study_from_plain
from levelfield.tasks.segmentation import Segmentation
from tests.narrowed import of_kind, present
from tests.study.simulated import FACTS, MEASURES, bowl, outcome_of, study

TARGET = TargetFacts(
    name="flowers",
    head=LinearHead(num_outputs=10),
    measures=MEASURES,
    in_channels=1,
    resolution=16,
    num_train=1000,
    num_report=400,
    fingerprint="target",
)
TARGETED = dataclasses.replace(FACTS, targets=(TARGET,))
GRID = {"low": 0.01, "start": 0.08, "high": 0.64}


def transferring(**changes) -> StudySpec:
    families = [
        {
            "name": "nfnet",
            "finetune": {"recipe": "short-sam", "base_lr": GRID},
            "scratch": {"recipe": "nfnet-short", "base_lr": GRID},
        },
        {
            "name": "vit",
            "finetune": {"recipe": "short-sgd", "base_lr": GRID},
            "scratch": {"recipe": "vit-short", "base_lr": GRID},
        },
    ]
    transfer = {
        "name": "flowers",
        "data": {"source": "digits", "resolution": 16},
        "families": families,
        "probes": ["linear"],
    }
    return study(transfer=[transfer | changes])


def transfer_loss(planned: PlannedTransfer) -> float:
    """Best at a rate of 0.16, at half the allowance, and, from scratch, at widths near 20; falling with compute."""
    assert planned.base_lr is not None
    assert planned.spend is not None
    width = int(planned.spec.architecture.split("w")[1].split("-")[0])
    off_rate, off_spend = math.log2(planned.base_lr / 0.16), math.log2(planned.spend / 0.5)
    off_size = math.log2(width / 20) if planned.role.startswith("scratch") else 0.0
    noise = random.Random(planned.spec.fingerprint).gauss(0, 0.002)
    return 10 ** (-0.05 * math.log10(planned.budget_flops)) * (
        5 + 0.3 * off_rate**2 + 0.2 * off_spend**2 + 0.2 * off_size**2 + noise
    )


def run_everything(spec: StudySpec, choose=lambda pending: pending, facts=TARGETED) -> tuple[Plan, dict, set]:
    """Plan, finish those that ``choose`` picks, plan again, until nothing is pending."""
    results: dict[str, TrialResult] = {}
    probed: set[str] = set()
    while True:
        planned = plan(spec, facts, results)
        pending = planned.pending(results, probed)
        if not pending:
            return planned, results, probed
        for chosen in choose(pending):
            key = chosen.spec.fingerprint
            if isinstance(chosen.spec, ProbeSpec):
                probed.add(key)
            elif isinstance(chosen, PlannedTransfer):
                held_out = HeldOutMeans(values={"loss": transfer_loss(chosen), "error": 0.5}, num_examples=400)
                blank = outcome_of(_as_trial(chosen), 1.0)
                results[key] = dataclasses.replace(blank, held_out={chosen.spec.held_out: held_out})
            else:
                results[key] = outcome_of(chosen, bowl(chosen))


def _as_trial(planned):
    from levelfield.study.planned import PlannedTrial

    return PlannedTrial(
        spec=planned.spec, role="search", family=planned.family, budget_flops=planned.budget_flops, base_lr=1.0
    )


@pytest.fixture(scope="module")
def finished():
    return run_everything(transferring())


def test_a_transfer_to_another_task_wants_trials_of_that_task_under_its_head():
    """The plan knows nothing of segmentation: it passes on the task, the head and the cost that the facts name."""
    head = PixelHead(num_outputs=3, output_stride=8)
    masks = dataclasses.replace(
        TARGET, head=head, measures=Segmentation().measures(FieldFacts(num_classes=3)), resolution=32
    )
    facts = dataclasses.replace(FACTS, targets=(masks,))
    recipes = {name: {"recipe": "short-sgd", "base_lr": GRID} for name in ("nfnet", "vit")}
    asked = {"task": "segmentation", "metric": "image mIoU", "probes": [], "share": 5.0}
    families = [{"name": name, "finetune": recipe} for name, recipe in recipes.items()]
    spec = transferring(families=families, **asked)
    planned, _, _ = run_everything(spec, facts=facts)
    tuned = [each.spec for each in planned.transfers if isinstance(each.spec, TrialSpec)]
    assert tuned
    for trial in tuned:
        assert (trial.task, trial.head) == ("segmentation", head)
        counted = count(trial.architecture, resolution=32, head=head, in_channels=1)
        costs = trial.steps * trial.gradient_examples_per_step * counted.train_flops_per_example
        assert costs + counted.statistics_flops <= trial.budget_flops
    with pytest.raises(InputError, match="'image mIou' was not measured"):
        run_everything(transferring(families=families, **asked | {"metric": "image mIou"}), facts=facts)
    with pytest.raises(SpecError, match="probes tell labelled pictures apart"):
        transferring(task="segmentation", metric="image mIoU")


def test_what_fitting_a_head_first_takes_leaves_fewer_steps_within_the_same_budget():
    asked = {"probes": [], "share": 5.0}
    tuned = {}
    for name, override in (("zero", {}), ("fitted", {"head_fit": True})):
        arm = {"recipe": "short-sgd", "base_lr": GRID, "override": override}
        families = [{"name": family, "finetune": arm} for family in ("nfnet", "vit")]
        planned, _, _ = run_everything(transferring(families=families, **asked))
        tuned[name] = [each.spec for each in planned.transfers if isinstance(each.spec, TrialSpec)]
        for trial in tuned[name]:
            counted = count(trial.architecture, resolution=16, num_outputs=10, in_channels=1)
            once = head_fit_flops(counted, TARGET.num_train) if override else 0.0
            one = trial.gradient_examples_per_step * counted.train_flops_per_example
            assert trial.steps * one + once <= trial.budget_flops < (trial.steps + 1) * one + once
    assert tuned["zero"]
    assert tuned["fitted"]


@pytest.mark.parametrize(
    ("families", "changes", "message"),
    [
        (
            {"finetune": {"recipe": "short-probed", "base_lr": GRID}},
            {"task": "segmentation", "probes": []},
            "the task is",
        ),
        (
            {
                "finetune": {"recipe": "short-probed", "base_lr": GRID},
                "scratch": {"recipe": "vit-short", "base_lr": GRID, "override": {"head_fit": True}},
            },
            {},
            "the scratch arm has none",
        ),
    ],
)
def test_a_head_that_cannot_be_fitted_is_refused_before_anything_is_trained(families, changes, message):
    spec = transferring(families=[{"name": name} | families for name in ("nfnet", "vit")], **changes)
    with pytest.raises(SpecError, match=message):
        plan(spec, TARGETED, {})


def of_role(planned: Plan, role: str) -> list[PlannedTransfer]:
    return [transfer for transfer in planned.transfers if transfer.role == role]


def test_every_rungs_frontier_is_fine_tuned_on_fresh_seeds_and_judged_on_the_report_split(finished):
    planned, _, _ = finished
    winners = {trial.spec.fingerprint: trial for trial in planned.trials if trial.role == "winner"}
    tuned = of_role(planned, "finetune")
    assert {transfer.pretraining for transfer in tuned} == set(winners)
    for transfer in tuned:
        start = winners[transfer.pretraining]
        assert transfer.spec.start == f"trial:{start.spec.fingerprint}"
        assert transfer.spec.architecture == start.spec.architecture
        spec = of_kind(TrialSpec, transfer.spec)
        assert (spec.seed, spec.held_out) == (start.spec.seed, "report")
        assert transfer.budget_flops == start.budget_flops


def test_some_sizes_beside_the_frontier_are_fine_tuned_from_trials_of_the_search(finished):
    planned, _, _ = finished
    search = {trial.spec.fingerprint: trial for trial in planned.trials if trial.role == "search"}
    ranked = of_role(planned, "ranked")
    assert all(search[transfer.pretraining].spec.seed == 0 for transfer in ranked)
    for winner in planned.winners:
        rung = (winner.family, winner.budget_flops)
        sizes = [t.spec.architecture for t in ranked if (t.family, t.budget_flops) == rung]
        allowed = [c for c in planned.cells if (c.family, c.budget_flops) == rung and not c.affordable.refusal]
        assert len(set(sizes)) == len(sizes) == min(3, len(allowed))
        assert winner.affordable.architecture in sizes
    assert len(ranked) > len(planned.winners)


def test_fine_tuning_and_pre_training_together_may_spend_what_training_from_scratch_may(finished):
    planned, _, _ = finished
    for role, allowed in (("finetune", 0.5), ("scratch", 1.5)):
        for transfer in of_role(planned, role):
            spec = of_kind(TrialSpec, transfer.spec)
            assert spec.budget_flops == pytest.approx(transfer.budget_flops * allowed * present(transfer.spend))
            counted = count(spec.architecture, resolution=16, num_outputs=10, in_channels=1)
            spent = spec.steps * spec.gradient_examples_per_step * counted.train_flops_per_example
            step = spec.gradient_examples_per_step * counted.train_flops_per_example
            assert spec.budget_flops - step < spent <= spec.budget_flops


def test_both_arms_are_searched_for_rate_and_spending_and_scratch_for_size(finished):
    planned, _, _ = finished
    for transfer in of_role(planned, "finetune"):
        assert (transfer.base_lr, transfer.spend, transfer.edges) == (0.16, 0.5, ())
    for transfer in of_role(planned, "scratch"):
        assert (transfer.base_lr, transfer.spend) == (0.16, 0.5)
        assert transfer.spec.start is None
        width = int(transfer.spec.architecture.split("w")[1].split("-")[0])
        assert width in (16, 24)
    for role in ("finetune-search", "scratch-search"):
        assert {of_kind(TrialSpec, transfer.spec).held_out for transfer in of_role(planned, role)} == {"select"}


def test_every_backbone_is_probed_once(finished):
    planned, _, probed = finished
    probes = of_role(planned, "probe")
    starts = [transfer.pretraining for transfer in probes]
    assert len(set(starts)) == len(starts)
    tuned = {transfer.pretraining for role in ("finetune", "ranked") for transfer in of_role(planned, role)}
    assert set(starts) == tuned
    assert {transfer.spec.fingerprint for transfer in probes} == probed


@pytest.mark.parametrize("seed", range(2))
def test_the_order_in_which_trials_finish_changes_nothing(seed, finished):
    draw = random.Random(seed)
    planned, results, probed = run_everything(
        transferring(), choose=lambda pending: draw.sample(pending, draw.randint(1, len(pending)))
    )
    assert set(planned.transfers) == set(finished[0].transfers)
    assert set(planned.trials) == set(finished[0].trials)
    assert set(results) == set(finished[1])
    assert probed == finished[2]


def test_pre_training_is_planned_as_without_transfer(finished):
    from tests.study.simulated import run_to_the_end

    plain, _ = run_to_the_end(study())
    assert plain.trials == finished[0].trials
    assert plain.transfers == ()


def test_a_spend_of_the_whole_allowance_is_no_edge_and_a_rate_at_the_end_of_the_grid_is_one():
    spec = transferring(spends=[0.5, 1.0], families=[
        {"name": "nfnet", "finetune": {"recipe": "short-sgd", "base_lr": {"low": 0.02, "start": 0.04, "high": 0.08}}},
        {"name": "vit", "finetune": {"recipe": "short-sgd", "base_lr": {"low": 0.02, "start": 0.04, "high": 0.08}}},
    ])  # fmt: skip
    planned, _, _ = run_everything(spec)
    assert {transfer.edges for transfer in of_role(planned, "finetune")} == {("base_lr", "spend")}
    assert not of_role(planned, "scratch")
    whole, _, _ = run_everything(transferring(spends=[1.0]))
    assert {transfer.edges for transfer in of_role(whole, "finetune")} == {()}


def test_a_rate_that_was_not_searched_is_an_edge():
    one = {"low": 0.16, "start": 0.16, "high": 0.16}
    families = [{"name": name, "finetune": {"recipe": "short-sgd", "base_lr": one}} for name in ("nfnet", "vit")]
    planned, _, _ = run_everything(transferring(families=families))
    assert {transfer.edges for transfer in of_role(planned, "finetune")} == {("base_lr",)}


def test_a_shape_that_cannot_take_the_targets_images_is_refused_before_anything_is_trained():
    families = [dataclasses.asdict(entry) for entry in study().families]
    families[0]["axes"]["shape"] = {"field": "model.s", "values": [4, 8]}
    families[1]["axes"]["shape"] = {"field": "model.p", "values": [8, 32]}
    spec = transferring()
    moved = study_from_plain({**dataclasses.asdict(spec), "families": families})
    with pytest.raises(SpecError, match="patches of 32 pixels; a resolution of 16"):
        plan(moved, TARGETED, {})


def test_an_arm_of_too_few_steps_is_refused_and_listed():
    planned, _, _ = run_everything(transferring(min_steps=100_000))
    assert not of_role(planned, "finetune")
    assert {of_kind(ArmOf, refused.arm).arm for refused in planned.refused_transfers} == {"finetune", "scratch"}
    assert all(of_kind(TooFewSteps, refused.reason).least == 100000 for refused in planned.refused_transfers)


def test_rungs_can_be_left_out():
    planned, _, _ = run_everything(transferring(budgets=[2e11]))
    assert {transfer.budget_flops for transfer in planned.transfers} == {2e11}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"families": [{"name": "nfnet", "finetune": {"recipe": "short-sgs", "base_lr": GRID}}]}, "short-sgd"),
        (
            {
                "families": [
                    {"name": "nfnet", "finetune": {"recipe": "short-sgd", "base_lr": GRID, "override": {"sam_ro": 1}}}
                ]
            },
            "sam_rho",
        ),
        ({"test_resolution": 20}, "not a multiple"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_trained(change, message):
    with pytest.raises(SpecError, match=message):
        plan(transferring(**change), TARGETED, {})


def test_images_of_other_channels_are_refused_before_anything_is_trained():
    colour = dataclasses.replace(FACTS, targets=(dataclasses.replace(TARGET, in_channels=3),))
    with pytest.raises(SpecError, match="images of 3 channels"):
        plan(transferring(), colour, {})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "two words"}, "a word"),
        ({"families": [], "probes": []}, "neither"),
        ({"spends": [0.5, 0.25, 1.0]}, "rising"),
        ({"spends": [0.5]}, "end at 1"),
        ({"share": 0}, "share"),
        ({"budgets": [1e3]}, "budgets"),
        ({"families": [{"name": "mixer", "finetune": {"recipe": "short-sgd", "base_lr": GRID}}]}, "mixer"),
        (
            {
                "families": [
                    {"name": "nfnet", "finetune": {"recipe": "short-sgd", "base_lr": GRID}},
                    {"name": "vit", "finetune": {"recipe": "short-sgd", "base_lr": GRID | {"high": 1.28}}},
                ]
            },
            "unequal search",
        ),
        (
            {
                "families": [
                    {
                        "name": "nfnet",
                        "finetune": {"recipe": "short-sgd", "base_lr": GRID},
                        "scratch": {"recipe": "nfnet-short", "base_lr": GRID},
                    },
                    {"name": "vit", "finetune": {"recipe": "short-sgd", "base_lr": GRID}},
                ]
            },
            "every family a scratch table, or none",
        ),
    ],
)
def test_an_unfair_or_meaningless_table_cannot_be_written_down(change, message):
    with pytest.raises(SpecError, match=message):
        transferring(**change)


def test_sharpness_aware_pre_training_pays_for_its_ascent():
    plain = study()
    families = [dataclasses.asdict(entry) for entry in plain.families]
    families[0]["override"] = {"sam_rho": 0.05}
    dear = study_from_plain({**dataclasses.asdict(plain), "families": families})
    steps = [
        [cell.affordable.steps * cell.affordable.global_batch_size for cell in plan(spec, FACTS, {}).cells[:4]]
        for spec in (plain, dear)
    ]
    assert all(math.isclose(with_sam, alone / 2, rel_tol=0.02) for alone, with_sam in zip(*steps, strict=True))


def test_paths_of_transfers_are_relative_to_the_study_file(tmp_path):
    from levelfield.study.spec_file import load_study, quickstart_text

    table = (
        '[[transfer]]\nname = "x"\nprobes = ["knn"]\ndata = { source = "images", path = "photos", resolution = 8 }\n'
    )
    (tmp_path / "study.toml").write_text(quickstart_text() + "\n" + table)
    (transfer,) = load_study(tmp_path / "study.toml").transfer
    assert of_kind(ImagesSpec, transfer.data).path == str(tmp_path / "photos")
