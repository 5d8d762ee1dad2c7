"""Study 0002 for as long as there is time: in pieces, its whole state in one small file after each."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.gpu.rows import Deadline, Figure, Row, Seen, Setting
from levelfield.records.study import StudySpec
from levelfield.records.writing import write_atomically
from levelfield.study.bill.bill import bill
from levelfield.study.outcome.outcome import read_outcome
from levelfield.study.plan.plan import plan
from levelfield.study.run import study_facts
from levelfield.study.spec_file import load_study

STUDIES = Path(__file__).parents[2] / "studies"
MOST_BYTES = 16 << 20
"""Of the state file: as much as a lent machine gives back in one."""
UNFINISHED = 75
TIDYING_S = 20.0
"""What reading and packing the study may take after a piece."""


def rows(setting: Setting, deadline: Deadline) -> Iterator[Row]:
    """What there was, a row a piece, and when all is done the comparison with the CPU and the tables."""
    folder = STUDIES / "0002_digit_strings"
    course = Course(setting, deadline, folder / ("small.toml" if setting.toy else "study.toml"))
    yield Row(title="state to go on from", measure=course.restore)
    number, piece_s = 0, 15.0 if setting.toy else 100.0
    last = 1 if setting.toy else 200
    while number < last and not course.stopped and deadline.left() > TIDYING_S + piece_s / 3:
        number += 1
        yield Row(title=f"piece {number}", measure=lambda: course.piece(piece_s))
    if course.complete:
        yield Row(title="two trials again on the CPU, within 5 %", measure=course.verify, needs_s=60.0)
        yield Row(title="tables", measure=course.export, needs_s=10.0)


class Course:
    """One study in one directory, which is packed into one file and unpacked from it."""

    def __init__(self, setting: Setting, deadline: Deadline, path: Path) -> None:
        self._setting, self._deadline, self._path = setting, deadline, path
        self._spec: StudySpec = load_study(path)
        self._directory = setting.work or Path("runs") / self._spec.name
        self._packed = setting.out / f"study-{self._spec.name}.tar.xz"
        self.complete = self.stopped = False

    def restore(self) -> Seen:
        """Unpack the state where the directory has none: the file that was named, the last one, or the published."""
        published = STUDIES / "results" / self._spec.name / "state.tar.xz"
        known = [path for path in (self._packed, published) if path.exists()]
        source = self._setting.state or (known[0] if known else None)
        if (self._directory / "study.json").exists():
            source, came = None, f"{self._directory}, as it lies"
        elif source is not None:
            came = str(source)
            with tarfile.open(source) as archive:
                archive.extractall(self._directory, filter="data")
        else:
            came = "none"
        there = (self._directory / "study.json").exists()
        return Seen(figures={"from": came, **(self._progress() if there else {"done": 0})})

    def piece(self, seconds: float) -> Seen:
        """Run for ``seconds`` at most, then pack.

        Raises:
            RuntimeError: the run failed; what it said last. No further piece is tried.
        """
        seconds = min(seconds, self._deadline.left() - TIDYING_S)
        before = self._done()
        begun = time.perf_counter()
        workers, every = (1, 1) if self._setting.toy else (8, 10)
        code = self._levelfield(
            *("run", self._path, "--dir", self._directory, "--workers", workers, "--device", self._setting.device),
            *("--for", f"{seconds:.0f}s", "--checkpoint-every", every, "--cheapest-first"),
        )
        minutes = (time.perf_counter() - begun) / 60
        self.complete = read_outcome(self._directory).complete
        self.stopped = code != UNFINISHED
        size, kept, left_out = self._pack()
        if self.stopped and not self.complete:
            raise RuntimeError(f"levelfield run ended with code {code}: {self._last_line()}")
        figures = self._progress() | {"trials/min": (self._done() - before) / minutes, "state MiB": size / 2**20}
        return Seen(figures=figures | {"checkpoints kept": kept, "too large": left_out}, right=size <= MOST_BYTES)

    def verify(self) -> Seen:
        """Two trials of the lowest rung trained again on the CPU."""
        code = self._levelfield("verify", self._directory, "--sample", 2, "--device", "cpu", "--tolerance", 0.05)
        return Seen(figures={"code": code, "it says": self._last_line()}, right=code == 0)

    def export(self) -> Seen:
        """The study's tables, beside its state."""
        code = self._levelfield("export", self._directory, self._setting.out / "export")
        return Seen(figures={"code": code}, right=code == 0)

    def _done(self) -> int:
        return len(list(self._directory.glob("trials/*/result.json")))

    def _progress(self) -> dict[str, Figure]:
        """Where the study stands, against the bill of its plan."""
        outcome = read_outcome(self._directory)
        facts = study_facts(self._spec)
        whole = bill(self._spec, facts, plan(self._spec, facts, {}))
        pending = len(outcome.planned.pending(outcome.results, outcome.probes))
        wanted = outcome.planned.num_wanted
        return {
            "done": wanted - pending,
            "wanted so far": wanted,
            "at most": whole.trials_at_most,
            "device-seconds": outcome.device_seconds,
            "FLOPs": f"{outcome.ledger.train_flops:.3g}",
            "% of the bill": 100 * outcome.ledger.train_flops / whole.train_flops,
        }

    def _pack(self) -> tuple[int, int, int]:
        """Write the state: its size, and the numbers of checkpoints that it holds and that were too large for it.

        Results come first; then the newest checkpoint of each trial under way, small ones before large ones.
        """
        files = sorted(
            path for path in self._directory.rglob("*") if path.is_file() and path.name not in ("lock", "lease")
        )
        checkpoints = [path for path in files if path.parent.name == "checkpoints"]
        newest = {path.parent: path for path in checkpoints if path.suffix == ".ckpt"}
        content = self._compressed(wanted := [path for path in files if path not in set(checkpoints)])
        room, kept = MOST_BYTES - len(content) - (256 << 10), []
        for path in sorted(newest.values(), key=lambda path: path.stat().st_size):
            if (room := room - path.stat().st_size) < 0:
                break
            kept.append(path)
        if kept:
            content = self._compressed([*wanted, *kept])
        write_atomically(self._packed, content)
        return len(content), len(kept), len(newest) - len(kept)

    def _compressed(self, files: list[Path]) -> bytes:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:xz", preset=2) as archive:
            for path in files:
                archive.add(path, arcname=str(path.relative_to(self._directory)))
        return buffer.getvalue()

    def _levelfield(self, *arguments: object) -> int:
        """Its exit code; what it says goes to ``study.log``."""
        command = [sys.executable, "-m", "levelfield", *map(str, arguments)]
        environment = {**os.environ, "OMP_WAIT_POLICY": "passive"}
        with open(self._log, "a") as log:
            done = subprocess.run(
                command, stdout=log, stderr=log, env=environment, timeout=self._deadline.left() + TIDYING_S, check=False
            )
        return done.returncode

    @property
    def _log(self) -> Path:
        return self._setting.out / "study.log"

    def _last_line(self) -> str:
        return (self._log.read_text().strip().splitlines() or ["nothing"])[-1]
