"""What a study asks and how it searches: the TOML file, as objects.

The rules of a fair study (equal search, the step minimum, fresh seeds, a margin fixed in advance) are checked where the
spec is made, so an unfair study cannot be written down.
"""

from __future__ import annotations

import dataclasses
from typing import TypeAlias

from levelfield.records.codec import later, record
from levelfield.records.data import DataSpec
from levelfield.records.errors import SpecError, did_you_mean, expect
from levelfield.records.grid import LearningRateGrid
from levelfield.records.transfer import TransferSpec, check_transfers
from levelfield.records.trial import Dtype, RecipeSpec, Weights

PROTOCOL_MIN_STEPS = 500
PROTOCOL_MIN_SEEDS = 3
PROTOCOL_MAX_EPOCHS = 4.0
AxisValue: TypeAlias = float | int | str


@record
class LadderSpec:
    """The rungs: budgets in training FLOPs, and what a budget buys.

    The global batch is ``batch_coefficient`` x examples^0.5 rounded to a power of two, for every family alike.
    ``max_steps`` leaves out sizes so small for a rung that they would train on and on. ``locked`` are rungs above the
    searched ones: each runs the recipe that was predicted for it, after the prediction has been written down.
    """

    budgets: tuple[float, ...]
    locked: tuple[float, ...] = ()
    batch_coefficient: float = 0.25
    smallest_batch: int = 8
    largest_batch: int = 4096
    min_steps: int = PROTOCOL_MIN_STEPS
    max_steps: int | None = None
    max_epochs: float = PROTOCOL_MAX_EPOCHS

    def __post_init__(self) -> None:
        expect(len(self.budgets) > 0, "ladder.budgets", "at least one budget in training FLOPs", self.budgets)
        rising = all(low < high for low, high in zip(self.budgets, self.budgets[1:], strict=False))
        expect(rising and self.budgets[0] > 0, "ladder.budgets", "positive and strictly rising", self.budgets)
        ladder = (*self.budgets, *self.locked)
        above = all(low < high for low, high in zip(ladder[len(self.budgets) - 1 :], self.locked, strict=False))
        expect(above, "ladder.locked", f"rising, above ladder.budgets {self.budgets}", self.locked)
        expect(self.batch_coefficient > 0, "ladder.batch_coefficient", "positive", self.batch_coefficient)
        expect(
            1 <= self.smallest_batch <= self.largest_batch,
            "ladder.smallest_batch",
            "between 1 and ladder.largest_batch",
            self.smallest_batch,
        )
        expect(
            self.min_steps >= PROTOCOL_MIN_STEPS,
            "ladder.min_steps",
            f"at least {PROTOCOL_MIN_STEPS} (shorter runs measure the warm-up, not the network)",
            self.min_steps,
        )
        expect(
            self.max_steps is None or self.max_steps >= self.min_steps,
            "ladder.max_steps",
            f"at least ladder.min_steps ({self.min_steps}), or left out",
            self.max_steps,
        )
        expect(self.max_epochs > 0, "ladder.max_epochs", "positive", self.max_epochs)


@record
class AxisSpec:
    """A searched axis beside the learning rate: an ordered grid around the family's own default.

    ``field`` is ``recipe.<field>``, ``model.<code>`` of the size's text ("model.p" is the patch of "vit:w64-d3-p4"),
    or ``batch_factor`` (a factor on the batch rule). The search starts at the default, which must be one of ``values``.
    """

    field: str
    values: tuple[AxisValue, ...]

    def __post_init__(self) -> None:
        expect(len(self.values) >= 2, f"axis {self.field!r}", "at least two values", self.values)
        expect(len(set(self.values)) == len(self.values), f"axis {self.field!r}", "distinct values", self.values)
        section, _, name = self.field.partition(".")
        if section == "recipe":
            known = {field.name for field in dataclasses.fields(RecipeSpec)}
            if name not in known:
                raise SpecError(f"axis field {self.field!r} is no recipe field{did_you_mean(name, known)}")
        elif section not in ("model", "batch_factor"):
            raise SpecError(f"axis field must be 'recipe.…', 'model.…' or 'batch_factor', saw {self.field!r}")


@record
class SwapEntry:
    """The optimiser swap (protocol 8): another recipe for a family's winner, and the grid its rate is searched on."""

    recipe: str
    base_lr: LearningRateGrid
    lr_batch_exponent: float

    def __post_init__(self) -> None:
        expect(0 <= self.lr_batch_exponent <= 1, "swap.lr_batch_exponent", "in [0, 1]", self.lr_batch_exponent)


