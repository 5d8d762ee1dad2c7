"""What every task must have: :func:`check_task` asserts it."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from levelfield.data.loader import evaluation_batches
from levelfield.data.sources import Source
from levelfield.families.registry import build
from levelfield.records.trial import RecipeSpec
from levelfield.tasks.base import Fields, TallyingTask, Task, answers, refuse_missing_fields

_EXAMPLES = 12
_ROUNDING = 1e-5


def check_task(task: Task, source: Source, *, recipe: RecipeSpec | None = None) -> None:
    """Assert that ``task`` can be trained and judged on ``source``, as every study relies on.

    Raises:
        AssertionError: it cannot; the sentence says what was expected.
        SpecError: the source lacks a field that it wants.
    """
    refuse_missing_fields(task, source.fields, name=type(task).__name__)
    recipe = recipe or RecipeSpec(preset="check", optimizer="sgd", peak_lr=0.1)
    fields, outputs = _answered(task, source)
    _check_measures(task, source, task.scores(outputs.detach(), fields))
    _check_tallies(task, outputs.detach(), fields)
    _check_masked(task, outputs, fields, recipe)
    if task.additive:
        _check_additive(task, outputs, fields, recipe)
    assert pickle.dumps(task), "a task keeps nothing that cannot be sent to a worker"


def _answered(task: Task, source: Source) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """The fields of some examples, and what a small network puts out for them."""
    batch = next(iter(evaluation_batches(source, "report", _EXAMPLES)))
    fields = {name: batch.fields[name] for name in task.fields}
    torch.manual_seed(0)
    side, channels = source.resolution, source.in_channels
    head = task.head(source.fields)
    network = build("nfnet:w4-d1", head=head, resolution=side, in_channels=channels).eval()
    return fields, answers(task, network, fields)


def _check_measures(task: Task, source: Source, scores: Mapping[str, torch.Tensor]) -> None:
    measures = task.measures(source.fields)
    names = [measure.name for measure in measures]
    assert names, "a task measures something: the first of its measures selects"
    assert len(set(names)) == len(names), f"measures have distinct names, saw {names}"
    assert set(scores) == set(names), f"scores are those of the measures {names}, saw {sorted(scores)}"
    for name, score in scores.items():
        assert score.ndim == 1, f"{name} is one number an example, saw the shape {tuple(score.shape)}"
        assert score.isfinite().all(), f"{name} is finite for any network"
    for measure in measures:
        falls = measure.shortfall(scores[measure.name])
        assert (falls >= 0).all(), f"{measure.name} as laws take it is never negative: its ceiling is the highest value"


def _check_tallies(task: Task, outputs: torch.Tensor, fields: Fields) -> None:
    """What is added up of examples does not depend on which stand in a batch."""
    if not isinstance(task, TallyingTask):
        return
    whole = task.tallies(outputs, fields)
    assert len(whole) == len(outputs), f"tallies of every example, saw the shape {tuple(whole.shape)}"
    assert not whole.is_floating_point(), "tallies are whole numbers, which add up in any order"
    for place in (0, len(outputs) - 1):
        one = {name: field[place : place + 1] for name, field in fields.items()}
        assert torch.equal(task.tallies(outputs[place : place + 1], one)[0], whole[place]), "an example's are its own"
    said = task.whole(whole.sum(0))
    assert all(np.isfinite(value) for value in said.values()), "what is said of a split as a whole is finite"


def _check_masked(task: Task, outputs: torch.Tensor, fields: Fields, recipe: RecipeSpec) -> None:
    """Masked examples add nothing to the loss, to its weight, or to any gradient."""
    valid = torch.ones(len(outputs), dtype=torch.bool)
    valid[-1] = False
    (gradient,) = torch.autograd.grad(_loss(task, outputs, fields, valid, recipe), outputs, retain_graph=True)
    assert not gradient[-1].any(), "a masked example has no gradient"
    none = torch.zeros_like(valid)
    assert float(task.weight(fields, none)) == 0, "nothing weighs nothing"
    assert _loss(task, outputs, fields, none, recipe).item() == 0, "the loss of nothing is 0"


def _check_additive(task: Task, outputs: torch.Tensor, fields: Fields, recipe: RecipeSpec) -> None:
    """The sums and the weights of parts are those of the whole."""
    valid = torch.ones(len(outputs), dtype=torch.bool)
    parts = [slice(0, 5), slice(5, len(outputs))]
    cut = [({name: field[part] for name, field in fields.items()}, outputs[part], valid[part]) for part in parts]
    weights = sum(float(task.weight(own, of)) for own, _, of in cut)
    assert weights == float(task.weight(fields, valid)), "the weights of parts add up to that of the whole"
    losses = sum(_loss(task, out, own, of, recipe).item() for own, out, of in cut)
    whole = _loss(task, outputs, fields, valid, recipe).item()
    assert abs(losses - whole) <= _ROUNDING * abs(whole), "an additive loss is the sum over parts"


def _loss(task: Task, outputs: Any, fields: Fields, valid: torch.Tensor, recipe: RecipeSpec) -> torch.Tensor:
    loss = task.loss(outputs, fields, valid, recipe)
    assert loss.ndim == 0, f"the loss is a sum, one number, saw the shape {tuple(loss.shape)}"
    return loss
