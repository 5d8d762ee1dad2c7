"""Which transfers a study wants: a pure function of its spec, what its rungs found, and the results that exist.

For every table, family and rung: fine-tuning of the frontier's fresh seeds and of some sizes beside it, training from
scratch at equal total compute, and probes of frozen features. What is searched is searched like pre-training is.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence

from levelfield.records.allowed import ArmOf, TooFewSteps
from levelfield.records.data import data_content
from levelfield.records.errors import SpecError
from levelfield.records.measure import measure_named
from levelfield.records.probe import ProbeSpec
from levelfield.records.reason import Reason
from levelfield.records.sharing import refuse_other_sharing
from levelfield.records.study import LadderSpec, StudySpec
from levelfield.records.transfer import ArmSpec, TransferFamily, TransferSpec
from levelfield.records.trial import CLASSIFICATION, RecipeSpec, TrialSpec
from levelfield.study.facts import DataFacts
from levelfield.study.plan.candidate import batch_and_steps, cost_of, head_fit_cost, with_codes
from levelfield.study.plan.offered import OfferedStarts
from levelfield.study.plan.parts import Lookup
from levelfield.study.plan.recipes import preset
from levelfield.study.plan.search import search_until_bracketed
from levelfield.study.plan.wants import SEARCH_SEED
from levelfield.study.planned import PlannedTransfer, RefusedTransfer, TransferRole
from levelfield.transfer.recipes import transfer_preset


@dataclasses.dataclass(frozen=True, kw_only=True)
class TransferCandidate:
    """One way to train on the target: a size, a rate, and the share of the allowance that is spent."""

    architecture: str
    base_lr: float
    spend: float


class TransferWants:
    """The transfers wanted so far, and the arms that were refused."""

    def __init__(self, spec: StudySpec, facts: DataFacts, results: Lookup) -> None:
        self.spec = spec
        self.facts = facts
        self.results = results
        self.transfers: dict[tuple[str, str, float], PlannedTransfer] = {}
        self.refused: list[RefusedTransfer] = []

    @property
    def wanted(self) -> dict[str, PlannedTransfer]:
        """The transfers by fingerprint, each trial once."""
        return {planned.spec.fingerprint: planned for planned in self.transfers.values()}

    def want(self, planned: PlannedTransfer) -> None:
        """Want it once for each rung and reason: one trial may serve two."""
        self.transfers.setdefault((planned.spec.fingerprint, planned.role, planned.budget_flops), planned)

    def want_rung(self, transfer: TransferSpec, offered: OfferedStarts) -> None:
        """Want everything that ``transfer`` asks of one family at one rung, as far as results go."""
        starts = (*offered.fresh, offered.selecting, *offered.beside[: transfer.off_frontier])
        known = [start for start in starts if self._finished(start)]
        if transfer.probes:
            for start in known:
                self._want_probe(transfer, offered, start)
        arms = transfer.arms(offered.entry.name)
        if arms is not None and self._finished(offered.selecting):
            self._want_finetuning(transfer, offered, arms, known)
            if arms.scratch is not None:
                self._want_scratch(transfer, offered, arms.scratch)

    def _want_probe(self, transfer: TransferSpec, offered: OfferedStarts, start: TrialSpec) -> None:
        probe = ProbeSpec(
            architecture=start.architecture,
            start=f"trial:{start.fingerprint}",
            data=transfer.data,
            probes=transfer.probes,
            num_train=transfer.probe_examples,
            dtype=self.spec.dtype,
            data_content=self._content(transfer),
        )
        self.want(_planned(probe, "probe", transfer, offered, start))

    def _want_finetuning(
        self, transfer: TransferSpec, offered: OfferedStarts, arms: TransferFamily, known: Sequence[TrialSpec]
    ) -> None:
        def trial(candidate: TransferCandidate, start: TrialSpec, held_out: str) -> TrialSpec | Reason:
            budget = transfer.share * candidate.spend * offered.budget_flops
            return self._trial(transfer, arms.finetune, candidate, budget, held_out, seed=start.seed, start=start)

        def loss(candidate: TransferCandidate) -> float | None:
            return self._loss(transfer, offered, "finetune", candidate, trial(candidate, offered.selecting, "select"))

        found = self._searched(transfer, arms.finetune, (offered.architecture,), 0, loss)
        if found is None:
            return
        candidate, edges = found
        for start in known:
            # An axis of the winner may have made another network of the same size: each starts from its own.
            own = dataclasses.replace(candidate, architecture=start.architecture)
            judged = trial(own, start, "report")
            role = "finetune" if start in offered.fresh else "ranked"
            if isinstance(judged, TrialSpec):
                self.want(_planned(judged, role, transfer, offered, start, candidate=own, edges=edges))
            else:
                self._refuse(transfer, offered, ArmOf(arm="fine-tuning", architecture=start.architecture), judged)

    def _want_scratch(self, transfer: TransferSpec, offered: OfferedStarts, arm: ArmSpec) -> None:
        def trial(candidate: TransferCandidate, held_out: str, seed: int) -> TrialSpec | Reason:
            budget = (1 + transfer.share) * candidate.spend * offered.budget_flops
            return self._trial(transfer, arm, candidate, budget, held_out, seed=seed)

        def loss(candidate: TransferCandidate) -> float | None:
            return self._loss(transfer, offered, "scratch", candidate, trial(candidate, "select", SEARCH_SEED))

        place = offered.sizes.index(offered.architecture)
        found = self._searched(transfer, arm, offered.sizes, place, loss)
        if found is None:
            return
        candidate, edges = found
        for fresh in offered.fresh:
            judged = trial(candidate, "report", fresh.seed)
            if isinstance(judged, TrialSpec):
                self.want(_planned(judged, "scratch", transfer, offered, None, candidate=candidate, edges=edges))

    def _searched(
        self,
        transfer: TransferSpec,
        arm: ArmSpec,
        sizes: Sequence[str],
        start: int,
        loss: Callable[[TransferCandidate], float | None],
    ) -> tuple[TransferCandidate, tuple[str, ...]] | None:
        """The best candidate by rate, then spending, then size, and the axes that are only bounds; None while awaited.

        Spending the whole allowance is no edge: nobody may spend more. A backbone has one size, which is not searched.
        """
        grid, spends = arm.base_lr.values, transfer.spends
        candidate, edges = TransferCandidate(architecture=sizes[start], base_lr=arm.base_lr.start, spend=spends[-1]), []
        axes: list[tuple[str, Sequence[float | str], int]] = [
            ("base_lr", grid, arm.base_lr.start_index),
            ("spend", spends, len(spends) - 1),
        ]
        if len(sizes) > 1:
            axes.append(("architecture", sizes, start))
        for name, values, first in axes:
            tried = [dataclasses.replace(candidate, **{name: value}) for value in values]
            search = search_until_bracketed(
                len(tried), first, lambda place, tried=tried: loss(tried[place]), cap=self.spec.search.cap
            )
            if search.best is None:
                return None
            candidate = tried[search.best]
            whole = name == "spend" and search.best == len(values) - 1
            if search.status == "bound" and not whole:
                edges.append({"architecture": "size"}.get(name, name))
        awaited = loss(candidate)
        return None if awaited is None or math.isinf(awaited) else (candidate, tuple(edges))

    def _trial(
        self,
        transfer: TransferSpec,
        arm: ArmSpec,
        candidate: TransferCandidate,
        budget: float,
        held_out: str,
        *,
        seed: int,
        start: TrialSpec | None = None,
    ) -> TrialSpec | Reason:
        """The trial that spends ``budget`` on ``candidate``, or why there is none."""
        target = self.facts.target(transfer.name)
        made = transfer_preset if start is not None else preset
        recipe = made(arm.recipe, peak_lr=1.0, override=arm.override)
        cost = cost_of(candidate.architecture, target.resolution, target.head, target.in_channels, frozen=recipe.frozen)
        fitted = 0.0
        if recipe.head_fit:
            fitted = head_fit_cost(
                candidate.architecture, target.resolution, target.head, target.in_channels, target.num_train
            )
        batch, steps = batch_and_steps(self.spec.ladder, recipe, cost.gradients_for(budget - fitted))
        if steps < transfer.min_steps:
            return TooFewSteps(steps=steps, batch=batch, least=transfer.min_steps)
        return TrialSpec(
            architecture=candidate.architecture,
            data=transfer.data,
            recipe=dataclasses.replace(recipe, peak_lr=candidate.base_lr * (batch / 256) ** arm.lr_batch_exponent),
            head=target.head,
            budget_flops=budget,
            global_batch_size=batch,
            steps=steps,
            seed=seed,
            task=transfer.task,
            held_out=held_out,  # pyright: ignore[reportArgumentType]
            weights="ema" if recipe.ema_fraction > 0 else "raw",
            dtype=self.spec.dtype,
            start=None if start is None else f"trial:{start.fingerprint}",
            test_resolution=transfer.test_resolution,
            data_content=self._content(transfer),
        )

    def _content(self, transfer: TransferSpec) -> str | None:
        return data_content(transfer.data, self.facts.target(transfer.name).fingerprint)

    def _loss(
        self,
        transfer: TransferSpec,
        offered: OfferedStarts,
        arm: str,
        candidate: TransferCandidate,
        trial: TrialSpec | Reason,
    ) -> float | None:
        """The select loss of ``trial``: None while awaited, infinite where it has none."""
        if isinstance(trial, Reason):
            told = ArmOf(arm=arm, architecture=candidate.architecture, spend=candidate.spend)
            self._refuse(transfer, offered, told, trial)
            return math.inf
        role: TransferRole = "finetune-search" if arm == "finetune" else "scratch-search"
        start = offered.selecting if arm == "finetune" else None
        self.want(_planned(trial, role, transfer, offered, start, candidate=candidate))
        result = self.results.get(trial.fingerprint)
        if result is None:
            return None
        return result.loss("select") if result.status == "finished" else math.inf

    def _finished(self, trial: TrialSpec) -> bool:
        result = self.results.get(trial.fingerprint)
        return result is not None and result.status == "finished"

    def _refuse(self, transfer: TransferSpec, offered: OfferedStarts, arm: Reason, reason: Reason) -> None:
        refused = RefusedTransfer(
            transfer=transfer.name,
            family=offered.entry.name,
            budget_flops=offered.budget_flops,
            arm=arm,
            reason=reason,
        )
        if refused not in self.refused:
            self.refused.append(refused)


def refuse_meaningless_transfer(spec: StudySpec, transfer: TransferSpec, facts: DataFacts) -> None:
    """Make every recipe and size that ``transfer`` may ask for.

    Raises:
        SpecError: a recipe cannot be meant, or a size cannot take the target's images; before anything is trained.
    """
    target = facts.target(transfer.name)
    asked = transfer.probe_examples
    if asked is not None and asked > target.num_train:
        raise SpecError(f"transfer {transfer.name!r}: probe_examples = {asked}, but {target.num_train} are there")
    measure_named(target.measures, transfer.metric)
    recipes = {arms.name: tuple(_recipes(arms, spec.ladder, transfer.task)) for arms in transfer.families}
    for entry in spec.families:
        codes = [axis for axis in entry.axes.values() if axis.field.startswith("model.")]
        moved = [{axis.field.removeprefix("model."): value} for axis in codes for value in axis.values]
        for size in (with_codes(size, code) for size in entry.sizes for code in ({}, *moved)):
            for resolution in (target.resolution, transfer.test_resolution or target.resolution):
                cost_of(size, resolution, target.head, target.in_channels)
                for recipe in recipes.get(entry.name, ()):
                    cost = cost_of(size, resolution, target.head, target.in_channels, frozen=recipe.frozen)
                    refuse_other_sharing(recipe, size, shares=cost.shares_statistics)
    if target.in_channels != facts.in_channels:
        raise SpecError(
            f"transfer {transfer.name!r} has images of {target.in_channels} channels, the study's have "
            f"{facts.in_channels}: its backbones cannot take them"
        )


def _recipes(arms: TransferFamily, ladder: LadderSpec, task: str) -> Iterator[RecipeSpec]:
    made = [transfer_preset(arms.finetune.recipe, peak_lr=1.0, override=arms.finetune.override)]
    if made[0].head_fit and task != CLASSIFICATION:
        raise SpecError(f"recipe {made[0].preset!r} fits a classifier first (head_fit), but the task is {task!r}")
    if arms.scratch is not None:
        made.append(preset(arms.scratch.recipe, peak_lr=1.0, override=arms.scratch.override))
    if made[-1].head_fit and len(made) > 1:
        raise SpecError("head_fit fits a head to the features of a trained backbone, and the scratch arm has none")
    for recipe in made:
        recipe.expect_whole_ghost_batches(ladder.smallest_batch)  # every other is a power of two as large or larger
        recipe.expect_whole_mix_blocks(ladder.smallest_batch)
        yield recipe


def _planned(
    spec: TrialSpec | ProbeSpec,
    role: TransferRole,
    transfer: TransferSpec,
    offered: OfferedStarts,
    start: TrialSpec | None,
    *,
    candidate: TransferCandidate | None = None,
    edges: tuple[str, ...] = (),
) -> PlannedTransfer:
    return PlannedTransfer(
        spec=spec,
        role=role,
        transfer=transfer.name,
        family=offered.entry.name,
        budget_flops=offered.budget_flops,
        pretraining=start.fingerprint if start else None,
        base_lr=candidate.base_lr if candidate else None,
        spend=candidate.spend if candidate else None,
        edges=edges,
    )
