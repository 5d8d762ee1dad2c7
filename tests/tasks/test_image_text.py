"""Images paired with texts: the published losses, exact gradients of batches in parts, and recalls that are earned."""

import dataclasses
import functools
import importlib.util
import math
import types
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from levelfield.compute.analytic import count
from levelfield.compute.count import trace
from levelfield.data.loader import Batch, Loader
from levelfield.data.order import Order
from levelfield.families.registry import build, parameter_role
from levelfield.native.library import kernels
from levelfield.records.data import DigitPairsSpec
from levelfield.records.errors import SpecError
from levelfield.records.head import TextHead
from levelfield.records.trial import RecipeSpec, TrialSpec
from levelfield.tasks.base import answers
from levelfield.tasks.image_text import IMAGE_TO_TEXT, MEAN_RECALL, TEXT_TO_IMAGE, ImageText
from levelfield.tasks.retrieval import hits
from levelfield.testing.sources import check_source
from levelfield.testing.tasks import check_task
from levelfield.train.engine.graph.step import GraphUpdate
from levelfield.train.engine.lean import LeanSide
from levelfield.train.evaluate import evaluate
from levelfield.train.lagging import LaggingStep
from levelfield.train.policy import policy_table
from levelfield.train.state import TrainState
from levelfield.train.step import TrainingStep
from tests.tasks.planted_pairs import PlantedPairs

CPU = torch.device("cpu")
SOURCE = PlantedPairs(train=64, held_out=24, among=24)
RECIPE = RecipeSpec(preset="test", optimizer="adamw", peak_lr=1e-3)
TASKS = [ImageText(), ImageText(objective="softmax")]
RESNET = "timm:resnet10t,channels=8x8x16x16,stem_width=8"
objectives = pytest.mark.parametrize("task", TASKS, ids=["sigmoid", "softmax"])


