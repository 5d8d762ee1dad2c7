"""What a trial has seen, and how often: its ledger against the order that its spec and its data name."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from levelfield.data.arranged import training_order
from levelfield.data.audit import SeenAudit, expected_audit
from levelfield.data.order import ORDER_VERSION, ExampleOrder, Turns
from levelfield.data.sources import open_source
from levelfield.records.codec import plain_from_json, record
from levelfield.records.data import DataSpec
from levelfield.records.difference import refuse_other_data
from levelfield.records.errors import DamagedError, DataError, InputError
from levelfield.records.sealed import read_file
from levelfield.records.store import MEND, TrialDirectory
from levelfield.records.trial import TrialResult

_CHUNK = 1 << 16
_MOST_BYTES = 64 << 20


@record
class PartSeen:
    """Of ``num_examples`` of one part of the data, ``seen`` were seen, the least often ``least`` and the most often
    ``most`` times, each view counted. ``epochs`` counts views of one as one."""

    num_examples: int
    seen: int
    least: int
    most: int
    epochs: float


@record
class TrialSeen:
    """What a trial has seen, proven: ``examples`` positions from the first on, ``masked`` of them without weight.

    ``lines`` of its ledger were compared, the last at ``examples``. ``finished`` is whether the trial is.
    """

    trial: str
    examples: int
    masked: int
    parts: tuple[PartSeen, ...]
    digest: str
    lines: int
    finished: bool
    order_version: int
    data_fingerprint: str


@record
class LedgerLine:
    """A line of ``metrics.jsonl``, as far as it is a ledger: what was seen until then."""

    examples: int
    masked: int
    seen: str


def audit_trial(path: Path, data: DataSpec | None = None) -> TrialSeen:
    """What the trial in directory ``path`` has seen, where its ledger says exactly what its order says.

    Every line of the ledger is compared with the order, replayed from its spec; that the order gives no example twice
    in an epoch is checked by telling every position back from what it gave. ``data`` says where the data lies now, if
    it has moved. No picture is read: about two microseconds an example.

    Raises:
        InputError: ``path`` is no trial, or one that has not trained.
        StoreError: the data is not what the trial was trained on.
        DataError: the ledger disagrees with the order: some example was skipped, repeated, or seen elsewhere.
        DamagedError: the ledger cannot be read.
    """
    directory = TrialDirectory(path)
    spec, result = directory.spec(), directory.result()
    if spec is None:
        raise InputError(f"{path} is no trial: name the directory of one, as runs/STUDY/trials/NAME")
    source = open_source(data or spec.data)
    for held in (spec.data_content, result and result.data_fingerprint):
        refuse_other_data(held, source.fingerprint, where=path)
    ledger = _ledger(directory, result)
    if not ledger:
        raise InputError(f"{path} has not trained yet, so there is nothing to audit")
    order = training_order(source, spec.seed, multiplicity=spec.recipe.multiplicity)
    _compare(ledger, order, path)
    last = ledger[-1]
    return TrialSeen(
        trial=spec.name,
        examples=last.examples,
        masked=last.masked,
        parts=tuple(_counted(turns, order.multiplicity) for turns in order.turns(last.examples)),
        digest=last.seen,
        lines=len(ledger),
        finished=result is not None,
        order_version=ORDER_VERSION,
        data_fingerprint=source.fingerprint,
    )


def _ledger(directory: TrialDirectory, result: TrialResult | None) -> list[LedgerLine]:
    """What was written down while the trial trained, and in its result, which vouches for the file beside it."""
    if result is None:
        content = read_file(directory.trace_path, limit=_MOST_BYTES, remedy=MEND)
    else:
        content = directory.companion(directory.metrics_path, result)
    lines = [line for line in (content or b"").splitlines(keepends=True) if line.endswith(b"\n")]
    try:
        plain = [plain_from_json(line) for line in lines]
        ledger = [LedgerLine(**{name: each[name] for name in ("examples", "masked", "seen")}) for each in plain]
    except (ValueError, TypeError, KeyError):
        raise DamagedError(f"{directory.trace_path} is no ledger of what was seen", MEND) from None
    if result is not None:
        ledger.append(LedgerLine(examples=result.examples_seen, masked=result.masked_examples, seen=result.seen_digest))
    return ledger


def _compare(ledger: Sequence[LedgerLine], order: ExampleOrder, path: Path) -> None:
    seen = SeenAudit()
    for line in ledger:
        start = seen.examples
        if line.examples < start:
            raise DataError(f"{path}: its ledger goes back from {start} examples to {line.examples}")
        _refuse_repeats(order, start, line.examples)
        seen = seen + expected_audit(order, start, line.examples)
        if seen.digest != line.seen:
            raise DataError(
                f"{path}: its ledger disagrees with the order of its data between positions {start} and "
                f"{line.examples}: expected digest {seen.digest}, saw {line.seen}. An example was skipped, repeated or "
                "augmented otherwise; train it again from the beginning"
            )


def _refuse_repeats(order: ExampleOrder, start: int, stop: int) -> None:
    """Tell every position back from its epoch and example: only then does no epoch give an example twice."""
    for first in range(start, stop, _CHUNK):
        positions = np.arange(first, min(first + _CHUNK, stop), dtype=np.int64)
        told_back = order.positions(*order.ids(positions))
        if not np.array_equal(told_back, positions - order.views(positions)):
            raise DataError(f"the order gives an example twice in an epoch, at a position from {first} on")


def _counted(turns: Turns, multiplicity: int) -> PartSeen:
    """How often the examples of a part were seen, views of one side by side counted."""
    epochs, more = divmod(turns.turns, turns.num_examples)
    least, most = epochs * multiplicity, (epochs + (more > 0)) * multiplicity
    if turns.missing_views:
        least = least if more != 0 else least - turns.missing_views
        most = most - turns.missing_views if more == 1 or (more == 0 and turns.num_examples == 1) else most
    return PartSeen(
        num_examples=turns.num_examples,
        seen=min(turns.turns, turns.num_examples),
        least=least,
        most=most,
        epochs=(turns.turns - turns.missing_views / multiplicity) / turns.num_examples,
    )


def moved_data(spec: DataSpec, path: Path) -> DataSpec:
    """``spec`` with its data at ``path``."""
    if getattr(spec, "path", None) is None:
        raise InputError(f"data {spec.source!r} of this trial has no path that could have moved")
    return dataclasses.replace(spec, path=str(path.absolute()))
