"""One way to spend a budget: from a size, a learning rate and axis values to a complete trial."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from levelfield.compute.analytic import count
from levelfield.compute.budget import examples_for, global_batch_size
from levelfield.compute.head_fit import head_fit_flops
from levelfield.families.registry import parse
from levelfield.records.allowed import TooFewSteps, TooManyEpochs, TooManySteps
from levelfield.records.data import STRONGER, DataSpec, ImagesSpec, data_content, in_fold
from levelfield.records.errors import SpecError
from levelfield.records.head import Head
from levelfield.records.sharing import refuse_other_sharing
from levelfield.records.study import AxisValue, FamilyEntry, LadderSpec, StudySpec
from levelfield.records.trial import RecipeSpec, TrialSpec
from levelfield.study.facts import DataFacts
from levelfield.study.plan.recipes import preset
from levelfield.study.planned import Affordable, Candidate


def afford(spec: StudySpec, facts: DataFacts, entry: FamilyEntry, candidate: Candidate, budget: float) -> Affordable:
    """How many whole global batches ``budget`` buys ``candidate``, under the study's batch rule and limits.

    One that is shorter than it might be spends a share of the budget, which is then a cap.

    ``max_steps`` leaves out sizes; an axis of a size that is in is searched wherever it leads.
    """
    architecture = with_codes(candidate.architecture, _fields(entry, candidate, "model"))
    cost = cost_of(architecture, facts.resolution, facts.head, facts.in_channels)
    ladder = spec.ladder
    recipe = recipe_of(entry, candidate, peak_lr=1.0)
    refuse_other_sharing(recipe, architecture, shares=cost.shares_statistics)
    factor, share = (float(_fields(entry, candidate, field).get("", 1)) for field in ("batch_factor", "length"))
    batch, steps = batch_and_steps(ladder, recipe, cost.gradients_for(budget * share), batch_factor=factor)
    epochs = steps * batch / recipe.multiplicity / facts.num_train
    refusal = None
    if steps < ladder.min_steps:
        refusal = TooFewSteps(steps=steps, batch=batch, least=ladder.min_steps)
    elif ladder.max_steps is not None and steps > ladder.max_steps and not candidate.axes:
        refusal = TooManySteps(steps=steps, batch=batch, most=ladder.max_steps)
    elif epochs > ladder.max_epochs:
        refusal = TooManyEpochs(epochs=epochs, most=ladder.max_epochs)
    return Affordable(
        architecture=architecture,
        params=cost.params,
        flops_per_example=cost.flops_per_example,
        global_batch_size=batch,
        steps=steps,
        epochs=epochs,
        refusal=refusal,
        statistics_flops=cost.statistics_flops,
    )


def batch_and_steps(
    ladder: LadderSpec, recipe: RecipeSpec, gradients: int, *, batch_factor: float = 1.0
) -> tuple[int, int]:
    """The global batch by the study's rule, and the whole steps that ``gradients`` of single examples make up.

    Sharpness-aware steps take those of their ascent, too.
    """
    rule = global_batch_size(
        max(1, math.floor(gradients / (1 + recipe.ascent_share))),
        coefficient=ladder.batch_coefficient,
        smallest=ladder.smallest_batch,
        largest=ladder.largest_batch,
    )
    batch = max(1, round(rule * batch_factor))
    return batch, gradients // (batch + recipe.ascent_examples(batch))


class Cost(NamedTuple):
    """What an architecture costs: training FLOPs an example, and once those of its statistics, if it has any."""

    params: int
    flops_per_example: float
    statistics_flops: float

    @property
    def shares_statistics(self) -> bool:
        """Whether the examples of a batch do while training."""
        return self.statistics_flops > 0

    def gradients_for(self, budget: float) -> int:
        """The most examples that ``budget`` pays for beside the statistics; 0 where it does not reach for these."""
        left = budget - self.statistics_flops
        return examples_for(left, self.flops_per_example) if left > 0 else 0


@functools.lru_cache(maxsize=4096)
def cost_of(architecture: str, resolution: int, head: Head, in_channels: int, *, frozen: bool = False) -> Cost:
    """See :class:`Cost`; a plan asks for the same ones many times."""
    counted = count(architecture, resolution=resolution, head=head, in_channels=in_channels, frozen=frozen)
    return Cost(counted.params, float(counted.train_flops_per_example), float(counted.statistics_flops))


@functools.lru_cache(maxsize=4096)
def head_fit_cost(architecture: str, resolution: int, head: Head, in_channels: int, num_train: int) -> float:
    """What fitting the head first takes of a budget."""
    counted = count(architecture, resolution=resolution, head=head, in_channels=in_channels)
    return head_fit_flops(counted, num_train)


def trial_spec(
    spec: StudySpec,
    facts: DataFacts,
    entry: FamilyEntry,
    candidate: Candidate,
    affordable: Affordable,
    budget: float,
    *,
    seed: int = 0,
    held_out: str = "select",
    fold: int = 0,
) -> TrialSpec:
    """The complete trial that spends ``budget`` on ``candidate``, with that ``fold`` of the data held out."""
    batch = affordable.global_batch_size
    peak_lr = candidate.base_lr * (batch / 256) ** entry.lr_batch_exponent
    data = in_fold(_augmented(spec.data, _fields(entry, candidate, "data")), fold)
    return TrialSpec(
        architecture=affordable.architecture,
        data=data,
        recipe=recipe_of(entry, candidate, peak_lr=peak_lr),
        head=facts.head,
        budget_flops=budget,
        global_batch_size=batch,
        steps=affordable.steps,
        seed=seed,
        task=spec.task,
        held_out=held_out,  # pyright: ignore[reportArgumentType]
        weights=spec.verdict.weights,
        dtype=spec.dtype,
        start=facts.start_of(entry.name),
        data_content=data_content(spec.data, facts.fingerprint),
    )


def default_value(spec: StudySpec, entry: FamilyEntry, axis: str, architecture: str) -> AxisValue:
    """Where the search along ``axis`` starts: the model's, the recipe's, the data's or the rule's own value.

    Raises:
        SpecError: the declared grid does not hold that value.
    """
    grid = entry.axes[axis]
    section, _, name = grid.field.partition(".")
    if section == "model":
        own = parse(architecture).text
        held = [value for value in grid.values if with_codes(architecture, {name: value}) == own]
    else:
        recipe = preset(entry.recipe, peak_lr=1.0, override=entry.override)
        own = getattr(recipe, name) if section == "recipe" else _strength_of(spec.data) if section == "data" else 1
        held = [value for value in grid.values if value == own]
    if not held:
        raise SpecError(f"axis {axis!r} of {entry.name}: its grid {grid.values} must hold the default of {own!r}")
    return held[0]


def recipe_of(entry: FamilyEntry, candidate: Candidate, *, peak_lr: float) -> RecipeSpec:
    """The family's recipe with the searched values of ``candidate``."""
    recipe = preset(entry.recipe, peak_lr=peak_lr, override=entry.override)
    moved: dict[str, Any] = _fields(entry, candidate, "recipe")
    return dataclasses.replace(recipe, **moved) if moved else recipe


