"""What a run does about a study that has lost something: restore what follows from the rest, retrain what does not.

Nothing is deleted: whatever is damaged is moved aside to ``<name>.damaged-N``, and a line says so.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from levelfield.records.attempts import CHECKPOINTS, WINNER, attempts_at, complete
from levelfield.records.errors import DamagedError
from levelfield.records.probe import ProbeSpec
from levelfield.records.probe_store import HeldProbe, ProbeDirectory, probe_directory
from levelfield.records.sealed import read_record
from levelfield.records.store import (
    HeldTrial,
    StudyDirectory,
    TrialDirectory,
    named_entries,
    refuse_misplaced,
)
from levelfield.records.study import StudySpec
from levelfield.records.trial import TrialSpec
from levelfield.records.trial_state import TrialState
from levelfield.records.writing import is_there, set_aside
from levelfield.study.facts import DataFacts

logger = logging.getLogger(__name__)

_FOLDERS = ("attempts", "again")


def mend(study: StudyDirectory) -> None:
    """Leave ``study`` such that everything in it can be read: what was damaged is derived, or gone and wanted again.

    What a run cannot make again - a locked prediction, what was fixed beforehand, what others sent - is not touched.

    Raises:
        DamagedError: the folder of trials is none.
        StoreError: the directory cannot be written.
    """
    for name, cls in (("study.json", StudySpec), ("facts.json", DataFacts)):
        _unless_whole(study.path / name, lambda path, cls=cls: read_record(cls, path), "written again")
    for directory in study.trial_directories():
        _or_aside(directory.path, "trained again where it is still wanted", lambda d=directory: _mend_trial(d))
    for path in named_entries(study.path / "probes"):
        _or_aside(path, "probed again where it is still wanted", lambda p=path: _mend_probe(ProbeDirectory(p)))


def restore_specs(
    study: StudyDirectory, wanted: Iterable[TrialSpec | ProbeSpec], held: Mapping[str, HeldTrial | HeldProbe]
) -> None:
    """Write again the ``spec.json`` of every wanted trial and probe that is ``held`` and has lost it.

    Raises:
        StoreError: the directory cannot be written, or holds another.
    """
    for spec in wanted:
        known = held.get(spec.fingerprint)
        if known is None or (isinstance(known, HeldTrial) and known.spec is not None):
            continue
        (study.trial(spec) if isinstance(spec, TrialSpec) else probe_directory(study, spec)).open(spec)  # pyright: ignore[reportArgumentType]


def _mend_trial(directory: TrialDirectory) -> None:
    path = directory.path
    _only_files(path, folders=_FOLDERS)
    _mend_attempts(path)
    held = _whole(directory)
    if held is None:
        _unless_whole(path / "spec.json", lambda spec: _own(read_record(TrialSpec, spec), path), "written again")
        _unless_whole(path / "status.json", lambda state: _own(read_record(TrialState, state), path), "written again")
        held = directory.held()
    if held is not None:
        refuse_misplaced(directory, held)
    if held is None or held.result is None:
        return
    for name in held.result.kept:  # weights are made again when they are asked for
        directory.companion(path / name, held.result)
    if held.timing is not None and (held.state is None or held.state.state != held.result.status):
        directory.tell(held.result, held.timing)


def _mend_attempts(item: Path) -> None:
    """Leave attempts from whose last checkpoint another can go on, and move up what one of them has published."""
    _or_aside(item / WINNER, "so that another attempt can publish", lambda: complete(item))
    folder = item / "attempts"
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.name.isdecimal() and not path.is_dir():
            logger.warning("%s is no folder of an attempt: moved to %s", path, set_aside(path).name)
    for path in attempts_at(item):
        _only_files(path, folders=(CHECKPOINTS,))
        _only_files(path / CHECKPOINTS)
        _unless_whole(path / "status.json", lambda state: read_record(TrialState, state), "not counted")


def _whole(directory: TrialDirectory) -> HeldTrial | None:
    """What a trial's directory holds, where there is nothing in it that wants a closer look."""
    try:
        held = directory.held()
    except DamagedError:
        return None
    return held if held is not None and directory.path.name.endswith(f"_{held.fingerprint[:8]}") else None


def _mend_probe(directory: ProbeDirectory) -> None:
    path = directory.path
    _only_files(path, folders=("attempts",))
    _mend_attempts(path)
    _unless_whole(path / "spec.json", lambda spec: _own(read_record(ProbeSpec, spec), path), "written again")
    _unless_whole(path / "status.json", lambda state: _own(read_record(TrialState, state), path), "written again")
    directory.held()


def _own(record: TrialSpec | ProbeSpec | TrialState, directory: Path) -> None:
    """A record lies in the directory of what it is of."""
    if not directory.name.endswith(f"_{record.fingerprint[:8]}"):
        raise DamagedError(f"{directory} holds a record of {record.fingerprint}", "it belongs elsewhere")


def _only_files(folder: Path, *, folders: tuple[str, ...] = ()) -> None:
    """Where a file is written, nothing else may lie; nor the other way round."""
    if folder.is_dir():
        for path in sorted(folder.iterdir()):
            if not (path.is_dir() if path.name in folders else path.is_file()) and ".damaged-" not in path.name:
                logger.warning("%s is not what Levelfield writes there: moved to %s", path, set_aside(path).name)


def _unless_whole(path: Path, read: Callable[[Path], object], what: str) -> None:
    if is_there(path):
        _or_aside(path, what, lambda: read(path))


def _or_aside(path: Path, what: str, check: Callable[[], object]) -> None:
    """Move ``path`` aside where ``check`` finds it damaged."""
    try:
        check()
    except DamagedError as error:
        logger.warning("%s: moved to %s, %s", error.seen, set_aside(path).name, what)
