"""BatchNorm in training against torch alone: who shares a statistic, who does not, and which one judges."""

import math

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim.swa_utils import update_bn

from levelfield.data.arranged import training_order
from levelfield.data.loader import Batch, Loader, evaluation_batches
from levelfield.data.sources import Source, open_source
from levelfield.data.transforms import to_float
from levelfield.families.tensors import tensors_of
from levelfield.records.data import DigitPairsSpec
from levelfield.records.errors import SpecError, TrialError
from levelfield.records.execution import ExecutionSpec
from levelfield.records.head import LinearHead
from levelfield.records.store import TrialDirectory
from levelfield.records.trial import TrialSpec
from levelfield.study.execute.parts import build_state
from levelfield.study.execute.trial import run_trial
from levelfield.study.plan.recipes import preset
from levelfield.tasks.classification import Classification
from levelfield.train.state import TrainState
from levelfield.train.statistics import estimate_statistics
from levelfield.train.step import TrainingStep
from levelfield.weights.kept import weights_of_trial

CPU = torch.device("cpu")
RESNET = "timm:resnet10t,channels=8x8x16x16,stem_width=8"
DATA = DigitPairsSpec(resolution=32, select_examples=64, report_examples=64)
STEPS, BATCH = 5, 16


def spec_of(architecture: str = RESNET, **override) -> TrialSpec:
    recipe = {"agc_lambda": None, "weight_decay": 0.01, "warmup_fraction": 0.2, "ema_fraction": 0.5, **override}
    return TrialSpec(
        architecture=architecture,
        data=DATA,
        recipe=preset("vit-sgd-agc", peak_lr=0.2, override=recipe),
        head=LinearHead(num_outputs=100),
        budget_flops=1e9,
        global_batch_size=BATCH,
        steps=STEPS,
    )


@pytest.fixture(scope="module")
def source() -> Source:
    return open_source(DATA)


