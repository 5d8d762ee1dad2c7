"""What a study asks and how it searches: the TOML file, as objects.

The rules of a fair study (equal search, the step minimum, fresh seeds, a margin fixed in advance) are checked where the
spec is made, so an unfair study cannot be written down.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Literal, TypeAlias, get_args

from levelfield.records.codec import later
from levelfield.records.data import DataSpec, augment_strength
from levelfield.records.data_bounds import LONGEST_PATH
from levelfield.records.errors import SpecError, did_you_mean, expect
from levelfield.records.execution import DEFAULT_EXECUTION, ExecutionSpec
from levelfield.records.grid import LearningRateGrid
from levelfield.records.stated import expect_name, stated
from levelfield.records.transfer import TransferSpec, check_transfers
from levelfield.records.trial import CLASSIFICATION, Dtype, RecipeSpec, RecipeValue, Weights, expect_task

PROTOCOL_MIN_STEPS = 500
PROTOCOL_MIN_SEEDS = 3
PROTOCOL_MAX_EPOCHS = 4.0
AxisValue: TypeAlias = float | int | str
SizeSearch: TypeAlias = Literal["all", "outward"]

LARGEST_BUDGET = 1e28
"""Training FLOPs of one run: about a hundred times what anybody has spent."""
MOST_BUDGETS = 64
MOST_LOCKED = 16
MOST_FAMILIES = 32
MOST_SIZES = 128
MOST_AXES = 8
MOST_AXIS_VALUES = 32
MOST_SHAPES = 128
"""What the ``model`` axes of a family may make of one size, all together."""
MOST_CELLS = 4096
"""Families x sizes x rungs. A study in print has some hundred; every finished trial plans all of them again."""
MOST_SEEDS = 1000
MOST_CAP = 1000
MOST_CHECK_SEEDS = 100
LARGEST_RULED_BATCH = 2**18
_PLAIN_FIELDS = ("batch_factor", "length", "data.augment")
"""What an axis may move beside fields of recipes and codes of sizes."""
LARGEST_BATCH_FACTOR = 64.0
LARGEST_COEFFICIENT = 1e6
MOST_EPOCHS = 1e6
MOST_LOOKS = 100


@stated
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
        for name, most in (("budgets", MOST_BUDGETS), ("locked", MOST_LOCKED)):
            expect(len(getattr(self, name)) <= most, f"ladder.{name}", f"at most {most}", len(getattr(self, name)))
        rising = all(low < high for low, high in zip(self.budgets, self.budgets[1:], strict=False))
        expect(rising and self.budgets[0] > 0, "ladder.budgets", "positive and strictly rising", self.budgets)
        ladder = (*self.budgets, *self.locked)
        above = all(low < high for low, high in zip(ladder[len(self.budgets) - 1 :], self.locked, strict=False))
        expect(above, "ladder.locked", f"rising, above ladder.budgets {self.budgets}", self.locked)
        expect(ladder[-1] <= LARGEST_BUDGET, "ladder", f"at most {LARGEST_BUDGET:g} training FLOPs", ladder[-1])
        least = 1 / LARGEST_COEFFICIENT
        expect(
            least <= self.batch_coefficient <= LARGEST_COEFFICIENT,
            "ladder.batch_coefficient",
            f"positive, from {least:g} to {LARGEST_COEFFICIENT:g}",
            self.batch_coefficient,
        )
        for name in ("smallest_batch", "largest_batch"):
            limit = getattr(self, name)
            whole = 1 <= limit <= LARGEST_RULED_BATCH and limit & (limit - 1) == 0
            expect(whole, f"ladder.{name}", f"a power of two from 1 to {LARGEST_RULED_BATCH}", limit)
        expect(
            self.smallest_batch <= self.largest_batch,
            "ladder.smallest_batch",
            f"at most ladder.largest_batch ({self.largest_batch})",
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
        held = 0 < self.max_epochs <= MOST_EPOCHS
        expect(held, "ladder.max_epochs", f"positive, at most {MOST_EPOCHS:g}", self.max_epochs)


@stated
class AxisSpec:
    """A searched axis beside the learning rate: an ordered grid around the family's own default.

    ``field`` is ``recipe.<field>``, ``model.<code>`` of the size's text ("model.p" is the patch of "vit:w64-d3-p4"),
    ``batch_factor`` (a factor on the batch rule), ``length`` (the share of the budget that is spent: the budget is then
    a cap, and the share is searched at every rung), or ``data.augment`` (from the gentlest to the strongest). The
    search starts at the default, which must be one of ``values``; numbers rise, since what stands side by side is taken
    for near.
    """

    field: str
    values: tuple[AxisValue, ...]

    def __post_init__(self) -> None:
        where, values = f"axis {self.field!r}", self.values
        section, _, name = self.field.partition(".")
        if section == "recipe":
            known = RecipeSpec.searchable()
            if name not in known:
                raise SpecError(f"axis field {self.field!r} is no recipe field to search{did_you_mean(name, known)}")
        elif self.field not in _PLAIN_FIELDS and not (section == "model" and len(name) == 1 and name.isalpha()):
            wanted = "'recipe.<field>', 'model.<letter of a size>', " + ", ".join(map(repr, _PLAIN_FIELDS))
            raise SpecError(f"axis field must be one of {wanted}, saw {self.field!r}")
        expect(2 <= len(values) <= MOST_AXIS_VALUES, where, f"of 2 to {MOST_AXIS_VALUES} values", values)
        expect(len(set(values)) == len(values), where, "distinct values", values)
        numbers = [value for value in values if not isinstance(value, str)]
        expect(numbers in ([], sorted(numbers)), where, "rising numbers", values)
        expect(len(numbers) in (0, len(values)), where, "numbers, or texts", values)
        if self.field == "batch_factor":
            most = LARGEST_BATCH_FACTOR
            held = numbers and 1 / most <= numbers[0] and numbers[-1] <= most
            expect(bool(held), where, f"numbers from 1/{most:g} to {most:g}", values)
        if self.field == "length":
            held = numbers and numbers[0] > 0 and numbers[-1] == 1
            expect(bool(held), where, "shares of the budget, up to 1", values)
        if self.field == "data.augment":
            strengths = [augment_strength(str(value)) for value in values]
            expect(strengths == sorted(set(strengths)), where, "from the gentlest to the strongest", values)

    @property
    def section(self) -> str:
        """What the axis moves: ``recipe``, ``model``, ``data``, ``batch_factor`` or ``length``."""
        return self.field.partition(".")[0]


@stated
class SwapEntry:
    """The optimiser swap (protocol 8): another recipe for a family's winner, and the grid its rate is searched on."""

    recipe: str
    base_lr: LearningRateGrid
    lr_batch_exponent: float

    def __post_init__(self) -> None:
        expect(0 <= self.lr_batch_exponent <= 1, "swap.lr_batch_exponent", "in [0, 1]", self.lr_batch_exponent)


