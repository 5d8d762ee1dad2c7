"""Studies that have lost or suffered something: every file of a finished and of a half-finished one, in turn.

The oracle: after ``run`` every result is the one of the study that nothing happened to, to the last bit; whoever only
reads shows the same numbers, says that the study is in progress, or refuses with a sentence.
"""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import functools
import io
import json
import os
import random
import shutil
import tempfile
from collections import deque
from collections.abc import Callable
from pathlib import Path

import torch

from levelfield.data.sources import open_source
from levelfield.records.codec import to_plain
from levelfield.records.errors import TrialError
from levelfield.records.execution import ExecutionSpec
from levelfield.records.store import StudyDirectory
from levelfield.study.execute.trial import run_trial
from levelfield.study.launch.base import LaunchEvent, Planned
from levelfield.study.launch.worker import _Worker
from levelfield.study.outcome.export import export_study
from levelfield.study.outcome.imported import import_runs
from levelfield.study.outcome.outcome import Outcome, analyse_outcome, read_outcome
from levelfield.study.plan.plan import plan
from levelfield.study.run import run_study, study_facts
from levelfield.study.spec_file import load_study
from tests.study.pictures import FOLDER_STUDY, write_folder

COUNT = 500
_MOMENT = 300
"""The step after which the half-finished trial is cut."""


class InProcess:
    """A launcher that runs one trial after the other here, by the code that a worker runs."""

    def __init__(
        self,
        directory: Path,
        *,
        device: str,
        execution: ExecutionSpec,
        checkpoint_seconds: float,
        keeps_weights: bool,
        **_: object,
    ):
        self._said = io.StringIO()
        study = StudyDirectory(directory)
        self._worker = _Worker(
            study, device, checkpoint_seconds, self._said, execution=execution, keeps_weights=keeps_weights
        )
        self._waiting: deque[Planned] = deque()

    def submit(self, trial: Planned) -> None:
        self._waiting.append(trial)

    def next_event(self, timeout_s: float | None = None) -> LaunchEvent | None:
        trial = self._waiting.popleft()
        self._worker.run(to_plain(trial.spec))
        said = json.loads(self._said.getvalue().splitlines()[-1])
        reason, blame = said.get("reason", ""), said.get("blame", "trial")
        return LaunchEvent(kind=said["event"], trial=trial, reason=reason, blame=blame)

    def close(self) -> None:
        self._waiting.clear()


