"""The parts of a trial, put together once: here its texts become things, and nowhere else on the way to the loop."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from levelfield.compute.analytic import STATISTICS_EXAMPLES
from levelfield.data.arranged import training_order
from levelfield.data.augment.mixing import Mixing
from levelfield.data.loader import Batch, Loader
from levelfield.data.sources import Source, near
from levelfield.families.registry import build, parameter_depth, parameter_role, parse
from levelfield.records.errors import SpecError
from levelfield.records.execution import Execution
from levelfield.records.trial import TrialSpec
from levelfield.tasks.base import Task, refuse_missing_fields
from levelfield.tasks.registry import task_named
from levelfield.train.engine.registry import step_by
from levelfield.train.evaluate import batch_judged
from levelfield.train.frozen import freeze
from levelfield.train.lagging import LaggingStep
from levelfield.train.policy import policy_table
from levelfield.train.ranks import ALONE, Ranks
from levelfield.train.state import TrainState, keyed_seed
from levelfield.train.step import TrainingStep
from levelfield.transfer.backbone import PretrainedBackbone
from levelfield.transfer.surgery import graft


@dataclass(frozen=True, kw_only=True, eq=False)
class TrialParts:
    """What a trial is made of: ``source`` to train on, ``judged_on`` to be judged on, ``start`` to begin from."""

    spec: TrialSpec
    task: Task
    source: Source
    judged_on: Source
    state: TrainState
    step: TrainingStep | LaggingStep
    device: torch.device
    start: PretrainedBackbone | None
    ranks: Ranks = ALONE

    @property
    def network(self) -> Any:
        """The network, a :class:`levelfield.families.base.Backbone`: ``network.spec`` is its family's."""
        return self.state.model

    def loader(self, *, prefetch: int = 0) -> Loader:
        """This rank's share of the batches that are left to train on, rendered ahead by ``prefetch`` threads."""
        return training_loader(
            self.spec,
            self.source,
            start_step=self.state.step,
            end_step=self.spec.steps,
            prefetch=prefetch,
            pinned=self.device.type == "cuda",
            ranks=self.ranks,
        )


def put_together(
    spec: TrialSpec,
    source: Source,
    *,
    device: torch.device,
    execution: Execution | None = None,
    backbone: PretrainedBackbone | None = None,
    test_source: Source | None = None,
    ranks: Ranks = ALONE,
) -> TrialParts:
    """Everything that ``spec`` names, built: at its first step, the same for the same spec.

    Steps are taken as ``execution`` says, by the plain rules where it is left out. Of several ``ranks`` the first alone
    has the backbone: what the others begin with it hands out.

    Raises:
        SpecError: the parts do not fit one another or the execution, or there is no such task or architecture.
    """
    if ranks.is_first:
        refuse_other_backbone(spec, backbone)
    judged_on = test_source or source
    if spec.test_resolution not in (None, judged_on.resolution):
        raise SpecError(f"trial {spec.name} is judged at {spec.test_resolution} px, not at {judged_on.resolution}")
    task = task_named(spec.task)
    refuse_missing_fields(task, source.fields, name=spec.task)
    if (head := task.head(source.fields)) != spec.head:
        raise SpecError(f"trial {spec.name} is of {spec.head}, but on this data task {spec.task!r} needs {head}")
    state = _state(spec, source, device=device, backbone=backbone)
    return TrialParts(
        spec=spec,
        task=task,
        source=near(source, device),
        judged_on=near(judged_on, device),
        state=state,
        step=step_by(execution, spec, task, state, device=device, ranks=ranks)
        if execution
        else TrainingStep(spec, task, device=device),
        device=device,
        start=backbone,
        ranks=ranks,
    )


def refuse_other_backbone(spec: TrialSpec, backbone: PretrainedBackbone | None) -> None:
    """A trial begins with the weights that it names, or with random ones.

    Raises:
        SpecError: ``backbone`` is another.
    """
    if spec.start != (backbone.identity if backbone else None):
        held = backbone.identity if backbone else "no weights"
        raise SpecError(f"trial {spec.name} starts from {spec.start or 'random weights'}, but was given {held}")


def build_state(
    spec: TrialSpec, source: Source, *, device: torch.device, backbone: PretrainedBackbone | None = None
) -> TrainState:
    """The initial state of a trial: the same weights for the same spec, on any device.

    Raises:
        SpecError: ``backbone`` is not what the trial starts from, or does not fit it.
    """
    refuse_other_backbone(spec, backbone)
    return _state(spec, source, device=device, backbone=backbone)


def _state(spec: TrialSpec, source: Source, *, device: torch.device, backbone: PretrainedBackbone | None) -> TrainState:
    torch.manual_seed(keyed_seed("init", spec.seed))
    family = parse(spec.architecture)
    model = build(
        family,
        head=spec.head,
        resolution=source.resolution,
        in_channels=source.in_channels,
        dropout=spec.recipe.dropout,
        stochastic_depth=spec.recipe.stochastic_depth,
    ).to(device)
    model.train()
    if backbone is not None:
        graft(model, family, backbone)
    if spec.recipe.frozen:
        freeze(model)
    parameters = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    roles = {name: parameter_role(family, name) for name in parameters}
    depths = {name: parameter_depth(family, name) for name in parameters}
    return TrainState(model, spec, policy_table(parameters, roles, spec.recipe, depths=depths))


def statistics_batches(spec: TrialSpec, source: Source) -> Iterator[Batch]:
    """The first training examples of a trial, augmented as it is trained on them, in batches that nothing decides."""
    batch = batch_judged(spec.head, source.resolution)
    order = training_order(source, spec.seed, multiplicity=spec.recipe.multiplicity)
    loader = Loader(source, order=order, global_batch_size=batch, mixing=_mixing(spec))
    return itertools.islice(loader, STATISTICS_EXAMPLES // batch)


def training_loader(
    spec: TrialSpec,
    source: Source,
    *,
    start_step: int,
    end_step: int | None = None,
    prefetch: int = 0,
    pinned: bool = False,
    ranks: Ranks = ALONE,
) -> Loader:
    """The batches of a trial from ``start_step`` on, rendered ahead by ``prefetch`` threads, with equal results.

    They end before ``end_step``, where it is said.
    """
    return Loader(
        source,
        order=training_order(source, spec.seed, multiplicity=spec.recipe.multiplicity),
        global_batch_size=spec.global_batch_size,
        start_examples=start_step * spec.global_batch_size,
        end_examples=None if end_step is None else end_step * spec.global_batch_size,
        rank=ranks.rank,
        world_size=ranks.size,
        prefetch=prefetch,
        pinned=pinned,
        mixing=_mixing(spec),
    )


def _mixing(spec: TrialSpec) -> Mixing | None:
    """How the examples of a trial are mixed, where they are."""
    recipe = spec.recipe
    if not recipe.mixes:
        return None
    alphas = {"mixup_alpha": recipe.mixup_alpha, "cutmix_alpha": recipe.cutmix_alpha}
    return Mixing(**alphas, block=recipe.mix_block, seed=spec.seed)
