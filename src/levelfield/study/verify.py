"""Auditing a study: finished trials are trained again and compared, bit for bit."""

from __future__ import annotations

import dataclasses
import random
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from levelfield.data.sources import open_source
from levelfield.records.codec import to_plain
from levelfield.records.data import DataSpec
from levelfield.records.difference import changed_data, refuse_other_data
from levelfield.records.errors import DamagedError, DataError, InputError
from levelfield.records.store import StudyDirectory, TrialDirectory
from levelfield.records.trial import MADE_BY, TrialResult
from levelfield.study.launch.base import LaunchEvent, failure
from levelfield.study.launch.local import LocalLauncher
from levelfield.study.outcome.foretell import results_fingerprint
from levelfield.study.outcome.outcome import Outcome, read_outcome
from levelfield.study.planned import PlannedTrial


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verified:
    """What was checked; ``differences`` is empty where everything is equal.

    ``made_elsewhere`` says where another version or device made it, for then equal bits are not to be expected.
    """

    what: str
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

    With a ``tolerance`` another kind of device may agree instead of repeat: trials of the lowest rung alone are drawn,
    they must have seen the same examples, and held-out losses may differ by that share.

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
    drawn = _drawn(outcome, sample, seed, lowest_rung=tolerance is not None)
    with tempfile.TemporaryDirectory(prefix="levelfield-verify-") as scratch:
        _retrain(drawn, Path(scratch), outcome, device, num_workers, on_event)
        directories = StudyDirectory(path), StudyDirectory(Path(scratch))
        trials = tuple(_compared(trial, *directories, tolerance=tolerance) for trial in drawn)
    return (*trials, *_targets(outcome), *_locks(outcome))


def _drawn(outcome: Outcome, sample: int, seed: int, *, lowest_rung: bool) -> list[PlannedTrial]:
    done = sorted(
        (trial for trial in outcome.planned.trials if trial.spec.fingerprint in outcome.results),
        key=lambda trial: trial.spec.name,
    )
    if lowest_rung:
        done = [trial for trial in done if trial.budget_flops == min(outcome.spec.ladder.budgets)]
    if not done:
        raise InputError("no trial of this study is finished, so there is nothing to verify")
    drawn = random.Random(seed).sample(done, min(sample, len(done)))
    here = outcome.spec.data
    return [dataclasses.replace(t, spec=dataclasses.replace(t.spec, data=here)) for t in drawn]


def _retrain(
    drawn: Sequence[PlannedTrial],
    scratch: Path,
    outcome: Outcome,
    device: str,
    num_workers: int,
    on_event: Callable[[LaunchEvent], None],
) -> None:
    launcher = LocalLauncher(
        scratch, num_workers=num_workers, device=device, threads=outcome.spec.threads, checkpoint_seconds=3600
    )
    try:
        for trial in drawn:
            launcher.submit(trial)
        left = len(drawn)
        while left:
            event = launcher.next_event()
            assert event is not None
            on_event(event)
            if event.kind == "failed":
                raise failure(event)
            left -= event.kind == "finished"
    finally:
        launcher.close()


def _compared(
    trial: PlannedTrial, study: StudyDirectory, scratch: StudyDirectory, *, tolerance: float | None
) -> Verified:
    held, again = study.trial(trial.spec), scratch.trial(trial.spec)
    first, second = held.result(), again.result()
    assert first is not None
    assert second is not None
    if tolerance is not None:
        differences = tuple(_disagreements(first, second, tolerance))
        return Verified(what=trial.spec.name, differences=differences, made_elsewhere=_elsewhere(first, second))
    plain, retrained = to_plain(first), to_plain(second)
    differences = [
        f"{name}: {plain[name]!r} in the study, {retrained[name]!r} now"
        for name in plain
        if name not in (*MADE_BY, "kept") and plain[name] != retrained[name]
    ]
    for name in sorted(first.kept.keys() | second.kept.keys()):
        if first.kept.get(name) != second.kept.get(name):
            differences.append(f"{name} differs")
        else:
            differences += _damaged(held, name, first)
    return Verified(what=trial.spec.name, differences=tuple(differences), made_elsewhere=_elsewhere(first, second))


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
        held, again = first.held_out[split].loss, second.held_out[split].loss
        if abs(again / held - 1) > tolerance:
            yield f"{split} loss: {held:.6g} in the study, {again:.6g} now, {again / held - 1:+.2%} apart"


def _elsewhere(first: TrialResult, second: TrialResult) -> str:
    moved = [(name, getattr(first, name), getattr(second, name)) for name in MADE_BY]
    return "; ".join(f"{name} was {was!r}, is {now!r}" for name, was, now in moved if was != now)


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


def _locks(outcome: Outcome) -> tuple[Verified, ...]:
    """Every lock names the results that it was made from; its own seal was checked when it was read."""
    found = results_fingerprint(outcome)
    return tuple(
        Verified(
            what=f"the prediction locked for {budget:.4g} FLOPs",
            differences=()
            if lock.results == found
            else (f"it was made from results {lock.results}, the study now holds {found}",),
        )
        for budget, lock in sorted(outcome.locks.items())
    )
