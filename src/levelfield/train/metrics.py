"""The trace of a run on disk: one JSON line a logged step, equal however often the run was cut."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path

from levelfield.data.audit import SeenAudit
from levelfield.records.codec import plain_from_json
from levelfield.records.sealed import read_file
from levelfield.records.writing import open_to_append, write_atomically
from levelfield.train.step import StepReport

logger = logging.getLogger(__name__)

_MOST_BYTES = 64 << 20


class MetricsLog:
    """Appends to ``metrics.jsonl``; after a restart the file is what the checkpoint knew of it, whatever lies there.

    ``lines`` are those up to ``resumed_step`` of ``num_steps``; ``lost_steps`` is how far the last attempt had logged
    beyond its checkpoint, by the trace that it left at ``earlier``.

    Raises:
        DamagedError: something else than a file lies there.
        StoreError: it cannot be written.
    """

    def __init__(
        self, path: Path, *, lines: Sequence[str], resumed_step: int, num_steps: int, earlier: Path | None = None
    ) -> None:
        self.path = path
        self.lines = list(lines)
        reached = 0 if earlier is None else _last_step(earlier)
        self.lost_steps = max(0, min(reached, num_steps) - resumed_step)
        write_atomically(path, "".join(self.lines).encode())

    def append(self, report: StepReport, *, seen: SeenAudit, masked_examples: int) -> None:
        """A line that says how far training is, and by ``seen`` what it has seen until then."""
        plain = {
            "step": report.step,
            "loss": report.loss,
            "learning_rate": report.learning_rate,
            "gradient_norm": report.gradient_norm,
            "examples": seen.examples,
            "masked": masked_examples,
            "seen": seen.digest,
        }
        self.lines.append(json.dumps(plain) + "\n")
        with open_to_append(self.path) as file:
            file.write(self.lines[-1])


def _last_step(path: Path) -> int:
    """How far the trace at ``path`` reaches; 0 where its last whole line cannot be read, which a line then says."""
    content = read_file(path, limit=_MOST_BYTES, remedy="move it away and run again")
    whole = [line for line in (content or b"").splitlines(keepends=True) if line.endswith(b"\n")]
    if not whole:
        return 0
    try:
        return int(plain_from_json(whole[-1])["step"])
    except (ValueError, TypeError, KeyError):
        logger.warning("%s is damaged; what its last attempt lost is not known, and not charged", path)
        return 0
