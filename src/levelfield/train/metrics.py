"""The trace of a run on disk: one JSON line a logged step, equal however often the run was cut."""

from __future__ import annotations

import json
from pathlib import Path

from levelfield.records.store import open_to_append, write_atomically
from levelfield.train.step import StepReport


class MetricsLog:
    """Appends to ``metrics.jsonl``; after a restart the lines beyond the checkpoint are taken back first.

    ``lost_steps`` is how far the last attempt had logged beyond its checkpoint.
    """

    def __init__(self, path: Path, *, resumed_step: int) -> None:
        self.path = path
        lines = self._lines()
        kept = [line for line in lines if _step_of(line) <= resumed_step]
        self.lost_steps = _step_of(lines[-1]) - resumed_step if len(kept) < len(lines) else 0
        write_atomically(path, b"".join(kept))

    def append(self, report: StepReport) -> None:
        line = {
            "step": report.step,
            "loss": report.loss,
            "learning_rate": report.learning_rate,
            "gradient_norm": report.gradient_norm,
        }
        with open_to_append(self.path) as file:
            file.write(json.dumps(line) + "\n")

    def _lines(self) -> list[bytes]:
        if not self.path.exists():
            return []
        return [line for line in self.path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]


def _step_of(line: bytes) -> int:
    return json.loads(line)["step"]
