"""A long-lived worker: imports torch once and runs what arrives on standard input, a trial or a probe a JSON line.

Started by :mod:`levelfield.study.launch.local` as ``python -m levelfield.study.launch.worker DIR DEVICE SECONDS
EXECUTION [--keep-weights]``, the execution as JSON. It answers on standard output, one JSON line an event, and dies at
once when its standard input closes, so that a killed parent leaves nothing behind that still writes.
"""

from __future__ import annotations

import functools
import json
import os
import queue
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from levelfield.data.said import said_elsewhere
from levelfield.records.codec import from_plain
from levelfield.records.errors import InputError, LeaseLostError, StoreError, lacks_memory
from levelfield.records.execution import ExecutionSpec
from levelfield.records.probe import ProbeSpec
from levelfield.records.store import StudyDirectory
from levelfield.records.trial import TrialSpec

if TYPE_CHECKING:
    from levelfield.study.execute.item import WorkOrder

_PROGRESS_STEPS = 20


def main(directory: str, device: str, checkpoint_seconds: str, execution: str, *keep_weights: str) -> None:
    events = _private_stdout()
    inbox: queue.Queue[dict[str, Any]] = queue.Queue()
    threading.Thread(target=_read_stdin, args=(inbox,), daemon=True).start()
    study = StudyDirectory(Path(directory))
    worker = _Worker(
        study,
        device,
        float(checkpoint_seconds),
        events,
        execution=from_plain(ExecutionSpec, json.loads(execution)),
        keeps_weights=bool(keep_weights),
    )
    worker.tell({"event": "ready"})
    with said_elsewhere():
        while True:
            worker.run(inbox.get())


class _Worker:
    def __init__(
        self,
        study: StudyDirectory,
        device: str,
        checkpoint_seconds: float,
        events: TextIO,
        *,
        execution: ExecutionSpec,
        keeps_weights: bool,
    ) -> None:
        self.study = study
        self.device_name = device
        self.checkpoint_seconds = checkpoint_seconds
        self.events = events
        self.execution = execution
        self.keeps_weights = keeps_weights

    @functools.cached_property
    def order(self) -> WorkOrder:
        from levelfield.study.execute.item import WorkOrder
        from levelfield.train.device import resolve_device

        return WorkOrder(
            device=resolve_device(self.device_name),
            execution=self.execution,
            checkpoint_seconds=self.checkpoint_seconds,
            keeps_weights=self.keeps_weights,
        )

    def run(self, plain: dict[str, Any]) -> None:
        """Train or probe what ``plain`` describes; whatever prevents that is told in its own words."""
        try:
            spec = from_plain(ProbeSpec if "probes" in plain else TrialSpec, plain)
            self._run(spec)
        except (InputError, StoreError) as error:
            self.tell(
                {
                    "event": "failed",
                    "reason": str(error),
                    "blame": "input" if isinstance(error, InputError) else "store",
                }
            )
        except LeaseLostError as error:
            self.tell({"event": "lost", "reason": str(error)})
        # The boundary of the process: whatever a trial raises is its outcome, and the next one must still run.
        except Exception as error:
            self.tell({"event": "failed", "reason": _reason(error)})
        else:
            self.tell({"event": "finished"})

    def _run(self, spec: TrialSpec | ProbeSpec) -> None:
        from levelfield.study.execute.item import item_of, run_item

        run_item(item_of(self.study, spec), self.order, on_step=self._tell_progress)

    def _tell_progress(self, step: int) -> None:
        if step % _PROGRESS_STEPS == 0:
            self.tell({"event": "progress", "step": step})

    def tell(self, event: dict[str, Any]) -> None:
        self.events.write(json.dumps(event) + "\n")
        self.events.flush()


def _reason(error: Exception) -> str:
    """What happened, and what to do where that is known: torch raises a RuntimeError for memory on a CPU."""
    seen = f"{type(error).__name__}: {error}"
    advice = "use fewer workers, a smaller size or a smaller batch"
    return f"out of memory ({seen}); {advice}" if lacks_memory(error) else seen


def _read_stdin(inbox: queue.Queue[dict[str, Any]]) -> None:
    for line in sys.stdin:
        inbox.put(json.loads(line))
    os._exit(0)


def _private_stdout() -> TextIO:
    """The event stream; whatever else prints goes to standard error."""
    events = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return events


if __name__ == "__main__":
    main(*sys.argv[1:])