@stated
class FamilyEntry:
    """A competitor: its sizes in the text form of its family, its recipe preset and its declared grids.

    With ``weights`` it starts from those that lie there (a finished trial, or a file of them), which have one size; its
    recipe is then one of fine-tuning (:mod:`levelfield.transfer.recipes`). What is compared is then what budgets of
    fine-tuning make of it, whatever making the weights had cost.
    """

    name: str
    sizes: tuple[str, ...]
    recipe: str
    base_lr: LearningRateGrid
    lr_batch_exponent: float
    override: dict[str, RecipeValue] = dataclasses.field(default_factory=dict)
    axes: dict[str, AxisSpec] = dataclasses.field(default_factory=dict)
    swap: SwapEntry | None = None
    weights: str | None = later(default=None)

    def __post_init__(self) -> None:
        where = f"family {self.name!r}"
        if self.weights is not None:
            expect(1 <= len(self.weights) <= LONGEST_PATH, f"{where}: weights", "a place", self.weights)
            expect(len(self.sizes) == 1, f"{where}: sizes", "one: that of its weights", self.sizes)
            shaped = [name for name, axis in self.axes.items() if axis.section == "model"]
            expect(not shaped, f"{where}: axes", "none of the model, which its weights have made", shaped)
        expect_name(self.name, "families.name")
        expect(1 <= len(self.sizes) <= MOST_SIZES, f"{where}: sizes", f"of 1 to {MOST_SIZES} sizes", len(self.sizes))
        expect(len(set(self.sizes)) == len(self.sizes), f"{where}: sizes", "distinct", self.sizes)
        expect(0 <= self.lr_batch_exponent <= 1, "lr_batch_exponent", "in [0, 1]", self.lr_batch_exponent)
        expect(len(self.axes) <= MOST_AXES, f"{where}: axes", f"at most {MOST_AXES}", len(self.axes))
        fields = [axis.field for axis in self.axes.values()]
        expect(len(set(fields)) == len(fields), f"{where}: axes", "of distinct fields", fields)
        shapes = math.prod(len(axis.values) for axis in self.axes.values() if axis.section == "model")
        expect(shapes <= MOST_SHAPES, f"{where}: model axes", f"of at most {MOST_SHAPES} shapes together", shapes)
        for name in self.axes:
            expect_name(name, f"{where}: the name of an axis")
            expect(not set(name) & set(",="), f"{where}: the name of an axis", "without ',' and '='", name)