def _strength_of(data: DataSpec) -> str:
    """How ``data`` augments, in the words of an axis.

    Raises:
        SpecError: nobody can say of such data how it is augmented.
    """
    if not isinstance(data, ImagesSpec):
        raise SpecError(f"an axis moves data.augment, which is of source 'images' alone, not of {data.source!r}")
    return data.augment if data.randaugment is None else f"{data.augment}{STRONGER}{data.randaugment}"


def _augmented(data: DataSpec, moved: Mapping[str, AxisValue]) -> DataSpec:
    """``data`` augmented as an axis says, if one does."""
    if not moved:
        return data
    augment, _, randaugment = str(moved["augment"]).partition(STRONGER)
    return dataclasses.replace(data, augment=augment, randaugment=randaugment or None)


def _fields(entry: FamilyEntry, candidate: Candidate, section: str) -> dict[str, AxisValue]:
    """The moved axes of a ``section``, by field name; see :class:`levelfield.records.study.AxisSpec`."""
    fields = {entry.axes[name].field: value for name, value in candidate.axes}
    return {field.partition(".")[2]: value for field, value in fields.items() if field.partition(".")[0] == section}


def with_codes(architecture: str, codes: Mapping[str, AxisValue]) -> str:
    """The canonical text of ``architecture`` with single codes of its body replaced: ``{"p": 8}`` gives "…-p8"."""
    return _replaced(architecture, tuple(codes.items()))


@functools.lru_cache(maxsize=4096)
def _replaced(architecture: str, codes: tuple[tuple[str, AxisValue], ...]) -> str:
    family, _, rest = architecture.partition(":")
    body, comma, options = rest.partition(",")
    kept = [code for code in body.split("-") if code[:1] not in dict(codes)]
    moved = [f"{letter}{value}" for letter, value in codes]
    return parse(f"{family}:{'-'.join(kept + moved)}{comma}{options}").text
