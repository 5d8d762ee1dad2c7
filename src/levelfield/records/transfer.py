"""What a study asks of its backbones on other data: the ``[[transfer]]`` tables, as objects."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, TypeAlias

from levelfield.records.codec import later, record
from levelfield.records.data import DataSpec, num_folds
from levelfield.records.data_bounds import LARGEST_SIDE
from levelfield.records.errors import SpecError, expect
from levelfield.records.grid import LearningRateGrid
from levelfield.records.probe import ProbeKind
from levelfield.records.stated import LONGEST_NAME, stated
from levelfield.records.trial import CLASSIFICATION, MOST_STEPS, RecipeValue, expect_task

if TYPE_CHECKING:
    from collections.abc import Sequence

Metric: TypeAlias = str
"""The name of a measure, as it is better lower: "error", "loss", "image mIoU shortfall"."""
MOST_SPENDS = 32
MOST_TRANSFERS = 16
FINE_TUNED = "fine-tuned"
FROM_SCRATCH = "from scratch"


@stated
class ArmSpec:
    """How one arm trains on the target: a recipe, single fields of it replaced, and the grid its rate is searched on.

    Fine-tuning takes a recipe of :mod:`levelfield.transfer.recipes`, training from scratch one of the study's presets.
    """

    recipe: str
    base_lr: LearningRateGrid
    lr_batch_exponent: float = 0.5
    override: dict[str, RecipeValue] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        expect(0 <= self.lr_batch_exponent <= 1, "transfer.lr_batch_exponent", "in [0, 1]", self.lr_batch_exponent)


@stated
class TransferFamily:
    """A family's arms: ``finetune`` starts from its backbones, ``scratch`` from nothing at equal total compute."""

    name: str
    finetune: ArmSpec
    scratch: ArmSpec | None = None


@stated
class TransferSpec:
    """One target: its data, the probes of frozen features, and the arms that train on it.

    Every rung's frontier (the winners' fresh seeds) is fine-tuned; beside it ``off_frontier`` other sizes of each rung,
    which show whether lower pre-training loss meant better transfer. Fine-tuning may spend up to ``share`` of the
    rung's FLOPs, training from scratch up to the rung and that share together: equal total compute. Both arms are
    searched alike on the select split: learning rate, then how much of the allowance to spend (``spends``, rising to
    1); training from scratch also size, since pre-training had its size searched.

    ``task`` is what is learnt there, on the same backbones. ``metric`` names the measure that laws and verdicts are
    about; the select split chooses by the first of them. ``budgets`` leaves out rungs.
    """

    name: str
    data: DataSpec
    probes: tuple[ProbeKind, ...] = ()
    probe_examples: int | None = None
    families: tuple[TransferFamily, ...] = ()
    share: float = 0.5
    spends: tuple[float, ...] = (0.125, 0.25, 0.5, 1.0)
    off_frontier: int = 2
    min_steps: int = 100
    test_resolution: int | None = None
    metric: str = "error"
    budgets: tuple[float, ...] | None = None
    task: str = later(default=CLASSIFICATION)

    def __post_init__(self) -> None:
        where = f"transfer {self.name!r}"
        word = self.name.isidentifier() and len(self.name.encode()) <= LONGEST_NAME
        expect(word, "transfer.name", f"a word of at most {LONGEST_NAME} bytes", self.name)
        expect_task(self.task)
        if self.probes and self.task != CLASSIFICATION:
            raise SpecError(f"{where}: probes tell labelled pictures apart; leave them out for task {self.task!r}")
        expect(bool(self.probes or self.families), where, "probes, or families to fine-tune", "neither")
        expect(len(set(self.probes)) == len(self.probes), f"{where}: probes", "distinct", self.probes)
        num, side = self.probe_examples, self.test_resolution
        expect(num is None or num >= 1, f"{where}: probe_examples", "at least 1", num)
        if num is not None and not self.probes:
            raise SpecError(f"{where}: probe_examples says what probes are fitted on, but there are no probes")
        held = side is None or 1 <= side <= LARGEST_SIDE
        expect(held, f"{where}: test_resolution", f"from 1 to {LARGEST_SIDE} pixels", side)
        budgets = self.budgets
        distinct = budgets is None or 0 < len(set(budgets)) == len(budgets)
        expect(distinct, f"{where}: budgets", "distinct rungs, or left out for all", budgets)
        expect(0.001 <= self.share <= 10, f"{where}: share", "from 0.001 to 10 of a rung's FLOPs", self.share)
        expect(len(self.spends) <= MOST_SPENDS, f"{where}: spends", f"at most {MOST_SPENDS}", len(self.spends))
        rising = all(low < high for low, high in zip(self.spends, self.spends[1:], strict=False))
        expect(
            rising and self.spends[:1] > (0,) and self.spends[-1:] == (1.0,),
            f"{where}: spends",
            "rising shares of the allowance that end at 1",
            self.spends,
        )
        expect(self.off_frontier >= 0, f"{where}: off_frontier", "at least 0", self.off_frontier)
        expect(1 <= self.min_steps <= MOST_STEPS, f"{where}: min_steps", f"from 1 to {MOST_STEPS}", self.min_steps)
        names = [family.name for family in self.families]
        expect(len(set(names)) == len(names), f"{where}: families", "distinct", names)
        self._refuse_unequal_search()

    def _refuse_unequal_search(self) -> None:
        """Grids of one length for all families and arms: neither pre-training nor a family is tuned harder."""
        arms = {(family.name, "finetune"): family.finetune for family in self.families}
        arms |= {(family.name, "scratch"): family.scratch for family in self.families if family.scratch}
        lengths = {" ".join(arm): len(spec.base_lr.values) for arm, spec in arms.items()}
        if len(set(lengths.values())) > 1:
            raise SpecError(f"transfer {self.name!r}: unequal search: base_lr grid values are {lengths}")
        with_scratch = {family.scratch is not None for family in self.families}
        if len(with_scratch) > 1:
            raise SpecError(f"transfer {self.name!r}: give every family a scratch table, or none")

    def arms(self, family: str) -> TransferFamily | None:
        """The arms of ``family``; None where it is only probed."""
        return next((entry for entry in self.families if entry.name == family), None)


