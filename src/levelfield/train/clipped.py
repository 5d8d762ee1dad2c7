"""Which share of a network's units adaptive clipping scales down, stage by stage: what a rate that is too high, or a
lambda too low, looks like before the loss tells.

It is telemetry: taken of logged steps alone, kept beside the trace, vouched for by no result. The units of a tensor are
rows of outputs (:func:`levelfield.train.clipping.unit_axis`), and tensors that nothing clips have none here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from levelfield.records.codec import plain_from_json
from levelfield.records.writing import open_to_append, write_atomically


def stage_of(name: str) -> str:
    """The part of a network that the parameter ``name`` is of: its path up to the first number, or the first word
    ("stages.0", "blocks.3", "stem")."""
    path = name.split(".")
    number = next((place for place, word in enumerate(path) if word.isdigit()), 0)
    return ".".join(path[: number + 1])


def clipped_shares(scales: Mapping[str, Tensor]) -> dict[str, float]:
    """By stage, the share of units whose ``scales``, [units] by name of a tensor, are less than 1.

    It reads from the device, so it waits for whatever is queued there.
    """
    counted: dict[str, list[int]] = {}
    for name, scale in scales.items():
        clipped, whole = counted.setdefault(stage_of(name), [0, 0])
        counted[stage_of(name)] = [clipped + int((scale < 1).sum()), whole + scale.numel()]
    return {stage: clipped / whole for stage, (clipped, whole) in counted.items()}


class ClippedLog:
    """One JSON line a logged step at ``path``, where anything is clipped; ``lines`` are those up to a checkpoint.

    Raises:
        StoreError: it cannot be written.
    """

    def __init__(self, path: Path, *, lines: Sequence[str] = ()) -> None:
        self.path, self.lines = path, list(lines)
        if self.lines:
            write_atomically(path, "".join(self.lines).encode())

    def append(self, step: int, scales: Mapping[str, Tensor]) -> None:
        """Write down the shares of step number ``step``, by what it has multiplied gradients by."""
        if not scales:
            return
        self.lines.append(json.dumps({"step": step, **clipped_shares(scales)}) + "\n")
        with open_to_append(self.path) as file:
            file.write(self.lines[-1])

    @property
    def means(self) -> dict[str, float] | None:
        """By stage, the mean share over all lines; None where there are none."""
        told = [plain_from_json(line.encode()) for line in self.lines]
        if not told:
            return None
        return {stage: sum(each[stage] for each in told) / len(told) for stage in told[0] if stage != "step"}