@stated
class SearchSpec:
    """The search, declared before the run and equal for all families.

    ``cap`` bounds the trials on one axis in one cell. The other axes are checked at ``check_budgets`` (all rungs when
    absent). ``audit_budgets`` run the full learning-rate grid at the middle size, to test the two-trial rule.

    ``sizes`` says how the list of sizes is searched: "all" trains every allowed one, "outward" starts where lower rungs
    point to and walks until the winner has worse neighbours along every axis (decision 30). Of a searching trial
    at ``check_budgets`` there are ``check_seeds`` runs, whose mean decides: axes that are carried up err at all rungs.
    """

    cap: int = 5
    bracket_winners: bool = True
    check_budgets: tuple[float, ...] | None = None
    audit_budgets: tuple[float, ...] = ()
    sizes: SizeSearch = later(default="all")
    check_seeds: int = later(default=1)

    def __post_init__(self) -> None:
        held = 3 <= self.cap <= MOST_CAP
        expect(held, "search.cap", f"at least 3 (an optimum needs both neighbours), at most {MOST_CAP}", self.cap)
        for name in ("check_budgets", "audit_budgets"):
            budgets = getattr(self, name) or ()
            expect(len(set(budgets)) == len(budgets), f"search.{name}", "distinct", budgets)
        expect(self.sizes in get_args(SizeSearch), "search.sizes", f"one of {get_args(SizeSearch)}", self.sizes)
        held = 1 <= self.check_seeds <= MOST_CHECK_SEEDS
        expect(held, "search.check_seeds", f"from 1 to {MOST_CHECK_SEEDS}", self.check_seeds)
        held = self.sizes == "all" or self.bracket_winners
        expect(held, "search.bracket_winners", 'true, or left out, where sizes = "outward"', self.bracket_winners)