@functools.cache
def open_clip_loss() -> types.ModuleType:
    """open_clip's losses out of their file: the package loads 144 model configurations and takes seconds."""
    package = importlib.util.find_spec("open_clip")
    assert package is not None
    assert package.origin is not None
    spec = importlib.util.spec_from_file_location("open_clip_loss", Path(package.origin).with_name("loss.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def placed(seed: int, number: int = 13, width: int = 16) -> tuple[torch.Tensor, torch.Tensor]:
    """Images and texts on the unit sphere, of which each has its gradient."""
    drawn = torch.Generator().manual_seed(seed)
    both = torch.nn.functional.normalize(torch.randn(2, number, width, generator=drawn), dim=-1)
    return both[0].requires_grad_(), both[1].requires_grad_()


@objectives
def test_losses_and_gradients_are_those_of_open_clip(task):
    images, texts = placed(0)
    scale, bias = torch.tensor(11.0, requires_grad=True), torch.tensor(-3.0, requires_grad=True)
    peer = open_clip_loss()
    theirs = peer.SigLipLoss() if task.objective == "sigmoid" else peer.ClipLoss()
    expected = theirs(images, texts, scale, bias)
    wanted = torch.autograd.grad(expected, (images, texts, scale), retain_graph=True)

    rows = [images, texts, scale.expand(13, 1), bias.expand(13, 1)]
    fields, valid = {"text": torch.ones(13, 1, 4, dtype=torch.int32)}, torch.ones(13, dtype=torch.bool)
    loss = task.loss(torch.cat(rows, dim=1), fields, valid, RECIPE) / task.weight(fields, valid)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    for found, gradient in zip(torch.autograd.grad(loss, (images, texts, scale)), wanted, strict=True):
        assert torch.allclose(found, gradient, rtol=1e-5, atol=1e-7)


def test_label_smoothing_is_that_of_torch_and_refused_where_there_are_no_shares():
    images, texts = placed(1)
    rows = torch.cat([images, texts, torch.full((13, 1), 5.0), torch.zeros(13, 1)], dim=1)
    fields, valid = {"text": torch.ones(13, 1, 4, dtype=torch.int32)}, torch.ones(13, dtype=torch.bool)
    smoothed = dataclasses.replace(RECIPE, label_smoothing=0.1)
    logits, rights = 5 * images @ texts.T, torch.arange(13)
    both = [torch.nn.functional.cross_entropy(each, rights, label_smoothing=0.1) for each in (logits, logits.T)]
    assert TASKS[1].loss(rows, fields, valid, smoothed).item() / 13 == pytest.approx(
        torch.stack(both).mean().item(), rel=1e-5
    )
    with pytest.raises(SpecError, match="set it 0"):
        TASKS[0].loss(rows, fields, valid, smoothed)


@objectives
def test_masked_pairs_are_as_if_they_were_not_there(task):
    images, texts = placed(2)
    rows = torch.cat([images, texts, torch.full((13, 1), 5.0), torch.full((13, 1), -2.0)], dim=1)
    fields, valid = {"text": torch.ones(13, 1, 4, dtype=torch.int32)}, torch.arange(13) % 3 > 0
    whole = task.loss(rows, fields, valid, RECIPE)
    fewer = {"text": fields["text"][valid]}
    alone = task.loss(rows[valid], fewer, torch.ones(int(valid.sum()), dtype=torch.bool), RECIPE)
    assert whole.item() == pytest.approx(alone.item(), rel=1e-6)


@objectives
def test_the_task_and_the_planted_stream_conform(task):
    check_task(task, SOURCE, recipe=RECIPE)
    check_source(SOURCE)


@pytest.mark.parametrize("architecture", ["nfnet:w8-d1x1", "vit:w16-d2-p4", RESNET])
@objectives
def test_both_towers_are_counted(task, architecture):
    head = ImageText(objective=task.objective, width=32, heads=4).head(SOURCE.fields)
    counted = count(architecture, resolution=16, head=head)
    model = build(architecture, resolution=16, head=head)
    assert counted.params == sum(each.numel() for each in model.parameters())
    images = trace(architecture, resolution=16, head=head).forward_flops
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    model.requires_grad_(False)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model.head.placed(torch.full((1, 1, 6), 3))  # pyright: ignore[reportCallIssue, reportAttributeAccessIssue]
    assert counted.forward_flops == images + counter.get_total_flops()
    texts = [layer for layer in counted.layers if layer.name.startswith("head.texts.")]
    assert counted.backward_flops > 4 * sum(layer.forward_macs for layer in texts) > 0


def test_adaptive_clipping_reaches_the_image_tower_alone():
    """Source: Flamingo, arXiv 2204.14198: AGC on the NFNet, Adam on all."""
    recipe = dataclasses.replace(RECIPE, agc_lambda=0.01, weight_decay=1e-4)
    head = ImageText().head(SOURCE.fields)
    network = build("nfnet:w8-d1x1", resolution=8, head=head)
    parameters = dict(network.named_parameters())
    roles = {name: parameter_role("nfnet:w8-d1x1", name) for name in parameters}
    for row in policy_table(parameters, roles, recipe):
        assert row.clipped == (not row.name.startswith("head.")), row.name
        if row.name.startswith("head."):
            assert row.decayed == (row.name.endswith("weight") and len(row.shape) == 2 and "tokens" not in row.name)


def batches_of(source: PlantedPairs, size: int) -> Iterator[Batch]:
    order = Order(num_examples=source.split_sizes["train"], seed=0, fingerprint=source.fingerprint)
    return iter(Loader(source, order=order, global_batch_size=size))


def trained(
    architecture: str,
    task: ImageText,
    *,
    microbatch: int | None,
    lean: bool = False,
    graph: bool = False,
    steps: int = 3,
):
    """The loss and weights after some steps on whole batches of 16, or on parts of them."""
    recipe = dataclasses.replace(RECIPE, dropout=0.1, stochastic_depth=0.1, agc_lambda=0.01)
    if architecture == RESNET:
        recipe = dataclasses.replace(recipe, dropout=0.0, stochastic_depth=0.0)
    spec = TrialSpec(
        architecture=architecture,
        data=DigitPairsSpec(),
        recipe=recipe,
        head=task.head(SOURCE.fields),
        budget_flops=1e9,
        global_batch_size=16,
        steps=steps,
        weights="raw",
        task="image_text",
    )
    torch.manual_seed(0)
    model = build(
        architecture,
        resolution=8,
        head=spec.head,
        dropout=recipe.dropout,
        stochastic_depth=recipe.stochastic_depth,
    ).train()
    roles = {name: parameter_role(architecture, name) for name, _ in model.named_parameters()}
    state = TrainState(model, spec, policy_table(dict(model.named_parameters()), roles, recipe))
    found = kernels() if lean else None
    side = LeanSide(spec, found) if found is not None else None
    step = TrainingStep(spec, task, device=CPU, side=side, microbatch_size=microbatch)
    if graph:
        step = LaggingStep(GraphUpdate(spec, task, device=CPU, microbatch_size=microbatch))
    batches = batches_of(SOURCE, 16)
    return [step(state, next(batches)).loss for _ in range(steps)], state


@objectives
@pytest.mark.parametrize("microbatch", [None, 5])
def test_steps_of_the_graph_engine_are_the_plain_ones(task, microbatch):
    (plain, one), (graph, two) = (
        trained("nfnet:w8-d1x1", task, microbatch=microbatch, graph=engine) for engine in (False, True)
    )
    assert graph == pytest.approx(plain, rel=1e-6)
    for each, other in zip(one.parameters.values(), two.parameters.values(), strict=True):
        assert torch.allclose(each, other, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("architecture", "lean"), [("nfnet:w8-d1x1", False), ("nfnet:w8-d1x1", True), ("vit:w16-d2-p4", False)]
)
@objectives
def test_a_batch_in_parts_has_the_gradient_of_the_whole(task, architecture, lean):
    whole, state = trained(architecture, task, microbatch=None, lean=lean, steps=1)
    gradients = [each.grad for each in state.parameters.values() if each.grad is not None]
    for size in (5, 16, 100):
        parts, again = trained(architecture, task, microbatch=size, lean=lean, steps=1)
        assert parts == pytest.approx(whole, rel=1e-6)
        found = [each.grad for each in again.parameters.values() if each.grad is not None]
        assert len(found) == len(gradients)
        largest = max(float(each.abs().max()) for each in gradients)
        for one, other in zip(gradients, found, strict=True):
            assert torch.allclose(one, other, rtol=1e-4, atol=1e-6 * largest)
    assert trained(architecture, task, microbatch=5)[0] == pytest.approx(
        trained(architecture, task, microbatch=None)[0], rel=1e-5
    )


def test_a_loss_of_parts_alone_would_be_another():
    """What is no sum over examples: the planted fault that gradient caching is there for."""
    _, state = trained("vit:w16-d2-p4", TASKS[1], microbatch=None, steps=1)
    batch = next(batches_of(SOURCE, 16))
    fields = {name: batch.fields[name] for name in TASKS[1].fields}
    outputs = answers(TASKS[1], state.model.eval(), fields)
    whole = TASKS[1].loss(outputs, fields, batch.valid, RECIPE).item()
    halves = [slice(0, 8), slice(8, 16)]
    cut = sum(
        TASKS[1].loss(outputs[own], {"text": fields["text"][own]}, batch.valid[own], RECIPE).item() for own in halves
    )
    assert abs(cut - whole) > 0.1 * whole


def test_recalls_of_a_worked_example():
    """Three images with two texts each at most: the second has one, and the third's first says what the first's do."""
    tokens = torch.tensor([[[1, 9], [2, 9]], [[3, 9], [0, 0]], [[1, 9], [4, 9]]])
    similar = torch.tensor(
        [
            [0.1, 0.2, 0.9, 0.0, 0.8, 0.3],  # [3] is best, and then a text that is right since it is equal
            [0.5, 0.5, 0.5, 9.9, 0.1, 0.9],  # three alike: the wrong ones come first; what is not there is never found
            [0.0, 0.0, 0.0, 9.9, 0.1, 0.7],
        ]
    )
    images, texts = hits(similar, tokens, torch.ones(3, dtype=torch.bool))
    assert images[1].tolist() == [0, 0, 1]
    assert images[5].tolist() == [1, 1, 1]
    # Both texts of the first are nearest to the second image, and so is the last of the third.
    assert texts[1].tolist() == pytest.approx([0, 0, 0.5])


def test_a_network_that_tells_nothing_apart_finds_nothing_and_one_that_breaks_scores_nothing():
    task, number = ImageText(), 24
    same = torch.ones(number, 2 * 8 + 2) / 8**0.5
    fields = {"text": torch.arange(1, 1 + number).view(number, 1, 1)}
    valid = torch.ones(number, dtype=torch.bool)
    scores = task.rankings(same, fields, valid, SOURCE.fields, None)
    assert float(scores[MEAN_RECALL].max()) == 0
    broken = same.clone()
    broken[3, 0] = math.nan
    assert task.rankings(broken, fields, valid, SOURCE.fields, None)[MEAN_RECALL].isnan().all()


def test_chance_is_what_random_places_reach():
    task, among = ImageText(), 20
    known = dataclasses.replace(SOURCE.fields, candidates=among)
    measures = {measure.name: measure for measure in task.measures(known)}
    images, texts = placed(3, number=2000)
    rows = torch.cat([images, texts, torch.ones(2000, 1), torch.zeros(2000, 1)], dim=1).detach()
    fields, valid = {"text": torch.arange(1, 2001).view(2000, 1, 1)}, torch.ones(2000, dtype=torch.bool)
    scores = task.rankings(rows, fields, valid, known, None)
    for name in (MEAN_RECALL, f"{IMAGE_TO_TEXT} recall@5", f"{TEXT_TO_IMAGE} recall@10"):
        assert float(scores[name].mean()) == pytest.approx(measures[name].chance, abs=0.04)
    assert measures["loss"].equal_batch


def test_what_is_left_over_of_a_split_is_told_apart_among_as_many():
    task, known = ImageText(), dataclasses.replace(SOURCE.fields, candidates=10)
    images, _ = placed(4, number=24)
    rows = torch.cat([images, images, torch.ones(24, 1), torch.zeros(24, 1)], dim=1).detach()
    fields, valid = {"text": torch.arange(1, 25).view(24, 1, 1)}, torch.ones(24, dtype=torch.bool)
    scores = task.rankings(rows, fields, valid, known, None)
    assert all(len(values) == 24 for values in scores.values())
    assert float(scores[MEAN_RECALL].min()) == 1
    last = task.rankings(rows[-10:], {"text": fields["text"][-10:]}, valid[-10:], known, None)
    assert torch.equal(scores["loss"][-4:], last["loss"][-4:])


@pytest.mark.slow
@pytest.mark.parametrize("wrong", [0.0, 0.3])
def test_a_planted_stream_is_learnt_up_to_its_ceiling(wrong):
    source, task = PlantedPairs(wrong=wrong, held_out=512), ImageText(objective="softmax", width=32, depth=1)
    spec = TrialSpec(
        architecture="vit:w32-d1-p4",
        data=DigitPairsSpec(),
        recipe=dataclasses.replace(RECIPE, peak_lr=4e-3),
        head=task.head(source.fields),
        budget_flops=1e9,
        global_batch_size=128,
        steps=400,
        weights="raw",
        task="image_text_softmax",
    )
    torch.manual_seed(0)
    model = build(spec.architecture, resolution=8, head=spec.head).train()
    roles = {name: parameter_role(spec.architecture, name) for name, _ in model.named_parameters()}
    state = TrainState(model, spec, policy_table(dict(model.named_parameters()), roles, spec.recipe))
    step = TrainingStep(spec, task, device=CPU)
    for batch in batches_of(source, 128):
        step(state, batch)
        if state.step == spec.steps:
            break
    judged = evaluate(model, task, source, "report", device=CPU, dtype="float32")
    found = judged.each[f"{IMAGE_TO_TEXT} recall@1"].mean()
    assert found == pytest.approx(1 - wrong, abs=0.05)


@pytest.mark.slow
def test_the_text_tower_is_that_of_open_clip():
    import open_clip.transformer as peer

    head = TextHead(num_outputs=12, vocabulary=50, context=9, width=32, depth=2, heads=4, scale=10.0)
    torch.manual_seed(0)
    tower = build("vit:w16-d1-p4", resolution=8, head=head).head.texts  # pyright: ignore[reportAttributeAccessIssue]
    theirs = peer.TextTransformer(context_length=9, vocab_size=50, width=32, heads=4, layers=2, output_dim=12)
    ours = dict(tower.named_parameters())  # pyright: ignore[reportCallIssue, reportAttributeAccessIssue]
    names = {
        "token_embedding.weight": "tokens.weight",
        "positional_embedding": "position",
        "ln_final": "norm",
        "transformer.resblocks": "blocks",
        "ln_1": "norm1",
        "ln_2": "norm2",
        "attn.in_proj_": "qkv.",
        "attn.out_proj": "proj",
        "mlp.c_fc": "fc1",
        "mlp.c_proj": "fc2",
    }
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            if name == "text_projection":
                parameter.copy_(ours["projection.weight"].T)
                continue
            for old, new in names.items():
                name = name.replace(old, new)
            parameter.copy_(ours[name])
    tokens = torch.randint(1, 49, (7, 9))
    tokens[torch.arange(7), torch.randint(1, 9, (7,))] = 49
    found, expected = tower(tokens), theirs(tokens)  # pyright: ignore[reportCallIssue]
    assert torch.allclose(found, expected, rtol=1e-5, atol=1e-6)
