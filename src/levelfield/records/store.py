"""Files are the truth: one directory a study, one a trial.

::

    <study>/study.json                      the spec as last run
    <study>/sealed.json                     what was fixed before the first result, and what has grown since
    <study>/facts.json                      shapes, sizes and fingerprint of its data
    <study>/locked/<budget>.json            a prediction, written down before its rung ran
    <study>/imported/<name>.json            others' results, shown beside the study's own
    <study>/trials/<name>/spec.json         what the trial is; its fingerprint is its identity
    <study>/trials/<name>/attempts/…        those at work on it, all in one folder each (records/attempts.py)
    <study>/trials/<name>/winner.json       the attempt that published what follows
    <study>/trials/<name>/status.json       finished, diverged or failed; how many attempts
    <study>/trials/<name>/metrics.jsonl     one line a logged step
    <study>/trials/<name>/clipped.jsonl     of the same steps, what adaptive clipping scaled down, by stage
    <study>/trials/<name>/policy.json       how each tensor is trained
    <study>/trials/<name>/result.json       the outcome, equal on every rerun; its presence means done
    <study>/trials/<name>/timing.json       what it cost here
    <study>/trials/<name>/report_<measure>.npy  the value of every held-out example, for winners
    <study>/trials/<name>/report_tallies.npz  what was counted of every held-out example, where a task adds such up
    <study>/trials/<name>/report_stretch.npy  which held-out examples err together, where the data says so
    <study>/trials/<name>/weights.safetensors  the weights it was judged by, where the study transfers them
    <study>/trials/<name>.damaged-N         a trial that had lost something, moved aside and trained again
    <study>/trained/<budget>/…              runs that it foretold (:mod:`levelfield.study.outcome.trained`)
    <study>/probes/<name>/…                 the same for probes of frozen features: spec, result and timing
    <study>/features/<key>.features         frozen features; safe to delete

Nothing but ``spec.json`` and a failure is written there before an attempt has won. Every file but the appended metrics
is written whole: temporary name, fsync, rename. Every JSON record bears a seal
(:mod:`levelfield.records.sealed`), and ``result.json`` names what lies beside it by digest, so that a file which was
changed, damaged, exchanged or lost is never read for what it was.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from levelfield.records.attempts import attempts_at
from levelfield.records.difference import difference
from levelfield.records.errors import DamagedError, InputError, StoreError
from levelfield.records.fingerprint import digest
from levelfield.records.measure import Measure
from levelfield.records.sealed import MEND, read_file, read_record, read_record_if_there, write_record
from levelfield.records.study import StudySpec
from levelfield.records.trial import TrialResult, TrialSpec, TrialTiming
from levelfield.records.trial_state import TrialState
from levelfield.records.writing import hold, is_there, make_directory

logger = logging.getLogger(__name__)

MOST_COMPANION_BYTES = 1 << 34
"""What a file beside a record may take, read to be compared: 16 GiB, four thousand million parameters."""
_TRACE, _CLIPPED, _STATUS = "metrics.jsonl", "clipped.jsonl", "status.json"
_NAME = re.compile(r".*_[0-9a-f]{8}")
_SET_ASIDE = re.compile(r".*\.damaged-\d+")


@dataclasses.dataclass(frozen=True, kw_only=True)
class HeldTrial:
    """What a trial's directory holds, whole and of one trial; what is None has not been written, or can be again."""

    directory: TrialDirectory
    fingerprint: str
    spec: TrialSpec | None
    state: TrialState | None
    result: TrialResult | None
    timing: TrialTiming | None

    @property
    def failure(self) -> str | None:
        """Why it failed, where it did and has not been done since."""
        failed = self.result is None and self.state is not None and self.state.state == "failed"
        return self.state.reason if failed and self.state is not None else None