@stated
class VerdictSpec:
    """What is compared and by which margin, fixed before the run.

    ``margin`` is in ln loss: 0.05 calls families within 5 % of loss equivalent. ``control_budget`` is the rung of the
    A/A control, ``swap_budget`` that of the optimiser swap (absent: none). ``weights`` says once for the whole study
    whether raw or averaged weights are judged.

    ``look`` is the number of the look at the results: whoever goes on after having looked looks again, and look k
    spends 1 / (k (k + 1)) of the error, so that all looks together spend it once (decision 31). Absent: the design was
    fixed beforehand, and is looked at once.
    """

    margin: float = 0.05
    seeds: int = PROTOCOL_MIN_SEEDS
    control_budget: float | None = None
    swap_budget: float | None = None
    weights: Weights = "ema"
    look: int | None = later(default=None)

    def __post_init__(self) -> None:
        expect(self.look is None or 1 <= self.look <= MOST_LOOKS, "verdict.look", f"from 1 to {MOST_LOOKS}", self.look)
        expect(0 < self.margin < 1, "verdict.margin", "in (0, 1) of ln loss", self.margin)
        expect(
            PROTOCOL_MIN_SEEDS <= self.seeds <= MOST_SEEDS,
            "verdict.seeds",
            f"at least {PROTOCOL_MIN_SEEDS} (a winner without seeds supports no verdict), at most {MOST_SEEDS}",
            self.seeds,
        )

    @property
    def share_of_error(self) -> float:
        """The share of the error that this look spends: 1/2, 1/6, 1/12, ..., which add up to 1."""
        return 1.0 if self.look is None else 1 / (self.look * (self.look + 1))

    def level_at_look(self, level: float) -> float:
        """The level of intervals at this look, where ``level`` is that of a study that is looked at once."""
        return 1 - (1 - level) * self.share_of_error


@stated
class StudySpec:
    """One question and everything needed to answer it, run again to resume.

    ``execution`` says how its trials are to be run: it is no part of what is asked, and may change at any time.
    """

    name: str
    question: str
    hypothesis: str = ""
    data: DataSpec
    ladder: LadderSpec
    families: tuple[FamilyEntry, ...]
    search: SearchSpec = dataclasses.field(default_factory=lambda: SearchSpec())
    verdict: VerdictSpec = dataclasses.field(default_factory=lambda: VerdictSpec())
    task: str = CLASSIFICATION
    dtype: Dtype = "float32"
    transfer: tuple[TransferSpec, ...] = later(default=())
    execution: ExecutionSpec = later(default=DEFAULT_EXECUTION)

    def __post_init__(self) -> None:
        expect_name(self.name, "name")
        expect_task(self.task)
        names = [family.name for family in self.families]
        expect(1 <= len(names) <= MOST_FAMILIES, "families", f"of 1 to {MOST_FAMILIES} families", names)
        expect(len(set(names)) == len(names), "families", "distinct names", names)
        cells = sum(len(family.sizes) for family in self.families) * len((*self.ladder.budgets, *self.ladder.locked))
        expect(cells <= MOST_CELLS, "the study", f"of at most {MOST_CELLS} cells (sizes x rungs)", cells)
        fold = getattr(self.data, "fold", 0)
        expect(fold == 0, "data.fold", "left out: the winners of a study are judged on every fold", fold)
        self._refuse_unequal_search()
        self._refuse_overruled()
        for where, budgets in (
            ("search.check_budgets", self.search.check_budgets or ()),
            ("search.audit_budgets", self.search.audit_budgets),
            ("verdict.control_budget", (self.verdict.control_budget,)),
            ("verdict.swap_budget", (self.verdict.swap_budget,)),
        ):
            for budget in budgets:
                held = budget is None or budget in self.ladder.budgets
                expect(held, where, f"one of ladder.budgets {self.ladder.budgets}", budget)
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

    def _refuse_overruled(self) -> None:
        """What is said and would be ignored in silence."""
        swaps = self.families[0].swap is not None
        if self.verdict.swap_budget is not None and not swaps:
            raise SpecError("verdict.swap_budget asks for an optimiser swap: give every family a [families.swap] table")
        if self.verdict.swap_budget is None and swaps:
            raise SpecError("[families.swap] says how, and nothing where: give verdict.swap_budget, or leave it out")
        if self.search.check_budgets is not None and not self.families[0].axes:
            raise SpecError("search.check_budgets says where the other axes are searched, but no family has any")

    @property
    def declared(self) -> StudySpec:
        """What the study asks, whoever executes it and how."""
        return dataclasses.replace(self, execution=DEFAULT_EXECUTION)

    @property
    def control_budget(self) -> float:
        """The rung of the A/A control: the one declared, else the middle of the ladder."""
        return self.verdict.control_budget or self.ladder.budgets[(len(self.ladder.budgets) - 1) // 2]