class Cut(Exception):
    """A trial stops here, as if killed."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bases:
    """Two studies that nothing has happened to, and what they show."""

    folder: Path
    whole: Outcome
    half: Outcome

    def outcome(self, base: str) -> Outcome:
        return self.whole if base == "whole" else self.half


@functools.cache
def prepare() -> Bases:
    """Train the study once: to its end, and to the middle of its last trial."""
    folder = Path(tempfile.mkdtemp(prefix="hostile-studies-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    write_folder(folder / "images", seed=0)
    (folder / "study.toml").write_text(FOLDER_STUDY)
    (folder / "others.csv").write_text("arch,flops,loss\nvit,1e8,0.7\n")
    spec = _spec(folder)
    whole, half = StudyDirectory(folder / "whole"), StudyDirectory(folder / "half")
    run_study(spec, whole.path, device="cpu", launch=InProcess)
    import_runs(whole, folder / "others.csv", columns={"family": "arch"}, source="a table")
    facts, results = study_facts(spec), whole.results()
    wanted = plan(spec, facts, results).trials
    half.path.mkdir()
    for name in ("study.json", "sealed.json", "facts.json"):
        shutil.copy(whole.path / name, half.path)
    *done, last = (trial.spec for trial in wanted)
    for trial in done:
        shutil.copytree(whole.trial(trial).path, half.trial(trial).path)

    def cut(report) -> None:
        if report.step == _MOMENT:
            raise Cut

    with contextlib.suppress(Cut):
        source = open_source(spec.data)
        run_trial(last, half.trial(last), source, device=torch.device("cpu"), checkpoint_seconds=0.05, on_step=cut)
    return Bases(folder=folder, whole=read_outcome(whole.path), half=read_outcome(half.path))


def _spec(folder: Path):
    spec = load_study(folder / "study.toml")
    return dataclasses.replace(spec, data=dataclasses.replace(spec.data, path=str(folder / "images")))


def attempt(seed: int, index: int, folder: Path) -> str:
    """Case ``index``: one or two things happen to a study, then it is run, or read by one verb."""
    bases, draw = prepare(), random.Random(f"{seed}/{index}")
    base = draw.choice(("whole", "half"))
    study = StudyDirectory(folder / "study")
    shutil.copytree(bases.folder / base, study.path)
    done = [_happen(study.path, draw) for _ in range(draw.choice((1, 1, 1, 2)))]
    verb = draw.choice(("run", "run", "status", "compare", "export"))
    told = f"{base}, {'; '.join(done)}, {verb}"
    if verb == "run":
        return _after_a_run(bases, study, told)
    return _as_read(bases.outcome(base), study, verb, folder, told)


def _after_a_run(bases: Bases, study: StudyDirectory, told: str) -> str:
    try:
        run_study(_spec(bases.folder), study.path, device="cpu", launch=InProcess)
    except TrialError as error:
        return f"wrong: {told}: {error}"
    outcome = read_outcome(study.path)
    if outcome.results != bases.whole.results or outcome.in_progress:
        return f"wrong: {told}: other results than those of the untouched study"
    ours, theirs = (_losses(each) for each in (outcome, bases.whole))
    return "right" if ours == theirs else f"wrong: {told}: {ours} for {theirs}"


def _as_read(untouched: Outcome, study: StudyDirectory, verb: str, folder: Path, told: str) -> str:
    outcome = read_outcome(study.path)
    if verb == "compare":
        analyse_outcome(outcome, study.path)
    if verb == "export":
        export_study(outcome, folder / "exported")
    others = [key for key, result in outcome.results.items() if untouched.results.get(key) != result]
    others += [key for key, timing in outcome.timings.items() if untouched.timings.get(key) != timing]
    if others:
        return f"wrong: {told}: another result or timing of {others}"
    if (outcome.spec, outcome.facts) != (untouched.spec, untouched.facts):
        return f"wrong: {told}: another study"
    lost = len(untouched.results) - len(outcome.results)
    if lost and not outcome.in_progress:
        return f"wrong: {told}: {lost} trials less, and nothing says so"
    return "right"


def _losses(outcome: Outcome) -> dict[str, float]:
    return {row.run: row.loss for row in outcome.table if row.role != "imported"}


def _happen(study: Path, draw: random.Random) -> str:
    """Something happens to a file or folder of ``study``; says what."""
    # Folders and lock files too, but seldom: most of what can be lost are records.
    paths = sorted(path for path in study.rglob("*") if not path.is_symlink())
    files = [path for path in paths if path.is_file() and path.name != "lock"]
    path = draw.choice(files if draw.random() < 0.85 else paths)
    name = draw.choice(list(_MISHAPS))
    _MISHAPS[name](path, study, draw)
    return f"{name} {path.relative_to(study)}"


def _gone(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _replaced(content: bytes) -> Callable[[Path, Path, random.Random], None]:
    def mishap(path: Path, study: Path, draw: random.Random) -> None:
        _gone(path)
        path.write_bytes(content)

    return mishap


def _deleted(path: Path, study: Path, draw: random.Random) -> None:
    _gone(path)


def _cut(path: Path, study: Path, draw: random.Random) -> None:
    content = path.read_bytes() if path.is_file() else b"x"
    _replaced(content[: draw.randrange(len(content) + 1)])(path, study, draw)


def _flipped(path: Path, study: Path, draw: random.Random) -> None:
    content = bytearray((path.read_bytes() if path.is_file() else b"") or b"x")
    for _ in range(draw.choice((1, 1, 8))):
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    _replaced(bytes(content))(path, study, draw)


def _digit(path: Path, study: Path, draw: random.Random) -> None:
    """A digit is another: the file stays what it was, but for a number."""
    content = bytearray((path.read_bytes() if path.is_file() else b"") or b"0")
    digits = [place for place, byte in enumerate(content) if chr(byte).isdigit()] or [0]
    content[draw.choice(digits)] = ord(draw.choice("0123456789"))
    _replaced(bytes(content))(path, study, draw)


def _exchanged(path: Path, study: Path, draw: random.Random) -> None:
    """The file of that name of another trial lies there."""
    others = [other for other in sorted(study.rglob(path.name)) if other != path and other.is_file()]
    content = draw.choice(others).read_bytes() if others else b"{}"
    _replaced(content)(path, study, draw)


def _edited(path: Path, study: Path, draw: random.Random) -> None:
    """A key is gone, new or of another type, where the file is JSON."""
    try:
        plain = json.loads(path.read_bytes())
        key = draw.choice(sorted(plain))
    except (OSError, ValueError, TypeError, IndexError):
        return _deleted(path, study, draw)
    plain[key] = draw.choice((None, "text", [], {}, -1, 10**25, True))
    return _replaced(json.dumps(plain).encode())(path, study, draw)


def _directory(path: Path, study: Path, draw: random.Random) -> None:
    _gone(path)
    path.mkdir()


def _pipe(path: Path, study: Path, draw: random.Random) -> None:
    _gone(path)
    os.mkfifo(path)


def _link(path: Path, study: Path, draw: random.Random) -> None:
    _gone(path)
    path.symlink_to(draw.choice((path.name, "nowhere", "/dev/zero", "/dev/null", str(study))))


def _left_over(path: Path, study: Path, draw: random.Random) -> None:
    beside = path.with_name(f".{path.name}.tmp")
    draw.choice((os.mkfifo, os.mkdir, Path.touch))(beside)


def _twice(path: Path, study: Path, draw: random.Random) -> None:
    copy = path.with_name(draw.choice((f"{path.name}.bak", f"{path.name} (copy)", f"copy_{path.name}")))
    shutil.copytree(path, copy) if path.is_dir() else shutil.copy(path, copy)


def _longer(path: Path, study: Path, draw: random.Random) -> None:
    content = path.read_bytes() if path.is_file() else b""
    _replaced(content + draw.choice((b"\n", b"{}", content, b'{"step": 100000, "loss": 0}\n')))(path, study, draw)


_MISHAPS: dict[str, Callable[[Path, Path, random.Random], None]] = {
    "deleted": _deleted,
    "cut": _cut,
    "flipped": _flipped,
    "another digit in": _digit,
    "exchanged": _exchanged,
    "edited": _edited,
    "a directory for": _directory,
    "a pipe for": _pipe,
    "a link for": _link,
    "left over beside": _left_over,
    "a copy of": _twice,
    "longer": _longer,
    "empty": _replaced(b""),
    "no JSON in": _replaced(b"{torn"),
    "deep JSON in": _replaced(b'{"a": ' * 100_000 + b"1" + b"}" * 100_000),
    "NaN in": _replaced(b'{"loss": NaN, "seal": "0"}'),
    "a list in": _replaced(b"[]"),
    "a key twice in": _replaced(b'{"seal": "0", "seal": "0"}'),
    "an endless number in": _replaced(b'{"seal": ' + b"9" * 10_000 + b"}"),
    "no UTF-8 in": _replaced(b'\xff\xfe{"seal": 1}'),
}
