"""One work item, a trial or a probe, from its directory to its end, wherever it is started.

What is to be done is its ``spec.json``; how it goes and how it ended is read from its directory too
(:mod:`levelfield.records.attempts`), so whoever started it needs nothing from this process.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from levelfield.data.sources import open_source_once
from levelfield.records.attempts import Attempt, attempted, complete
from levelfield.records.ends import End
from levelfield.records.errors import InputError, LeaseLostError
from levelfield.records.execution import DEFAULT_EXECUTION, ExecutionSpec
from levelfield.records.lease import TERM_S
from levelfield.records.probe import ProbeSpec
from levelfield.records.probe_store import ProbeDirectory, probe_directory
from levelfield.records.store import StudyDirectory, TrialDirectory
from levelfield.records.trial import TrialSpec
from levelfield.records.writing import is_there
from levelfield.study.execute.backbones import backbone_in
from levelfield.study.execute.probe import held_probe, probe_in
from levelfield.study.execute.torchrun import run_over_ranks
from levelfield.study.execute.trial import held_result, train_in
from levelfield.train.ranks import ALONE, Ranks, started_by_torchrun
from levelfield.transfer.backbone import PretrainedBackbone

HUNG_AFTER_S = 600.0
"""A trial that has taken a step and then takes none for so long, and for a hundred times its longest, hangs."""


@dataclass(frozen=True, kw_only=True)
class WorkOrder:
    """How an item is to be run: where, how often it is saved, and what it leaves.

    The first of ``ranks`` runs it; alone, it is given to torchrun where its execution asks for more devices than one.
    It stops, saved, when the clock of leases shows ``until``. Its lease is for ``term_s``, and an attempt that is alive
    is given ``patience_s`` to end.
    """

    device: torch.device
    execution: ExecutionSpec = DEFAULT_EXECUTION
    checkpoint_seconds: float = 30.0
    keeps_weights: bool = False
    until: float | None = None
    term_s: float = TERM_S
    patience_s: float = 30.0
    ranks: Ranks = ALONE


@dataclass(frozen=True, kw_only=True)
class WorkItem:
    """A trial or a probe of ``study``; None where a trial stands alone."""

    spec: TrialSpec | ProbeSpec
    directory: TrialDirectory | ProbeDirectory
    study: StudyDirectory | None

    @property
    def is_done(self) -> bool:
        """Whether there is a result, where what an attempt had published is moved up first."""
        complete(self.directory.path)
        return self.directory.result() is not None


def item_of(study: StudyDirectory, spec: TrialSpec | ProbeSpec) -> WorkItem:
    """What ``spec`` is in ``study``; its directory is made.

    Raises:
        StoreError: the directory cannot be made, or holds another.
    """
    if isinstance(spec, ProbeSpec):
        probe = probe_directory(study, spec)
        probe.open(spec)
        return WorkItem(spec=spec, directory=probe, study=study)
    trial = study.trial(spec)
    trial.open(spec)
    return WorkItem(spec=spec, directory=trial, study=study)


def item_at(path: Path) -> WorkItem:
    """What lies in the directory ``path``.

    Raises:
        InputError: there is neither a trial nor a probe.
        DamagedError: its spec is damaged.
    """
    path = path.absolute()
    study = StudyDirectory(path.parent.parent)
    known = study if study.is_one and path.parent.name in ("trials", "probes") else None
    directory = ProbeDirectory(path) if path.parent.name == "probes" else TrialDirectory(path)
    spec = directory.spec() if is_there(path) else None
    if spec is None:
        raise InputError(f"{path} holds no trial and no probe: expected a directory with a spec.json")
    return WorkItem(spec=spec, directory=directory, study=known)


def asked_of(item: WorkItem) -> tuple[ExecutionSpec, bool]:
    """How the study of ``item`` wants its trials executed, and whether they keep their weights; one that stands alone
    does.

    Raises:
        DamagedError: the study's spec is damaged or lost.
    """
    if item.study is None:
        return DEFAULT_EXECUTION, True
    spec = item.study.spec()
    return spec.execution, bool(spec.transfer)


def run_item(item: WorkItem, order: WorkOrder, *, on_step: Callable[[int], None] = lambda step: None) -> None:
    """Train or probe ``item`` to its end, which is written down in its directory; one that is done is left as it is.

    Raises:
        InputError: it cannot be meant, or its data cannot be read.
        StoreError: the directory cannot be written, is in use, or holds what was made of something else.
        LeaseLostError: another process has taken it over, and has not done it yet.
        UnfinishedError: its time is over; it goes on from its last checkpoint.
        RankLostError: another rank has died or hangs; it goes on from its last checkpoint.
    """
    if item.is_done:
        _refuse_others(item, order)
    elif _wants_ranks(item, order):
        _run_over_ranks(item, order, on_step)
    else:
        _run_here(item, order, on_step)


def _wants_ranks(item: WorkItem, order: WorkOrder) -> bool:
    """Whether it is for torchrun to start those that train it; a probe takes one device."""
    several = isinstance(item.spec, TrialSpec) and order.execution.num_devices > 1
    return several and order.ranks.alone and not started_by_torchrun()


def _run_over_ranks(item: WorkItem, order: WorkOrder, on_step: Callable[[int], None]) -> None:
    run_over_ranks(
        item.directory.path,
        device=str(order.device),
        execution=order.execution,
        checkpoint_seconds=order.checkpoint_seconds,
        term_s=order.term_s,
        until=order.until,
        is_done=lambda: item.is_done,
        on_step=on_step,
    )


def _run_here(item: WorkItem, order: WorkOrder, on_step: Callable[[int], None]) -> None:
    name = item.spec.name
    where, key = item.directory.path, item.spec.fingerprint
    try:
        with attempted(where, key, patience_s=order.patience_s, term_s=order.term_s) as attempt:
            attempt.lease.on_hang = lambda seconds: _give_up(attempt, name, seconds)
            if not item.is_done:
                _run(item, order, attempt, on_step)
    except LeaseLostError:
        if not item.is_done:  # whoever was faster has done it
            raise


def _run(item: WorkItem, order: WorkOrder, attempt: Attempt, on_step: Callable[[int], None]) -> None:
    spec, directory, start = item.spec, item.directory, start_of(item, order)
    source = open_source_once(spec.data)
    if isinstance(spec, ProbeSpec):
        assert start is not None
        assert item.study is not None
        features = item.study.path / "features"
        probe_in(attempt, spec, source, start, features_folder=features, device=order.device, execution=order.execution)
        return
    assert isinstance(directory, TrialDirectory)
    attempt.lease.hung_after_s = HUNG_AFTER_S
    train_in(
        attempt,
        spec,
        directory,
        source,
        device=order.device,
        execution=order.execution,
        backbone=start,
        test_source=open_source_once(spec.held_out_data),
        keeps_weights=order.keeps_weights and spec.start is None,
        checkpoint_seconds=order.checkpoint_seconds,
        on_step=lambda report: on_step(report.step),
        until=order.until,
        ranks=order.ranks,
    )


def _refuse_others(item: WorkItem, order: WorkOrder) -> None:
    """What is done was made of the data and the weights that are there now."""
    source, start = open_source_once(item.spec.data), start_of(item, order)
    if isinstance(item.directory, TrialDirectory):
        held_result(item.directory, source, start)
    elif start is not None:
        held_probe(item.directory, source, start)


def start_of(item: WorkItem, order: WorkOrder) -> PretrainedBackbone | None:
    """The weights that the item starts from: those of another trial of its study."""
    start = item.spec.start
    if start is None:
        return None
    if item.study is None or not start.startswith("trial:"):
        raise InputError(
            f"{item.directory.path} starts from {start}, which is no trial of a study: `levelfield finetune` and "
            "`levelfield probe` are told where such weights lie, and go on by the same command"
        )
    return backbone_in(item.study, start, device=order.device)


def _give_up(attempt: Attempt, name: str, seconds: float) -> None:
    """End this process, in which a step has not returned: nothing else gets it out of there."""
    reason = f"{name} hangs: it has taken no step for {seconds:.0f} s"
    attempt.note(End(kind="hang", reason=reason))
    print(reason, file=sys.stderr, flush=True)
    os._exit(os.EX_TEMPFAIL)
