"""Where the time of a trial's steps goes, operator by operator: a trace for chrome://tracing or https://ui.perfetto.dev.

What is profiled are a trial's first steps, on weights of their own that are thrown away: nothing of the trial that is
trained beside it, its seconds included, knows that anybody looked.

Source: torch documentation, torch.profiler (schedules skip the first steps, which set things up).
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile, record_function

from levelfield.data.sources import open_source_once
from levelfield.records.errors import InputError
from levelfield.records.trial import TrialSpec
from levelfield.records.writing import write_atomically
from levelfield.study.execute.executed import execution_here, threads_ahead
from levelfield.study.execute.item import WorkItem, WorkOrder, start_of
from levelfield.study.execute.parts import put_together, training_loader

WARM_STEPS = 3
"""Steps that are taken and not traced: buffers are made in the first ones."""
TRACED_STEPS = 5


def profile_item(item: WorkItem, order: WorkOrder, to: Path) -> int:
    """Write the trace of some steps of ``item``, executed by ``order``, to the file ``to``; how many there are in it.

    Each has a span "data" and a span "step" around what happens in them.

    Raises:
        InputError: it is no trial, or cannot be meant here, or no file can be there.
        StoreError: it cannot be written.
    """
    spec = item.spec
    if not isinstance(spec, TrialSpec):
        raise InputError(f"{item.directory.path} is a probe, which takes no steps: --profile traces trials")
    if to.is_dir() or not to.parent.is_dir():
        raise InputError(f"--profile writes a trace to a file, and {to} is none in a folder that is there")
    traced = min(TRACED_STEPS, max(1, spec.steps - 1))
    warm = min(WARM_STEPS, spec.steps - traced)
    with tempfile.TemporaryDirectory(prefix="levelfield-profile-") as folder:
        made = Path(folder) / "trace.json"
        _traced_steps(spec, item, order, warm=warm, traced=traced).export_chrome_trace(str(made))
        write_atomically(to, made.read_bytes())
    return traced


def _traced_steps(spec: TrialSpec, item: WorkItem, order: WorkOrder, *, warm: int, traced: int) -> profile:
    execution = execution_here(order.execution, order.device)
    torch.set_num_threads(execution.threads)
    source = open_source_once(spec.data)
    parts = put_together(
        spec,
        source,
        device=order.device,
        execution=execution,
        backbone=start_of(item, order),
        test_source=open_source_once(spec.held_out_data),
    )
    ahead = threads_ahead(order.execution, order.device)
    pinned = order.device.type == "cuda"
    loader = training_loader(spec, source, start_step=0, end_step=warm + traced, prefetch=ahead, pinned=pinned)
    batches = iter(loader)
    for _ in range(warm):
        parts.step(parts.state, next(batches))
    seen = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if order.device.type == "cuda" else [])]
    with profile(activities=seen, record_shapes=True, acc_events=True) as profiler:
        for _ in range(traced):
            with record_function("data"):
                batch = next(batches)
            with record_function("step"):
                parts.step(parts.state, batch)
        if order.device.type == "cuda":
            torch.accelerator.synchronize(order.device)
    return profiler
