"""Rows of a table, each told as soon as it is known: a failed one says why and the next goes on, until time is over."""

from __future__ import annotations

import gc
import json
import os
import platform
import re
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import torch

from levelfield.records.code_version import code_version
from levelfield.train.device import device_name

Figure: TypeAlias = float | int | str | None
Verdict: TypeAlias = Literal["ok", "WRONG", "FAILED", "not reached"]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Where and how large everything is measured; ``toy`` takes the sizes of a dry run.

    Tables go to ``out``; the study lives in ``work``, or else in runs/<its name>, and goes on from ``state``. Of all
    rows those are measured that hold one of the words ``only``, where there are any.
    """

    device: torch.device
    toy: bool
    out: Path
    state: Path | None = None
    work: Path | None = None
    only: tuple[str, ...] = ()

    @property
    def on_gpu(self) -> bool:
        return self.device.type == "cuda"

    def asks_for(self, title: str) -> bool:
        """Whether the row of that title is to be measured."""
        return not self.only or any(word in title for word in self.only)


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a row shows: figures by name (None where there is none), and whether they are what they must be."""

    figures: Mapping[str, Figure]
    right: bool = True


@dataclass(frozen=True, kw_only=True)
class Row:
    """A title and what measures it; ``needs_s`` are the seconds below which it is not begun."""

    title: str
    measure: Callable[[], Seen]
    needs_s: float = 2.0


class Deadline:
    """A moment on this process's clock."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds until then; never below 0."""
        return max(0.0, self._end - time.monotonic())


class Table:
    """The table of one set, printed and kept in ``<out>/<name>.md`` and ``.jsonl`` row by row."""

    def __init__(self, name: str, setting: Setting, deadline: Deadline) -> None:
        self._name, self._out, self._deadline = name, setting.out, deadline
        self.verdicts: list[Verdict] = []
        setting.out.mkdir(parents=True, exist_ok=True)
        (setting.out / f"{name}.jsonl").write_text("")
        (setting.out / f"{name}.md").write_text("")
        self._say(f"# {name}\n\n{described(setting)}\n\n| row | verdict | shows | s |\n|---|---|---|---|")

    def take(self, row: Row) -> Seen | None:
        """Measure ``row`` and tell it; None where that failed or there was no time."""
        begun = time.perf_counter()
        seen, verdict, shown = None, "not reached", f"{self._deadline.left():.0f} s were left"
        if self._deadline.left() >= row.needs_s:
            try:
                seen = row.measure()
                verdict, shown = "ok" if seen.right else "WRONG", _shown(seen.figures)
            # The boundary of a row: whatever it raises is what it shows, and on a lent machine the next must still run.
            except Exception as error:
                late = isinstance(error, TimeoutError | subprocess.TimeoutExpired) and not self._deadline.left()
                verdict, shown = "not reached" if late else "FAILED", f"{type(error).__name__}: {error}"
                gc.collect()
                torch.cuda.empty_cache()
        self.verdicts.append(verdict)
        seconds = time.perf_counter() - begun
        figures = {} if seen is None else dict(seen.figures)
        kept = {"row": row.title, "verdict": verdict, "shows": shown, "seconds": round(seconds, 2), "figures": figures}
        with open(self._out / f"{self._name}.jsonl", "a") as file:
            file.write(json.dumps(kept) + "\n")
        self._say(f"| {row.title} | {verdict} | {_in_a_cell(shown)} | {seconds:.1f} |")
        return seen

    def _say(self, text: str) -> None:
        print(text, flush=True)
        with open(self._out / f"{self._name}.md", "a") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())


def exit_code(verdicts: Sequence[Verdict]) -> int:
    """1 where a row failed or is wrong; what there was no time for is no failure."""
    return 1 if {"WRONG", "FAILED"} & set(verdicts) else 0


def described(setting: Setting) -> str:
    """Device, versions, month and code, on one line."""
    parts = [device_name(setting.device), f"torch {torch.__version__}"]
    if setting.on_gpu:
        driver = Path("/proc/driver/nvidia/version")
        known = re.search(r"\d+\.\d+[.\d]*", driver.read_text()) if driver.exists() else None
        parts += [f"CUDA {torch.version.cuda}", f"cuDNN {torch.backends.cudnn.version()}"]
        parts += [f"driver {known[0]}"] if known else []
    parts += [f"Python {platform.python_version()}", f"{os.cpu_count()} cores", time.strftime("%Y%m")]
    return ", ".join([*parts, f"levelfield {code_version()}", *["toy sizes"] * setting.toy])


def _shown(figures: Mapping[str, Figure]) -> str:
    return "; ".join(f"{name} {_number(value)}" for name, value in figures.items())


def _number(value: Figure) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _in_a_cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
