"""The files of one look at frozen features: what it is, what came of it, what it cost."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from levelfield.records.difference import difference
from levelfield.records.errors import StoreError
from levelfield.records.probe import ProbeResult, ProbeSpec, ProbeTiming
from levelfield.records.store import StudyDirectory, TrialState, hold, make_directory, read_record, write_record


class ProbeDirectory:
    """``spec.json``, ``result.json`` (its presence means done), ``timing.json``; ``status.json`` where it failed."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def open(self, spec: ProbeSpec) -> None:
        """Make the directory this probe's, or check that it is.

        Raises:
            StoreError: the directory cannot be made, or holds another probe.
        """
        make_directory(self.path)
        if not (self.path / "spec.json").exists():
            write_record(self.path / "spec.json", spec)
        elif (held := self.spec()).fingerprint != spec.fingerprint:
            raise StoreError(
                f"{self.path} holds another probe ({held.fingerprint}, not {spec.fingerprint}): "
                f"{difference(held, spec)}; move the directory away, or run in another"
            )

    def spec(self) -> ProbeSpec:
        return read_record(ProbeSpec, self.path / "spec.json")

    def result(self) -> ProbeResult | None:
        """The outcome, or None where the probe is not done.

        Raises:
            StoreError: it is damaged, or the outcome of another probe than this directory's.
        """
        path = self.path / "result.json"
        if not path.exists():
            return None
        result, own = read_record(ProbeResult, path), self.spec().fingerprint
        if result.fingerprint != own:
            raise StoreError(
                f"{path} is the result of another probe ({result.fingerprint}, not {own}); remove it and run again"
            )
        return result

    def timing(self) -> ProbeTiming | None:
        path = self.path / "timing.json"
        return read_record(ProbeTiming, path) if path.exists() else None

    def failure(self) -> str | None:
        """Why it failed, where it did and has not been done since."""
        path = self.path / "status.json"
        return read_record(TrialState, path).reason if path.exists() and self.result() is None else None

    def fail(self, spec: ProbeSpec, reason: str) -> None:
        """Mark the probe as failed: it is not tried again unless asked for."""
        self.open(spec)
        write_record(self.path / "status.json", TrialState(state="failed", reason=reason))

    def finish(self, result: ProbeResult, timing: ProbeTiming) -> None:
        write_record(self.path / "timing.json", timing)
        write_record(self.path / "result.json", result)

    @contextlib.contextmanager
    def locked(self, *, timeout_s: float = 30.0) -> Iterator[None]:
        """Hold the probe for this process; a killed holder lets go at once."""
        with hold(self.path / "lock", timeout_s, f"probe {self.path.name} is being run by another process"):
            yield


def probe_directory(study: StudyDirectory, spec: ProbeSpec) -> ProbeDirectory:
    """Where the probe ``spec`` of ``study`` lies."""
    return ProbeDirectory(study.path / "probes" / spec.name)


def probe_directories(study: StudyDirectory) -> Iterator[ProbeDirectory]:
    """Every probe of ``study``, done or not."""
    for path in sorted((study.path / "probes").glob("*/spec.json")):
        yield ProbeDirectory(path.parent)


def probe_results(study: StudyDirectory) -> dict[str, ProbeResult]:
    """Every outcome by probe fingerprint."""
    found = (directory.result() for directory in probe_directories(study))
    return {result.fingerprint: result for result in found if result is not None}


def failed_probes(study: StudyDirectory) -> dict[str, str]:
    """Why probes failed, by probe fingerprint."""
    found = ((directory, directory.failure()) for directory in probe_directories(study))
    return {directory.spec().fingerprint: reason for directory, reason in found if reason is not None}
