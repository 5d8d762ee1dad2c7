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
from levelfield.records.errors import InputError, StoreError, lacks_memory
from levelfield.records.execution import ExecutionSpec
from levelfield.records.probe import ProbeSpec
from levelfield.records.probe_store import probe_directory
from levelfield.records.store import StudyDirectory
from levelfield.records.trial import TrialSpec

if TYPE_CHECKING:
    import torch

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
    def device(self) -> torch.device:
        from levelfield.train.device import resolve_device

        return resolve_device(self.device_name)

    def run(self, plain: dict[str, Any]) -> None:
        """Train or probe what ``plain`` describes; whatever prevents that is told in its own words."""
        try:
            if "probes" in plain:
                self._probe(from_plain(ProbeSpec, plain))
            else:
                self._train(from_plain(TrialSpec, plain))
        except (InputError, StoreError) as error:
            self.tell(
                {
                    "event": "failed",
                    "reason": str(error),
                    "blame": "input" if isinstance(error, InputError) else "store",
                }
            )
        # The boundary of the process: whatever a trial raises is its outcome, and the next one must still run.
        except Exception as error:
            self.tell({"event": "failed", "reason": _reason(error)})
        else:
            self.tell({"event": "finished"})

    def _train(self, spec: TrialSpec) -> None:
        from levelfield.data.sources import open_source_once
        from levelfield.study.execute.backbones import backbone_in
        from levelfield.study.execute.trial import held_result, run_trial

        directory, source = self.study.trial(spec), open_source_once(spec.data)
        directory.open(spec)
        with directory.locked():
            start = backbone_in(self.study, spec.start, device=self.device) if spec.start else None
            if held_result(directory, source, start) is None:
                run_trial(
                    spec,
                    directory,
                    source,
                    device=self.device,
                    execution=self.execution,
                    backbone=start,
                    test_source=open_source_once(spec.held_out_data),
                    keeps_weights=self.keeps_weights and spec.start is None,
                    checkpoint_seconds=self.checkpoint_seconds,
                    on_step=lambda report: self._tell_progress(report.step),
                )

    def _probe(self, spec: ProbeSpec) -> None:
        from levelfield.data.sources import open_source_once
        from levelfield.study.execute.backbones import backbone_in
        from levelfield.study.execute.probe import run_probe

        run_probe(
            spec,
            probe_directory(self.study, spec),
            open_source_once(spec.data),
            backbone_in(self.study, spec.start, device=self.device),
            features_folder=self.study.path / "features",
            device=self.device,
            execution=self.execution,
        )

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
