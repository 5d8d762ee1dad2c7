"""From data and a largest budget to a complete study: rungs, families with their paths of sizes, and how it searches.

Nothing here looks at a loss: what is declared follows from the data's shape and the budget alone, alike for all
families.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from types import MappingProxyType
from typing import Any

from levelfield.families.registry import family_named, parse
from levelfield.records.codec import from_plain
from levelfield.records.data import DataSpec, ImagesSpec
from levelfield.records.errors import InputError, SpecError
from levelfield.records.execution import ExecutionSpec
from levelfield.records.study import (
    MOST_EPOCHS,
    PROTOCOL_MAX_EPOCHS,
    AxisSpec,
    FamilyEntry,
    LadderSpec,
    SearchSpec,
    StudySpec,
    VerdictSpec,
)
from levelfield.study.facts import DataFacts, StartFacts
from levelfield.study.plan.candidate import afford
from levelfield.study.planned import Candidate

NUM_RUNGS = 4
"""As many as a law asks for at the least."""
RUNG_RATIO, LEAST_RATIO = 10**0.5, 2.0
FEWEST_SIZES = 3
"""Allowed at a rung: a winner, and a worse neighbour on each side."""
CHECK_SEEDS = 3
"""Runs of a trial at the lowest rung, which cost a thirtieth of one at the top: axes are decided there for all."""
CAP = 7
"""Values of one axis, at the most, in one walk."""
_BATCHES = (0.25, 0.5, 1.0, 2.0, 4.0)
_LENGTHS = (0.0625, 0.125, 0.25, 0.5, 1.0)
"""Shares of a budget."""
_STRENGTHS = ("none", "flip", *(f"crop-flip{more}" for more in ("", *(f"+rand-m{m}-n2-inc1" for m in (3, 6, 9)))))
_SHAPES = 5
"""Values of the axis of shapes, where images can be cut in so many ways."""
AXES = ("batch", "shape", "stabiliser")
"""Beside rate and size, those first that are worth most where time is short."""


@dataclass(frozen=True, kw_only=True)
class Shelved:
    """Weights that race: the ``name`` of a competitor, its ``architecture`` as text, the ``place`` they lie at, and the
    ``identity`` of what made them."""

    name: str
    architecture: str
    place: str
    identity: str


def started_from(facts: DataFacts, shelf: Sequence[Shelved]) -> DataFacts:
    """``facts`` with the weights of a ``shelf`` as what their competitors start from."""
    starts = (StartFacts(family=each.name, identity=each.identity) for each in shelf)
    return dataclasses.replace(facts, starts=(*facts.starts, *starts))


def race_study(
    data: DataSpec,
    facts: DataFacts,
    families: Sequence[str],
    top: float,
    *,
    name: str,
    question: str,
    margin: float,
    seeds: int,
    execution: ExecutionSpec,
    axes: Sequence[str] = AXES,
    shelf: Sequence[Shelved] = (),
) -> StudySpec:
    """The study of a race up to the budget ``top``, in training FLOPs of one run.

    A family is a name of the registry, or a network of somebody else's such as "timm:resnet50". Beside rate and size it
    is searched along ``axes``. Within the protocol's four epochs where at every rung every family has sizes enough that
    way, else repeating images as often as it takes: then how long each family trains within a budget, and how strongly
    images are augmented, is searched at every rung, too. Beside ``families``, which begin at random, weights of a
    ``shelf`` are fine-tuned at equal compute.

    Raises:
        SpecError: there is no such family, or it cannot take images of this size.
        InputError: the budget is too small for any family to have sizes to choose among.
    """
    budgets = rungs_below(top, least_budget(data, facts, families, shelf))

    def study(max_epochs: float, worn: Mapping[str, AxisSpec] = MappingProxyType({})) -> StudySpec:
        entries = tuple(_entries(families, facts.resolution, axes, worn, shelf))
        searched = budgets[:1] if any(entry.axes for entry in entries) else None
        return StudySpec(
            name=name,
            question=question,
            data=data,
            ladder=LadderSpec(budgets=budgets, max_epochs=max_epochs),
            families=entries,
            search=SearchSpec(
                cap=CAP, sizes="outward", check_budgets=searched, check_seeds=CHECK_SEEDS if searched else 1
            ),
            verdict=VerdictSpec(margin=margin, seeds=seeds, control_budget=budgets[0], look=1),
            execution=execution,
        )

    once = study(PROTOCOL_MAX_EPOCHS)
    held = all(_num_sizes(once, facts, entry, budget) >= _asked(entry) for entry in once.families for budget in budgets)
    return once if held else study(MOST_EPOCHS, _worn_axes(data))


def _worn_axes(data: DataSpec) -> dict[str, AxisSpec]:
    """What is searched beside the rest where images are few: they are worn out before the budget is spent."""
    axes = {"length": AxisSpec(field="length", values=_LENGTHS)}
    if isinstance(data, ImagesSpec) and data.randaugment is None and data.augment in _STRENGTHS:
        axes["augment"] = AxisSpec(field="data.augment", values=_STRENGTHS)
    return axes


def rungs_below(top: float, least: float) -> tuple[float, ...]:
    """Budgets half a decade apart up to ``top``, closer where ``least`` is near, none below that, to three digits.

    Raises:
        InputError: not even two of them.
    """
    ratio = min(RUNG_RATIO, max(LEAST_RATIO, (top / least) ** (1 / (NUM_RUNGS - 1))))
    budgets = [_rounded(top / ratio**step) for step in range(NUM_RUNGS)]
    kept = sorted(budget for budget in budgets if budget >= 0.99 * least)
    if len(kept) < 2:
        raise InputError(
            f"a race up to {top:.3g} training FLOPs a run is too short: the smallest networks that are worth comparing "
            f"take {least:.3g} (500 steps each), and two budgets a factor of two apart are the least for a trend"
        )
    return tuple(kept)


def is_full(budgets: Sequence[float]) -> bool:
    """Whether the rungs are as many, and as far apart, as those of a race that has the time."""
    return len(budgets) == NUM_RUNGS and budgets[-1] > 0.9 * budgets[0] * RUNG_RATIO ** (NUM_RUNGS - 1)


def least_budget(data: DataSpec, facts: DataFacts, families: Sequence[str], shelf: Sequence[Shelved] = ()) -> float:
    """The smallest budget that leaves every family sizes to choose among, however often images are seen."""
    entries = tuple(_entries(families, facts.resolution, (), shelf=shelf))
    budget = 1e6
    while True:  # a larger budget always ends it: the smallest sizes then have steps enough
        probe = StudySpec(
            name="race", question="", data=data, families=entries,
            ladder=LadderSpec(budgets=(budget,), max_epochs=MOST_EPOCHS), search=SearchSpec(sizes="outward"),
        )  # fmt: skip
        if all(_num_sizes(probe, facts, entry, budget) >= _asked(entry) for entry in entries):
            return budget
        budget *= 1.1


def _asked(entry: FamilyEntry) -> int:
    return min(FEWEST_SIZES, len(entry.sizes))


def _num_sizes(spec: StudySpec, facts: DataFacts, entry: FamilyEntry, budget: float) -> int:
    """Sizes of ``entry`` that the protocol allows at ``budget``."""
    candidates = (Candidate(architecture=size, base_lr=entry.base_lr.start) for size in entry.sizes)
    return sum(afford(spec, facts, entry, candidate, budget).refusal is None for candidate in candidates)


def _entries(
    families: Sequence[str],
    resolution: int,
    asked: Sequence[str],
    worn: Mapping[str, AxisSpec] = MappingProxyType({}),
    shelf: Sequence[Shelved] = (),
) -> Iterator[FamilyEntry]:
    """The families with the same axes, those that are ``asked`` for and ``worn``; the shape only where each has one,
    which weights of a ``shelf`` have not."""
    for each in shelf:
        yield _entry("weights", each.name, (each.architecture,), asked, {}, worn, weights=each.place)
    shapes = [_shape_of(family, resolution) for family in families]
    num = 0 if shelf else min((len(shape[2]) for shape in shapes if shape), default=0)
    for family, shape in zip(families, shapes, strict=True):
        own = {}
        if all(shapes) and shape is not None and num > 1:
            letter, start, values = shape
            own["shape"] = AxisSpec(field=f"model.{letter}", values=_about(start, values, min(num, _SHAPES)))
        yield _entry(family, _name_of(family), _sizes(family, resolution), asked, own, worn)


def _entry(
    declared_as: str,
    name: str,
    sizes: Sequence[str],
    asked: Sequence[str],
    own: Mapping[str, AxisSpec],
    worn: Mapping[str, AxisSpec],
    **more: Any,
) -> FamilyEntry:
    declared = _declared(declared_as)
    axes = {
        "batch": AxisSpec(field="batch_factor", values=_BATCHES),
        "stabiliser": from_plain(AxisSpec, declared["stabiliser"], where=name),
        **own,
    }
    axes = {axis: values for axis, values in axes.items() if axis in asked} | dict(worn)
    plain = {key: value for key, value in declared.items() if key != "stabiliser"}
    return from_plain(
        FamilyEntry, plain | {"name": name, "sizes": list(sizes), "axes": _plain(axes), **more}, where=name
    )


def _plain(axes: dict[str, AxisSpec]) -> dict[str, Any]:
    return {name: {"field": axis.field, "values": list(axis.values)} for name, axis in axes.items()}


def _about(start: int, values: Sequence[int], num: int) -> tuple[int, ...]:
    """``num`` neighbours of ``values``, ``start`` as near their middle as can be."""
    place = values.index(start)
    first = min(max(0, place - num // 2), len(values) - num)
    return tuple(values[first : first + num])


def _sizes(family: str, resolution: int) -> tuple[str, ...]:
    if ":" in family:
        return (parse(family).text,)
    path = family_named(family).path
    if path is None:
        raise SpecError(
            f"family {family!r} has no path of sizes of its own; name one network of it, such as '{family}:resnet50'"
        )
    return path(resolution)


def _shape_of(family: str, resolution: int) -> tuple[str, int, tuple[int, ...]] | None:
    shapes = None if ":" in family else family_named(family).shapes
    return None if shapes is None else shapes(resolution)


def _name_of(family: str) -> str:
    """A network of somebody else's is called as itself: names hold no colon."""
    return family.partition(":")[2].partition(",")[0] or family


@functools.cache
def _all_declared() -> dict[str, Any]:
    return tomllib.loads(resources.files("levelfield.study.race").joinpath("families.toml").read_text())


def _declared(family: str) -> dict[str, Any]:
    declared = _all_declared()
    return declared.get(family, declared["*"])


def _rounded(budget: float) -> float:
    return float(f"{budget:.2e}") if math.isfinite(budget) else budget
