"""The files of one look at frozen features: what it is, what came of it, what it cost."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from levelfield.records.errors import DamagedError
from levelfield.records.probe import ProbeResult, ProbeSpec, ProbeTiming
from levelfield.records.sealed import MEND, read_record_if_there, write_record
from levelfield.records.store import StudyDirectory, TrialDirectory, claim, named_entries, refuse_no_folder
from levelfield.records.trial import TrialSpec
from levelfield.records.trial_state import TrialState
from levelfield.records.writing import make_directory


@dataclasses.dataclass(frozen=True, kw_only=True)
class HeldProbe:
    """What a probe's directory holds, whole and of one probe."""

    directory: ProbeDirectory
    fingerprint: str
    state: TrialState | None
    result: ProbeResult | None

    @property
    def failure(self) -> str | None:
        """Why it failed, where it did and has not been done since."""
        return self.state.reason if self.state is not None and self.result is None else None


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
        claim(self.path, "probe", held=self.spec(), spec=spec)

    def spec(self) -> ProbeSpec | None:
        return read_record_if_there(ProbeSpec, self.path / "spec.json")

    def result(self) -> ProbeResult | None:
        """The outcome, or None where the probe is not done."""
        held = self.held()
        return None if held is None else held.result

    def held(self) -> HeldProbe | None:
        """Everything that the directory holds, or None where no probe was begun in it.

        Raises:
            DamagedError: a record is damaged, lost, or of another probe than those beside it.
        """
        refuse_no_folder(self.path)
        spec, state = self.spec(), read_record_if_there(TrialState, self.path / "status.json")
        result = read_record_if_there(ProbeResult, self.path / "result.json")
        timing = read_record_if_there(ProbeTiming, self.path / "timing.json")
        known = {each.fingerprint for each in (spec, state, result, timing) if each is not None}
        if len(known) > 1:
            raise DamagedError(f"the records in {self.path} are of {len(known)} probes", MEND)
        if result is not None and timing is None:
            raise DamagedError(f"{self.path / 'timing.json'} is missing", MEND)
        if not known:
            return None
        return HeldProbe(directory=self, fingerprint=known.pop(), state=state, result=result)

    def fail(self, spec: ProbeSpec, reason: str) -> None:
        """Mark the probe as failed: it is not tried again unless asked for."""
        self.open(spec)
        state = TrialState(fingerprint=spec.fingerprint, state="failed", reason=reason)
        write_record(self.path / "status.json", state)

    def forget_failure(self) -> None:
        """It may be tried again."""
        (self.path / "status.json").unlink(missing_ok=True)


def write_probe(folder: Path, result: ProbeResult, timing: ProbeTiming) -> None:
    """Write down the outcome in ``folder``, that of an attempt: its presence means done, so it comes last."""
    write_record(folder / "timing.json", timing)
    write_record(folder / "result.json", result)


def probe_directory(study: StudyDirectory, spec: ProbeSpec) -> ProbeDirectory:
    """Where the probe ``spec`` of ``study`` lies."""
    return ProbeDirectory(study.path / "probes" / spec.name)


def directory_of(study: StudyDirectory, spec: TrialSpec | ProbeSpec) -> TrialDirectory | ProbeDirectory:
    """Where the trial or the probe ``spec`` of ``study`` lies."""
    return probe_directory(study, spec) if isinstance(spec, ProbeSpec) else study.trial(spec)


def held_probes(study: StudyDirectory) -> dict[str, HeldProbe]:
    """Every probe of ``study`` that was begun, by fingerprint.

    Raises:
        DamagedError: a directory holds something damaged, or a probe whose directory has another name.
    """
    found = {}
    for path in named_entries(study.path / "probes"):
        if (held := ProbeDirectory(path).held()) is not None:
            if not path.name.endswith(f"_{held.fingerprint[:8]}"):
                raise DamagedError(f"{path} holds the probe {held.fingerprint}", "rename it, or move it away")
            found[held.fingerprint] = held
    return found