@record
class FamilyEntry:
    """A competitor: its sizes in the text form of its family, its recipe preset and its declared grids."""

    name: str
    sizes: tuple[str, ...]
    recipe: str
    base_lr: LearningRateGrid
    lr_batch_exponent: float
    override: dict[str, AxisValue | bool | None] = dataclasses.field(default_factory=dict)
    axes: dict[str, AxisSpec] = dataclasses.field(default_factory=dict)
    swap: SwapEntry | None = None

    def __post_init__(self) -> None:
        expect(len(self.sizes) > 0, f"family {self.name!r}: sizes", "at least one size", self.sizes)
        expect(len(set(self.sizes)) == len(self.sizes), f"family {self.name!r}: sizes", "distinct", self.sizes)
        expect(0 <= self.lr_batch_exponent <= 1, "lr_batch_exponent", "in [0, 1]", self.lr_batch_exponent)


@record
class SearchSpec:
    """The search, declared before the run and equal for all families.

    ``cap`` bounds the trials on one axis in one cell. The other axes are checked at ``check_budgets`` (all rungs when
    absent). ``audit_budgets`` run the full learning-rate grid at the middle size, to test the two-trial rule.
    """

    cap: int = 5
    bracket_winners: bool = True
    check_budgets: tuple[float, ...] | None = None
    audit_budgets: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        expect(self.cap >= 3, "search.cap", "at least 3 (an optimum needs both neighbours)", self.cap)


@record
class VerdictSpec:
    """What is compared and by which margin, fixed before the run.

    ``margin`` is in ln loss: 0.05 calls families within 5 % of loss equivalent. ``control_budget`` is the rung of the
    A/A control, ``swap_budget`` that of the optimiser swap (absent: none). ``weights`` says once for the whole study
    whether raw or averaged weights are judged.
    """

    margin: float = 0.05
    seeds: int = PROTOCOL_MIN_SEEDS
    control_budget: float | None = None
    swap_budget: float | None = None
    weights: Weights = "ema"

    def __post_init__(self) -> None:
        expect(0 < self.margin < 1, "verdict.margin", "in (0, 1) of ln loss", self.margin)
        expect(
            self.seeds >= PROTOCOL_MIN_SEEDS,
            "verdict.seeds",
            f"at least {PROTOCOL_MIN_SEEDS} (a winner without seeds supports no verdict)",
            self.seeds,
        )


@record
class StudySpec:
    """One question and everything needed to answer it, run again to resume."""

    name: str
    question: str
    hypothesis: str = ""
    data: DataSpec
    ladder: LadderSpec
    families: tuple[FamilyEntry, ...]
    search: SearchSpec = dataclasses.field(default_factory=lambda: SearchSpec())
    verdict: VerdictSpec = dataclasses.field(default_factory=lambda: VerdictSpec())
    dtype: Dtype = "float32"
    threads: int = 1
    transfer: tuple[TransferSpec, ...] = later(default=())

    def __post_init__(self) -> None:
        expect(bool(self.name.strip()), "name", "a short name", self.name)
        names = [family.name for family in self.families]
        expect(len(names) > 0, "families", "at least one family", names)
        expect(len(set(names)) == len(names), "families", "distinct names", names)
        self._refuse_unequal_search()
        for where, budgets in (
            ("search.check_budgets", self.search.check_budgets or ()),
            ("search.audit_budgets", self.search.audit_budgets),
            ("verdict.control_budget", (self.verdict.control_budget,) if self.verdict.control_budget else ()),
            ("verdict.swap_budget", (self.verdict.swap_budget,) if self.verdict.swap_budget else ()),
        ):
            for budget in budgets:
                expect(budget in self.ladder.budgets, where, f"one of ladder.budgets {self.ladder.budgets}", budget)

        if self.verdict.swap_budget is not None and self.families[0].swap is None:
            raise SpecError("verdict.swap_budget asks for an optimiser swap: give every family a [families.swap] table")
        check_transfers(self.transfer, families=names, budgets=self.ladder.budgets)

    def _refuse_unequal_search(self) -> None:
        """Protocol 3: the same axes with grids of the same length, for every family."""
        first = self.families[0]
        for other in self.families[1:]:
            for what, of in (
                ("axes", lambda entry: sorted(entry.axes)),
                ("base_lr grid values", lambda entry: len(entry.base_lr.values)),
                ("swap grid values", lambda entry: len(entry.swap.base_lr.values) if entry.swap else 0),
                ("grid lengths", lambda entry: {name: len(axis.values) for name, axis in entry.axes.items()}),
            ):
                if of(first) != of(other):
                    raise SpecError(
                        f"unequal search: {what} are {of(first)} for {first.name!r}, {of(other)} for {other.name!r}; "
                        "give every family the same axes with grids of the same length"
                    )

    @property
    def control_budget(self) -> float:
        """The rung of the A/A control: the one declared, else the middle of the ladder."""
        return self.verdict.control_budget or self.ladder.budgets[(len(self.ladder.budgets) - 1) // 2]