def check_transfers(transfers: Sequence[TransferSpec], *, families: Sequence[str], budgets: Sequence[float]) -> None:
    """Refuse tables that ask for families or rungs that the study does not have.

    Raises:
        SpecError: naming the table.
    """
    names = [transfer.name for transfer in transfers]
    expect(len(set(names)) == len(names), "transfer", "tables of distinct names", names)
    expect(len(names) <= MOST_TRANSFERS, "transfer", f"at most {MOST_TRANSFERS} tables", len(names))
    for transfer in transfers:
        folds = num_folds(transfer.data)
        expect(folds == 1, f"transfer {transfer.name!r}: data.folds", "left out: one part judges a transfer", folds)
        for entry in transfer.families:
            expect(entry.name in families, f"transfer {transfer.name!r}: families", f"among {families}", entry.name)
        for budget in transfer.budgets or ():
            expect(budget in budgets, f"transfer {transfer.name!r}: budgets", f"among {budgets}", budget)


@record
class TransferRow:
    """One measured transfer, as the statistics see it.

    ``arm`` is ``fine-tuned``, ``from scratch``, ``linear``, ``knn`` or ``10-shot``. ``ranked`` rows start from trials
    of the search: they take part in the comparison of ranks alone, with the select loss of their pre-training.
    ``budget_flops`` is the rung, ``allowed_flops`` all that pre-training and transfer could spend together,
    ``pretrain_flops`` and ``transfer_flops`` what they did spend; absent where there was no pre-training. ``seed`` is
    that of the backbone. ``values`` are what was measured, better lower, by the name of the measure, ``chances`` the
    values of chance. ``edges`` names the searched axes whose
    optimum is only a bound.
    """

    run: str
    transfer: str
    arm: str
    ranked: bool
    family: str
    model: str
    budget_flops: float
    allowed_flops: float
    pretrain_flops: float | None
    transfer_flops: float
    values: dict[str, float]
    num_report: int
    chances: dict[str, float | None]
    seed: int
    pretraining: str | None = None
    pretrain_loss: float | None = None
    base_lr: float | None = None
    spend: float | None = None
    edges: tuple[str, ...] = ()
    device_seconds: float | None = None
    pretrain_seconds: float | None = None
    device: str | None = None