class TrialFiles:
    """The files that training a trial makes, in ``path``: the folder of an attempt, or what its winner has left."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def report_path(self, measure: str) -> Path:
        """Where the value of every report example lies, under the name of the measure."""
        return self.path / f"report_{measure.replace(' ', '_')}.npy"

    @property
    def tallies_path(self) -> Path:
        return self.path / "report_tallies.npz"

    @property
    def stretch_path(self) -> Path:
        return self.path / "report_stretch.npy"

    @property
    def weights_path(self) -> Path:
        return self.path / "weights.safetensors"

    @property
    def metrics_path(self) -> Path:
        return self.path / _TRACE

    @property
    def clipped_path(self) -> Path:
        return self.path / _CLIPPED

    @property
    def policy_path(self) -> Path:
        return self.path / "policy.json"

    def digests(self, spec: TrialSpec, measures: Sequence[Measure]) -> dict[str, str]:
        """What a result vouches for: the digests of the files that training ``spec`` has left here.

        Raises:
            DamagedError: one of them cannot be read.
        """
        paths = [self.metrics_path, self.policy_path]
        if spec.held_out == "report":
            paths += [self.report_path(measure.name) for measure in measures]
            paths += [self.tallies_path, self.stretch_path]
        found = ((path, read_file(path, limit=MOST_COMPANION_BYTES, remedy=MEND)) for path in paths)
        return {path.name: digest(content) for path, content in found if content is not None}

    def finish(self, result: TrialResult, timing: TrialTiming) -> None:
        """Write down the outcome. ``result.json`` means done, so what it needs is there first."""
        write_record(self.path / "timing.json", timing)
        write_record(self.path / "result.json", result)


class TrialDirectory(TrialFiles):
    """One trial: what it is, how it stands, and what has come of it."""

    @property
    def newest(self) -> TrialFiles:
        """The files of what was published, else those of the newest attempt."""
        at_work = attempts_at(self.path)[:1]
        return self if not at_work or is_there(self.path / "result.json") else TrialFiles(at_work[0])

    @property
    def trace_path(self) -> Path:
        """The trace of what was published, else that of the newest attempt."""
        return self.newest.metrics_path

    def open(self, spec: TrialSpec) -> None:
        """Make the directory this trial's, or check that it is.

        Raises:
            StoreError: the directory cannot be made, or holds another trial.
        """
        make_directory(self.path)
        claim(self.path, "trial", held=self.spec(), spec=spec)

    def spec(self) -> TrialSpec | None:
        return read_record_if_there(TrialSpec, self.path / "spec.json")

    def state(self) -> TrialState | None:
        return read_record_if_there(TrialState, self.path / _STATUS)

    def result(self) -> TrialResult | None:
        """The outcome, or None where the trial is not done."""
        held = self.held()
        return None if held is None else held.result

    def timing(self) -> TrialTiming | None:
        held = self.held()
        return None if held is None else held.timing

    def held(self) -> HeldTrial | None:
        """Everything that the directory holds, or None where no trial was begun in it.

        Raises:
            DamagedError: a record is damaged, lost, or of another trial than those beside it.
        """
        refuse_no_folder(self.path)
        spec, state = self.spec(), self.state()
        result = read_record_if_there(TrialResult, self.path / "result.json")
        timing = read_record_if_there(TrialTiming, self.path / "timing.json")
        named = {
            name: each.fingerprint
            for name, each in (("spec", spec), ("result", result), ("status", state), ("timing", timing))
            if each is not None
        }
        if not named:
            return None
        (first, fingerprint), *others = named.items()
        for name, other in others:
            if other != fingerprint:
                raise DamagedError(
                    f"{self.path / name}.json is of trial {other}, {first}.json beside it of {fingerprint}", MEND
                )
        if result is None and state is not None and state.state in ("finished", "diverged"):
            raise DamagedError(f"{self.path / 'result.json'} is missing, and the trial was done", MEND)
        if result is not None and timing is None:
            raise DamagedError(f"{self.path / 'timing.json'} is missing", MEND)
        return HeldTrial(directory=self, fingerprint=fingerprint, spec=spec, state=state, result=result, timing=timing)

    def companion(self, path: Path, result: TrialResult) -> bytes | None:
        """The content of a file that ``result`` vouches for, or None where it names none of that name.

        Raises:
            DamagedError: the file is lost, or is not what was written beside that result.
        """
        known = result.kept.get(path.name)
        if known is None:
            return None
        content = read_file(path, limit=MOST_COMPANION_BYTES, remedy=MEND)
        if content is None:
            raise DamagedError(f"{path} is missing", MEND)
        if digest(content) != known:
            raise DamagedError(f"{path} was changed or damaged after it was written", MEND)
        return content

    def fail(self, spec: TrialSpec, reason: str) -> None:
        """Mark the trial as failed: it is not tried again unless asked for."""
        self.open(spec)
        attempts = max(1, len(attempts_at(self.path)))
        state = TrialState(fingerprint=spec.fingerprint, state="failed", attempts=attempts, reason=reason)
        write_record(self.path / _STATUS, state)

    def forget_failure(self) -> None:
        """It may be tried again, from where it was."""
        (self.path / _STATUS).unlink(missing_ok=True)

    def tell(self, result: TrialResult, timing: TrialTiming) -> None:
        """Say in ``status.json`` what the other records say."""
        state = TrialState(
            fingerprint=result.fingerprint,
            state=result.status,
            attempts=timing.attempts,
            lost_steps=timing.lost_steps,
            reason=result.reason,
        )
        write_record(self.path / _STATUS, state)

    @contextlib.contextmanager
    def locked(self, *, timeout_s: float) -> Iterator[None]:
        """Hold what a finished trial keeps for this process, to make it again; a killed holder lets go at once."""
        with hold(self.path / "lock", timeout_s, f"trial {self.path.name} is in use by another process"):
            yield


class StudyDirectory:
    """The files of one study."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def spec_path(self) -> Path:
        return self.path / "study.json"

    @property
    def sealed_path(self) -> Path:
        return self.path / "sealed.json"

    @property
    def facts_path(self) -> Path:
        return self.path / "facts.json"

    @property
    def locks_path(self) -> Path:
        return self.path / "locked"

    @property
    def imported_path(self) -> Path:
        return self.path / "imported"

    @property
    def is_one(self) -> bool:
        """Whether a study was ever run in the directory, though it may have lost a file since."""
        return any(is_there(path) for path in (self.spec_path, self.sealed_path, self.path / "trials"))

    @property
    def begun(self) -> bool:
        """Whether any trial of the study has been started."""
        return any(True for _ in self.trial_directories())

    def trial(self, spec: TrialSpec) -> TrialDirectory:
        return TrialDirectory(self.path / "trials" / spec.name)

    def trials(self) -> dict[str, HeldTrial]:
        """Every trial that was begun, by fingerprint.

        Raises:
            DamagedError: a directory holds something damaged, or a trial whose directory has another name.
        """
        found = {}
        for directory in self.trial_directories():
            if (held := directory.held()) is not None:
                refuse_misplaced(directory, held)
                found[held.fingerprint] = held
        return found

    def trial_directories(self) -> Iterator[TrialDirectory]:
        """Whatever has the name of a trial, a directory or not, in order."""
        for path in named_entries(self.path / "trials"):
            yield TrialDirectory(path)

    def results(self) -> dict[str, TrialResult]:
        """Every outcome by trial fingerprint."""
        return {key: held.result for key, held in self.trials().items() if held.result is not None}

    def save_spec(self, spec: StudySpec) -> None:
        make_directory(self.path)
        write_record(self.spec_path, spec)

    def spec(self) -> StudySpec:
        """The spec as last run.

        Raises:
            InputError: no study was run in this directory.
            DamagedError: one was, and its ``study.json`` is damaged or lost.
        """
        again = f"`levelfield run SPEC --dir {self.path}` writes it again"
        if not self.is_one:
            raise InputError(f"{self.path} holds no study (no study.json); start one with `levelfield run SPEC`")
        return read_record(StudySpec, self.spec_path, remedy=again)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the study for this process.

        Raises:
            StoreError: another process is running it.
        """
        make_directory(self.path)
        message = f"{self.path} is being run by another process; wait for it, or run in another directory"
        with hold(self.path / "lock", 0.0, message):
            yield


def claim(path: Path, kind: str, *, held: Any, spec: Any) -> None:
    """Make the directory ``path`` that of ``spec``, a trial or a probe, where it ``held`` no spec yet.

    Raises:
        StoreError: it holds another; the sentence says in what they differ.
    """
    if held is None:
        write_record(path / "spec.json", spec)
    elif held.fingerprint != spec.fingerprint:
        raise StoreError(
            f"{path} holds another {kind} ({held.fingerprint}, not {spec.fingerprint}): {difference(held, spec)}; "
            "move the directory away, or run in another"
        )


def named_entries(folder: Path) -> list[Path]:
    """What lies in ``folder`` under the name of a trial or a probe: its last eight letters are those of a fingerprint.

    What was set aside and what is hidden is passed over, and so is what somebody else laid there, with a warning.

    Raises:
        DamagedError: something else than a folder lies there.
    """
    if not is_there(folder):
        return []
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise DamagedError(f"{folder} cannot be read: {error.strerror}; expected a folder", MEND) from None
    entries = [path for path in entries if not path.name.startswith(".") and not _SET_ASIDE.fullmatch(path.name)]
    for path in entries:
        if not _NAME.fullmatch(path.name):
            logger.warning("%s has no name that Levelfield gives; it is passed over", path)
    return [path for path in entries if _NAME.fullmatch(path.name)]


def refuse_no_folder(path: Path) -> None:
    """Where the folder of a trial or a probe should lie, nothing else may."""
    if is_there(path) and not path.is_dir():
        raise DamagedError(f"{path} is no folder, expected that of a trial or a probe", MEND)


def refuse_misplaced(directory: TrialDirectory, held: HeldTrial) -> None:
    """A directory is the one that its trial's name says."""
    name, short = directory.path.name, held.fingerprint[:8]
    right = name == held.spec.name if held.spec is not None else name.endswith(f"_{short}")
    if not right:
        expected = held.spec.name if held.spec is not None else f"a name that ends in {short}"
        raise DamagedError(f"{directory.path} holds trial {short}, expected {expected}", "rename it, or move it away")