@pytest.mark.parametrize("ghost", [None, 4])
def test_a_trial_is_the_straight_line_script(ghost, source, tmp_path):
    """Five steps of SGD, an average of the weights, its statistics by torch's own update_bn, and the held-out loss."""
    spec = spec_of() if ghost is None else spec_of(ghost_batch_size=ghost)
    directory = TrialDirectory(tmp_path / "trial")
    plain = ExecutionSpec(engine="plain")  # whose arithmetic is the script's; the lean engine is held to it elsewhere
    result = run_trial(spec, directory, source, device=CPU, execution=plain, keeps_weights=True)

    network = timm.create_model("resnet10t", num_classes=100, in_chans=1, channels=(8, 8, 16, 16), stem_width=8)
    initial = tensors_of(build_state(spec, source, device=CPU).model)
    theirs = {name.replace("body.", "").replace("head.", "fc."): tensor for name, tensor in initial.items()}
    network.load_state_dict(theirs)
    parameters = dict(network.named_parameters())
    kernels = [parameter for parameter in parameters.values() if parameter.ndim > 1]
    vectors = [parameter for parameter in parameters.values() if parameter.ndim == 1]
    groups = [{"params": kernels, "weight_decay": 0.01}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.SGD(groups, lr=0.0, momentum=0.9, nesterov=True)
    average = {name: parameter.detach().clone() for name, parameter in parameters.items()}
    order = training_order(source, spec.seed)
    for step, batch in zip(range(STEPS), Loader(source, order=order, global_batch_size=BATCH), strict=False):
        images, labels = to_float(batch.fields["image"]), batch.fields["label"]
        optimizer.zero_grad()
        size = ghost or BATCH
        for begin in range(0, BATCH, size):
            own = slice(begin, begin + size)
            (F.cross_entropy(network(images[own]), labels[own], reduction="sum") / BATCH).backward()
        for group in optimizer.param_groups:
            group["lr"] = 0.2 if step == 0 else 0.2 * 0.5 * (1 + math.cos(math.pi * (step - 1) / (STEPS - 1)))
        optimizer.step()
        t = step + 1
        decay = min(1 - 1 / (0.5 * STEPS), (1 + t) / (10 + t))
        average = {name: decay * average[name] + (1 - decay) * p.detach() for name, p in parameters.items()}
    network.load_state_dict(average, strict=False)
    first = Loader(source, order=order, global_batch_size=512)
    update_bn([to_float(batch.fields["image"]) for _, batch in zip(range(2), first, strict=False)], network)

    kept = weights_of_trial(directory.path).state
    assert kept.keys() == initial.keys()
    for name, tensor in kept.items():
        torch.testing.assert_close(tensor, network.state_dict()[name.replace("body.", "").replace("head.", "fc.")])
    network.eval()
    (held_out,) = evaluation_batches(source, "select", 64)
    with torch.no_grad():
        loss = F.cross_entropy(network(to_float(held_out.fields["image"])), held_out.fields["label"])
    assert result.held_out["select"].values["loss"] == pytest.approx(loss.item(), rel=1e-5)


def opened(spec: TrialSpec, source: Source) -> TrainState:
    """The initial state, with the branches open that begin shut."""
    state = build_state(spec, source, device=CPU)
    with torch.no_grad():
        for name, parameter in state.parameters.items():
            if name.endswith("bn2.weight") or name == "head.weight":
                parameter.add_(0.3)
    return state


def step_of(spec: TrialSpec, batch: Batch, source: Source) -> tuple[float, TrainState]:
    state = opened(spec, source)
    return TrainingStep(spec, Classification(), device=CPU)(state, batch).loss, state


def masked(batch: Batch, rows: list[int], filled: int) -> Batch:
    fields = {name: field.clone() for name, field in batch.fields.items()}
    valid = batch.valid.clone()
    fields["image"][rows], valid[rows] = filled, False
    return Batch(**{**vars(batch), "fields": fields, "valid": valid})


@pytest.mark.parametrize("rows", [[0, 5], [4, 5, 6], [4, 5, 6, 7], list(range(BATCH))], ids=len)
def test_masked_examples_enter_no_statistic(rows, source):
    """Whatever stands in their place: some of a ghost batch, all but one, all of it, all there are."""
    spec = spec_of(ghost_batch_size=4)
    batch = next(iter(Loader(source, order=training_order(source, 0), global_batch_size=BATCH)))
    found = [step_of(spec, masked(batch, rows, filled), source) for filled in (0, 255)]
    assert found[0][0] == found[1][0]
    for name, parameter in found[0][1].parameters.items():
        assert torch.equal(parameter, found[1][1].parameters[name])
    whole = sorted(set(range(BATCH)) - set(rows))
    groups = [[row for row in whole if row // 4 == number] for number in range(4)]
    network, summed = opened(spec, source).model, 0.0
    for group in filter(None, groups):
        own = group if len(group) > 1 else group * 2
        logits = network(to_float(batch.fields["image"][own]))[: len(group)]
        summed += F.cross_entropy(logits, batch.fields["label"][group], reduction="sum").item()
    assert found[0][0] == pytest.approx(summed / max(1, len(whole)), rel=1e-6)


def test_what_shares_a_statistic_is_what_the_recipe_says(source):
    batch = next(iter(Loader(source, order=training_order(source, 0), global_batch_size=BATCH)))
    losses = {size: step_of(spec_of(ghost_batch_size=size), batch, source)[0] for size in (4, 8, BATCH)}
    assert len(set(losses.values())) == 3
    assert losses[BATCH] == step_of(spec_of(), batch, source)[0]
    whole, climbing = (spec_of(ghost_batch_size=4, sam_rho=0.1, sam_fraction=share) for share in (1.0, 0.25))
    assert whole.fingerprint != climbing.fingerprint
    assert step_of(whole, batch, source)[0] != step_of(climbing, batch, source)[0] != losses[4]


def test_training_keeps_no_statistics(source):
    batch = next(iter(Loader(source, order=training_order(source, 0), global_batch_size=BATCH)))
    _, state = step_of(spec_of(sam_rho=0.1), batch, source)
    start = build_state(spec_of(), source, device=CPU).model
    assert all(torch.equal(a, b) for a, b in zip(state.model.buffers(), start.buffers(), strict=True))


def test_an_estimate_is_of_what_is_judged_and_of_pairs_of_images_at_the_least():
    """Without dropout; a frozen layer keeps what it has; batches of one and of none are passed over."""
    network = nn.Sequential(nn.BatchNorm2d(1), nn.Dropout(0.5), nn.BatchNorm2d(1))
    network.train()
    network[2].eval()
    estimate_statistics(network, [torch.full((size, 1, 1, 1), float(size)) for size in (0, 1, 2, 4)])
    first, frozen = network[0], network[2]
    assert isinstance(first, nn.BatchNorm2d)
    assert isinstance(frozen, nn.BatchNorm2d)
    assert (first.running_mean, first.running_var) == (3, 0)
    assert (frozen.running_mean, frozen.running_var) == (0, 1)
    assert not any(module.training for module in network.modules())
    images = torch.arange(8.0).view(8, 1, 1, 1)
    after = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm2d(1)).train()
    estimate_statistics(after, [images])
    assert after[1].running_mean == images.mean()
    with pytest.raises(TrialError, match="mend the data"):
        estimate_statistics(network.train(), [images[:1]])


@pytest.mark.parametrize(
    ("architecture", "override", "message"),
    [
        (RESNET, {"ghost_batch_size": 5}, "ghost_batch_size must be a divisor of the global batch"),
        (RESNET, {"ghost_batch_size": 1}, "ghost_batch_size must be from 2"),
        (RESNET, {"ghost_batch_size": 8, "sam_rho": 0.1, "sam_fraction": 0.25}, "a divisor of the 4 examples of a SAM"),
        (RESNET, {"sam_rho": 0.1, "sam_fraction": 0.25}, "say by ghost_batch_size how many share one"),
        ("vit:w8-d1-p8", {"ghost_batch_size": 4}, "would change nothing: vit:w8-d1-p8 has no BatchNorm"),
    ],
)
def test_what_cannot_be_shared_so_is_refused(architecture, override, message, source):
    with pytest.raises(SpecError, match=message):
        build_state(spec_of(architecture, **override), source, device=CPU)
