"""What was fixed before the first result stays fixed (``sealed.json``): the study that was declared is the one judged.

Until a trial has a result everything may change. From then on a spec may only grow, by the rules of ``_GROWTH``: the
steps that the product itself recommends, which take nothing back. docs/explanation/protocol.md says why.
"""

from __future__ import annotations

import dataclasses
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from levelfield.records.codec import record, to_plain
from levelfield.records.data import data_identity
from levelfield.records.difference import leaves
from levelfield.records.errors import DamagedError, SpecError
from levelfield.records.sealed import read_record, read_record_if_there, write_record
from levelfield.records.store import StudyDirectory
from levelfield.records.study import StudySpec

logger = logging.getLogger(__name__)

ESTIMAND = (
    "the difference of ln held-out loss between the best-tuned recipes of two families at equal compute, on the report "
    "split: training FLOPs and device-seconds, ranked equally"
)


@record
class Fixed:
    """The study as it was declared, ``grown`` since by what its sentences say, and what it estimates."""

    spec: StudySpec
    estimand: str = ESTIMAND
    grown: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Change:
    """A field that says something else than before; ``grows`` where it may, for it takes nothing back."""

    field: str
    was: Any
    now: Any
    grows: bool


def fix(study: StudyDirectory, spec: StudySpec, *, num_results: int) -> Fixed:
    """Write down what ``spec`` fixes, or that it is what was fixed and has at the most grown.

    Raises:
        SpecError: it changes what was fixed; the sentence names each field with both values.
        DamagedError: there are results, and nothing says any more what was fixed before them.
    """
    fixed = _grown(_known(study), spec, num_results) if num_results else Fixed(spec=spec.declared)
    write_record(study.sealed_path, fixed)
    return fixed


def read_fixed(study: StudyDirectory, spec: StudySpec) -> Fixed:
    """What was fixed before the results of ``study``, whose ``study.json`` holds ``spec``.

    Raises:
        DamagedError: it is damaged or lost, or ``study.json`` is another study than the one that was fixed.
    """
    remedy = f"`levelfield run SPEC --dir {study.path}` with the spec that was fixed writes it again"
    fixed = read_record(Fixed, study.sealed_path, remedy=remedy)
    for change in changes(fixed.spec, spec):
        raise DamagedError(f"{study.path / 'study.json'} is not what was fixed beforehand: {_told(change)}", remedy)
    return fixed


def changes(was: StudySpec, now: StudySpec) -> Iterator[Change]:
    """Every field in which ``now`` says something else than ``was``, but for the name, where data lies, and how trials
    are executed."""
    asked = {table.name for table in was.transfer}
    for name in (table.name for table in now.transfer if table.name not in asked):
        yield Change(field=f"transfer.{name}", was=None, now="a target", grows=True)  # a question about other data
    old_targets = tuple(table for table in now.transfer if table.name in asked)
    before, after = _flat(was), _flat(dataclasses.replace(now, transfer=old_targets))
    for field in dict.fromkeys((*before, *after)):
        old, new = before.get(field), after.get(field)
        if old != new:
            yield Change(field=field, was=old, now=new, grows=_grows(field, old, new))


def _known(study: StudyDirectory) -> Fixed:
    """What was fixed, from its own record or from the spec as last run, which had passed this check."""
    try:
        found = read_record_if_there(Fixed, study.sealed_path)
    except DamagedError as error:
        logger.warning("%s: written again from study.json", error.seen)
        found = None
    if found is not None:
        return found
    spec = read_record_if_there(StudySpec, study.spec_path)
    if spec is None:
        raise DamagedError(
            f"{study.path} holds results, and neither sealed.json nor study.json says what was fixed before them",
            "restore one of the two from a copy, or run in another directory (--dir)",
        )
    return Fixed(spec=spec.declared)


def _grown(fixed: Fixed, spec: StudySpec, num_results: int) -> Fixed:
    found = list(changes(fixed.spec, spec))
    if fixed.estimand != ESTIMAND:
        found.append(Change(field="the estimand", was=fixed.estimand, now=ESTIMAND, grows=False))
    refused = [_told(change) for change in found if not change.grows]
    if refused:
        raise SpecError(
            f"{'; '.join(refused)}: {num_results} results are known, and what was fixed before them stays fixed; "
            "restore it, or run in another directory (--dir)"
        )
    told = tuple(f"{_told(change)}, after {num_results} results were known" for change in found)
    return Fixed(spec=spec.declared, estimand=fixed.estimand, grown=(*fixed.grown, *told))


def _told(change: Change) -> str:
    was, now = ("nothing" if value is None else value for value in (change.was, change.now))
    return f"{change.field} was {was}, is now {now}"


def _flat(spec: StudySpec) -> dict[str, Any]:
    """Every leaf of ``spec`` by its dotted name; tables that have names are called by them, lists are leaves."""
    plain = to_plain(spec.declared)
    plain.pop("name")
    plain["data"] = data_identity(spec.data)
    plain["families"] = {entry["name"]: entry for entry in plain["families"]}
    plain["transfer"] = {
        table["name"]: _without_place(table, target.data)
        for table, target in zip(plain.get("transfer", ()), spec.transfer, strict=True)
    }
    return leaves(plain)


def _without_place(table: dict[str, Any], data: Any) -> dict[str, Any]:
    families = {entry["name"]: entry for entry in table["families"]}
    return table | {"data": data_identity(data), "families": families}


def _grows(field: str, was: Any, now: Any) -> bool:
    if was is None or now is None:
        return False  # to say something where nothing was said, or the other way round, is another rule
    return any(re.fullmatch(pattern, field) and rule(was, now) for pattern, rule in _GROWTH)


def _starts(was: Sequence[Any], now: Sequence[Any]) -> bool:
    return list(now[: len(was)]) == list(was)


def _holds_all(was: Sequence[Any], now: Sequence[Any]) -> bool:
    return set(was) <= set(now)


def _holds_in_a_row(was: Sequence[Any], now: Sequence[Any]) -> bool:
    rows = (now[start : start + len(was)] for start in range(len(now) - len(was) + 1))
    return any(list(row) == list(was) for row in rows)


_GROWTH: tuple[tuple[str, Callable[[Any, Any], bool]], ...] = (
    (r"ladder\.budgets", _starts),  # rungs above, where the laws have not been tested
    (r"ladder\.locked", _holds_all),
    (r"verdict\.seeds", lambda was, now: now >= was),  # what decides a verdict that could not be told
    (r"verdict\.look", lambda was, now: now >= was),
    (r"search\.check_seeds", lambda was, now: now >= was),  # what one rung decided for others by too few runs
    (r"search\.cap", lambda was, now: now >= was),  # winners that could not be enclosed
    (r"families\..*\.base_lr\.low", lambda was, now: now <= was),  # a grid whose winners lie at its edge
    (r"families\..*\.base_lr\.high", lambda was, now: now >= was),
    (r"families\.[^.]*\.sizes", _holds_in_a_row),
    (r"families\.[^.]*\.axes\..*\.values", _holds_in_a_row),
)
