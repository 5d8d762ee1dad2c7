"""Auditing a study: finished trials are trained again as they were executed, and compared."""

from __future__ import annotations

import dataclasses
import random
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from levelfield.data.sources import open_source
from levelfield.records.codec import to_plain
from levelfield.records.data import DataSpec, placed_as
from levelfield.records.difference import changed_data, refuse_other_data
from levelfield.records.errors import DamagedError, DataError, InputError, quoted_names
from levelfield.records.execution import Execution, ExecutionSpec
from levelfield.records.store import StudyDirectory, TrialDirectory
from levelfield.records.trial import MADE_BY, TrialResult
from levelfield.study.execute.executed import execution_here
from levelfield.study.launch.base import Launcher, LaunchEvent, failure
from levelfield.study.launch.local import LocalLauncher
from levelfield.study.outcome.locks import losses_fingerprint
from levelfield.study.outcome.outcome import Outcome, read_outcome
from levelfield.study.planned import Lock, PlannedTrial
from levelfield.train.device import resolve_device

ROUNDING = 0.1
"""What rounding may make of the held-out loss of a winner, as a share of it.

Source: measured on trials of the quickstart (510 to 577 steps, on a CPU), each trained by one thread and by two. At the
best of the first rates of a cell twelve pairs of losses were 0.1 % apart in the median, at the most 0.2 % on the lowest
rung and 4.1 % on the top one. At other rates training may amplify rounding without bound: there two of seven pairs were
17 % and 35 % apart, so such trials are not compared in this way.
"""
_WON = ("winner", "control", "swap", "prediction")
"""Roles of trials that are trained at a rate which won."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verified:
    """What was checked and how; ``differences`` is empty where everything is equal.

    A trial is compared "bit for bit" where it was executed here as in the study, and "to rounding" otherwise.
    ``made_elsewhere`` says what is another here.
    """

    what: str
    how: Literal["bit for bit", "to rounding"] = "bit for bit"
    differences: tuple[str, ...] = ()
    made_elsewhere: str = ""

    @property
    def holds(self) -> bool:
        return not self.differences


def verify_study(
    path: Path,
    *,
    sample: int,
    seed: int = 0,
    data: DataSpec | None = None,
    device: str = "auto",
    num_workers: int = 1,
    tolerance: float | None = None,
    on_event: Callable[[LaunchEvent], None] = lambda event: None,
) -> tuple[Verified, ...]:
    """Retrain ``sample`` finished trials of the study at ``path``, drawn by ``seed``, in a temporary folder.

    Each is executed as its record says: by as many threads, and with "auto" on a CPU where it was on one. What was then
    executed alike must be equal bit for bit. What cannot be (another kind of device, another torch, or a trial that was
    resumed elsewhere) must have seen the same examples, and its held-out losses may differ by the share ``tolerance``,
    by ``ROUNDING`` where none is given; with one, trials of the lowest rung alone are drawn.

    ``data`` says where the data lies now, if it has moved; every byte of it is read, whatever is kept of it. Locked
    predictions are checked against the results they were made from. The study itself is only read.

    Raises:
        InputError: there is no study, or no finished trial in it; or a trial cannot be meant here (no such device).
        StoreError: the data is not what the study was run on, or the temporary folder cannot be written.
        TrialError: a trial failed, or no worker can start.
    """
    outcome = read_outcome(path)
    if data is not None:
        outcome = dataclasses.replace(outcome, spec=dataclasses.replace(outcome.spec, data=data))
    source = open_source(outcome.spec.data, rehash=True)
    refuse_other_data(outcome.facts.fingerprint, source.fingerprint, where=path)
    drawn = _drawn(outcome, sample, seed, device=device, lowest_rung=tolerance is not None)
    with tempfile.TemporaryDirectory(prefix="levelfield-verify-") as scratch:
        _retrain(drawn, Path(scratch), outcome, device, num_workers, on_event)
        directories = StudyDirectory(path), StudyDirectory(Path(scratch))
        allowed = ROUNDING if tolerance is None else tolerance
        trials = tuple(_compared(trial, *directories, tolerance=allowed) for trial in drawn)
    return (*trials, *_targets(outcome), *verified_locks(outcome))


def _drawn(outcome: Outcome, sample: int, seed: int, *, device: str, lowest_rung: bool) -> list[PlannedTrial]:
    """Some of the finished trials; of those whose bits cannot be repeated here only such as were trained at a rate that
    won, for at others rounding may make anything of a loss."""
    done = sorted(
        (trial for trial in outcome.planned.trials if trial.spec.fingerprint in outcome.results),
        key=lambda trial: trial.spec.name,
    )
    if lowest_rung:
        done = [trial for trial in done if trial.budget_flops == min(outcome.spec.ladder.budgets)]
    if not done:
        raise InputError("no trial of this study is finished, so there is nothing to verify")
    told = [t for t in done if t.role in _WON or _repeats_here(outcome.results[t.spec.fingerprint], device)] or done
    drawn = random.Random(seed).sample(told, min(sample, len(told)))
    here = outcome.spec.data
    return [dataclasses.replace(t, spec=dataclasses.replace(t.spec, data=placed_as(t.spec.data, here))) for t in drawn]


def _repeats_here(result: TrialResult, device: str) -> bool:
    """Whether the trial can be executed here as it was, so that its bits are to be expected again."""
    held = result.execution
    return len(result.executions) == 1 and held.repeats(
        execution_here(held.asked, resolve_device(_kind_of_device(held, device)))
    )


def _kind_of_device(held: Execution, device: str) -> str:
    """``device``, but that "auto" takes a CPU for what was executed on one."""
    return "cpu" if device == "auto" and held.device.startswith("CPU") else device


def _retrain(
    drawn: Sequence[PlannedTrial],
    scratch: Path,
    outcome: Outcome,
    device: str,
    num_workers: int,
    on_event: Callable[[LaunchEvent], None],
) -> None:
    """Train ``drawn`` in the folder ``scratch``, those that were executed alike together."""
    StudyDirectory(scratch).save_spec(outcome.spec)  # it says where the weights lie that families start from
    alike: dict[tuple[ExecutionSpec, str], list[PlannedTrial]] = defaultdict(list)
    for trial in drawn:
        held = outcome.results[trial.spec.fingerprint].execution
        alike[held.asked, _kind_of_device(held, device)].append(trial)
    for (execution, kind), trials in alike.items():
        launcher = LocalLauncher(
            scratch, num_workers=num_workers, device=kind, execution=execution, checkpoint_seconds=3600
        )
        try:
            _run_all(launcher, trials, on_event)
        finally:
            launcher.close()


def _run_all(launcher: Launcher, trials: Sequence[PlannedTrial], on_event: Callable[[LaunchEvent], None]) -> None:
    for trial in trials:
        launcher.submit(trial)
    left = len(trials)
    while left:
        event = launcher.next_event()
        assert event is not None
        on_event(event)
        if event.kind == "failed":
            raise failure(event)
        left -= event.kind == "finished"


def _compared(trial: PlannedTrial, study: StudyDirectory, scratch: StudyDirectory, *, tolerance: float) -> Verified:
    held, again = study.trial(trial.spec), scratch.trial(trial.spec)
    first, second = held.result(), again.result()
    assert first is not None
    assert second is not None
    repeated = len(first.executions) == 1 and first.execution.repeats(second.execution)
    found = _different_bits(first, second) if repeated else _disagreements(first, second, tolerance)
    damaged = (told for name in sorted(first.kept) for told in _damaged(held, name, first))
    return Verified(
        what=trial.spec.name,
        how="bit for bit" if repeated else "to rounding",
        differences=(*found, *damaged),
        made_elsewhere=_elsewhere(first, second),
    )


def _different_bits(first: TrialResult, second: TrialResult) -> Iterator[str]:
    plain, retrained = to_plain(first), to_plain(second)
    for name in plain:
        if name not in (*MADE_BY, "kept") and plain[name] != retrained[name]:
            yield f"{name}: {plain[name]!r} in the study, {retrained[name]!r} now"
    for name in sorted(first.kept.keys() | second.kept.keys()):
        if first.kept.get(name) != second.kept.get(name):
            yield f"{name} differs"


def _damaged(held: TrialDirectory, name: str, result: TrialResult) -> Iterator[str]:
    """Why a file of the study is not what its own result names, where it is not."""
    try:
        held.companion(held.path / name, result)
    except DamagedError as error:
        yield error.seen


def _disagreements(first: TrialResult, second: TrialResult, tolerance: float) -> Iterator[str]:
    for name in ("status", "steps", "train_flops", "seen_digest"):
        if getattr(first, name) != getattr(second, name):
            yield f"{name}: {getattr(first, name)!r} in the study, {getattr(second, name)!r} now"
    for split in sorted(first.held_out.keys() & second.held_out.keys()):
        held, again, name = first.loss(split), second.loss(split), first.measure().name
        if abs(again - held) > tolerance * abs(held):
            yield f"{split} {name}: {held:.6g} in the study, {again:.6g} now, {_apart(again, held)}"


def _apart(again: float, held: float) -> str:
    return f"{again / held - 1:+.2%} apart" if held else f"{again - held:+.3g} apart"


def _elsewhere(first: TrialResult, second: TrialResult) -> str:
    was, now = (
        f"{', then '.join(each.words for each in result.executions)}, levelfield {result.levelfield_version}"
        for result in (first, second)
    )
    return "" if was == now else f"it was trained with {was}; now with {now}"


def _targets(outcome: Outcome) -> Iterator[Verified]:
    """Every byte of the data of the transfers, where it lies here: their trials are not trained again."""
    for transfer in outcome.spec.transfer:
        what = f"the data of transfer {transfer.name!r}"
        try:
            now = open_source(transfer.data, rehash=True).fingerprint
        except DataError as error:
            yield Verified(what=what, made_elsewhere=f"not compared: {error}")
            continue
        held = outcome.facts.target(transfer.name).fingerprint
        yield Verified(what=what, differences=() if held == now else (changed_data(held, now),))


def verified_locks(outcome: Outcome) -> tuple[Verified, ...]:
    """Every lock names the results that it was made from; its own seal was checked when it was read.

    What the study has learnt since, or taken in from others, is no part of them.
    """
    return tuple(
        Verified(what=f"the prediction locked for {budget:.4g} FLOPs", differences=tuple(_unlike(lock, outcome)))
        for budget, lock in sorted(outcome.locks.items())
    )


def _unlike(lock: Lock, outcome: Outcome) -> Iterator[str]:
    """In what the results that ``lock`` was made from are others now."""
    if lost := [run for run in lock.runs if run not in outcome.results]:
        yield f"it was made from {len(lock.runs)} results, of which {len(lost)} are lost: {quoted_names(lost)}"
    elif (found := losses_fingerprint(outcome.results, lock.runs)) != lock.results:
        yield f"it was made from results {lock.results}, of the same trials the study now holds {found}"
