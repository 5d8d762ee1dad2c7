"""Files are the truth: one directory a study, one a trial.

::

    <study>/study.json                      the spec as last run
    <study>/facts.json                      shapes, sizes and fingerprint of its data
    <study>/locked/<budget>.json            a prediction, written down before its rung ran
    <study>/imported/<name>.json            others' results, shown beside the study's own
    <study>/trials/<name>/spec.json         what the trial is; its fingerprint is its identity
    <study>/trials/<name>/status.json       running, finished, diverged or failed; how many attempts
    <study>/trials/<name>/metrics.jsonl     one line a logged step
    <study>/trials/<name>/result.json       the outcome, equal on every rerun; its presence means done
    <study>/trials/<name>/timing.json       what it cost here
    <study>/trials/<name>/report_losses.npy one loss a held-out example, for winners
    <study>/trials/<name>/report_hits.npy   whether each was classified right, for winners
    <study>/trials/<name>/weights.safetensors  the weights it was judged by, where the study transfers them
    <study>/probes/<name>/…                 the same for probes of frozen features: spec, result and timing
    <study>/features/<key>.npz              frozen features; safe to delete

Every file but the appended metrics is written whole: temporary name, fsync, rename.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Literal, TypeVar

from levelfield.records.codec import from_plain, record, to_json
from levelfield.records.difference import difference
from levelfield.records.errors import InputError, StoreError
from levelfield.records.study import StudySpec
from levelfield.records.trial import TrialResult, TrialSpec, TrialTiming

T = TypeVar("T")


@record
class TrialState:
    """Where a trial stands; ``attempts`` counts starts, ``lost_steps`` the steps that crashes made it train again."""

    state: Literal["running", "finished", "diverged", "failed"]
    attempts: int = 1
    lost_steps: int = 0
    reason: str = ""


def write_atomically(path: Path, content: bytes) -> None:
    """Replace ``path`` so that a reader or a crash sees the old content or the new, never a part.

    Raises:
        StoreError: the disk is full, or the directory cannot be written.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with _told(path):
            with open(temporary, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
            _fsync_directory(path.parent)
    except StoreError:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def open_to_append(path: Path) -> Iterator[IO[str]]:
    """``path``, opened to append text.

    Raises:
        StoreError: the disk is full, or the file cannot be written.
    """
    with _told(path), open(path, "a") as file:
        yield file


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turn what the system refuses into one clear message."""
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"cannot write {path}: {error.strerror}; free space or permissions there, then run again"
        ) from error


def write_record(path: Path, value: Any) -> None:
    """Write a record as JSON, whole or not at all."""
    write_atomically(path, to_json(value).encode())


def read_record(cls: type[T], path: Path) -> T:
    """Read what :func:`write_record` wrote.

    Raises:
        StoreError: the file is missing or is not what a Levelfield record looks like.
    """
    try:
        plain = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise StoreError(f"{path} is missing") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise StoreError(f"{path} is not JSON ({error}); move it away and run again") from None
    return from_plain(cls, plain, where=str(path))


class TrialDirectory:
    """The files of one trial."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def report_losses_path(self) -> Path:
        return self.path / "report_losses.npy"

    @property
    def report_hits_path(self) -> Path:
        return self.path / "report_hits.npy"

    @property
    def weights_path(self) -> Path:
        return self.path / "weights.safetensors"

    @property
    def metrics_path(self) -> Path:
        return self.path / "metrics.jsonl"

    def open(self, spec: TrialSpec) -> None:
        """Make the directory this trial's, or check that it is.

        Raises:
            StoreError: the directory cannot be made, or holds another trial.
        """
        make_directory(self.path)
        spec_path = self.path / "spec.json"
        if not spec_path.exists():
            write_record(spec_path, spec)
            return
        held = read_record(TrialSpec, spec_path)
        if held.fingerprint != spec.fingerprint:
            raise StoreError(
                f"{self.path} holds another trial ({held.fingerprint}, not {spec.fingerprint}): "
                f"{difference(held, spec)}; move the directory away, or run in another"
            )

    def state(self) -> TrialState | None:
        path = self.path / "status.json"
        return read_record(TrialState, path) if path.exists() else None

    def result(self) -> TrialResult | None:
        """The outcome, or None where the trial is not done.

        Raises:
            StoreError: it is damaged, or the outcome of another trial than this directory's.
        """
        path = self.path / "result.json"
        if not path.exists():
            return None
        result, own = read_record(TrialResult, path), read_record(TrialSpec, self.path / "spec.json").fingerprint
        if result.fingerprint != own:
            raise StoreError(
                f"{path} is the result of another trial ({result.fingerprint}, not {own}); remove it and run again"
            )
        return result

    def timing(self) -> TrialTiming | None:
        path = self.path / "timing.json"
        return read_record(TrialTiming, path) if path.exists() else None

    def begin(self, *, lost_steps: int) -> TrialState:
        """Count one more attempt, and the steps that the last one lost; mark the trial as running."""
        earlier = self.state() or TrialState(state="running", attempts=0)
        state = TrialState(state="running", attempts=earlier.attempts + 1, lost_steps=earlier.lost_steps + lost_steps)
        write_record(self.path / "status.json", state)
        return state

    def fail(self, spec: TrialSpec, reason: str) -> None:
        """Mark the trial as failed: it is not tried again unless asked for."""
        self.open(spec)
        state = self.state() or TrialState(state="running")
        write_record(self.path / "status.json", dataclasses.replace(state, state="failed", reason=reason))

    def finish(self, result: TrialResult, timing: TrialTiming) -> None:
        """Publish the outcome; ``result.json`` comes last, since its presence means done."""
        write_record(self.path / "timing.json", timing)
        state = TrialState(
            state=result.status, attempts=timing.attempts, lost_steps=timing.lost_steps, reason=result.reason
        )
        write_record(self.path / "status.json", state)
        write_record(self.path / "result.json", result)

    @contextlib.contextmanager
    def locked(self, *, timeout_s: float = 30.0) -> Iterator[None]:
        """Hold the trial for this process; a killed holder lets go at once."""
        with hold(self.path / "lock", timeout_s, f"trial {self.path.name} is being run by another process"):
            yield


class StudyDirectory:
    """The files of one study."""

    def __init__(self, path: Path) -> None:
        self.path = path

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
    def begun(self) -> bool:
        """Whether any trial of the study has been started."""
        return any(self._trials())

    def trial(self, spec: TrialSpec) -> TrialDirectory:
        return TrialDirectory(self.path / "trials" / spec.name)

    def results(self) -> dict[str, TrialResult]:
        """Every outcome by trial fingerprint."""
        found = (directory.result() for directory in self._trials())
        return {result.fingerprint: result for result in found if result is not None}

    def timings(self) -> dict[str, TrialTiming]:
        """What every finished trial cost, by trial fingerprint."""
        pairs = ((directory.result(), directory.timing()) for directory in self._trials())
        return {result.fingerprint: timing for result, timing in pairs if result is not None and timing is not None}

    def failed(self) -> dict[str, str]:
        """Why trials failed, by trial fingerprint."""
        states = ((directory, directory.state()) for directory in self._trials())
        return {
            read_record(TrialSpec, directory.path / "spec.json").fingerprint: state.reason
            for directory, state in states
            if state is not None and state.state == "failed"
        }

    def save_spec(self, spec: StudySpec) -> None:
        make_directory(self.path)
        write_record(self.path / "study.json", spec)

    def spec(self) -> StudySpec:
        """The spec as last run.

        Raises:
            InputError: no study was run in this directory.
        """
        path = self.path / "study.json"
        if not path.exists():
            raise InputError(f"{self.path} holds no study (no study.json); start one with `levelfield run SPEC`")
        return read_record(StudySpec, path)

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

    def _trials(self) -> Iterator[TrialDirectory]:
        for path in sorted((self.path / "trials").glob("*/spec.json")):
            yield TrialDirectory(path.parent)


@contextlib.contextmanager
def hold(path: Path, timeout_s: float, message: str) -> Iterator[None]:
    """Hold the lock file at ``path`` for this process; a killed holder lets go at once.

    Raises:
        StoreError: with ``message``, another process holds it for longer than ``timeout_s``.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(path)
    try:
        lock.acquire(timeout=timeout_s)
    except Timeout:
        raise StoreError(message) from None
    except OSError as error:
        raise StoreError(f"cannot write {path.parent}: {error.strerror}; check its permissions and space") from error
    try:
        yield
    finally:
        lock.release()


def make_directory(path: Path) -> None:
    """Make ``path`` and its parents.

    Raises:
        StoreError: the system refuses.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cannot make the directory {path}: {error.strerror}; choose another with --dir") from error


def _fsync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
