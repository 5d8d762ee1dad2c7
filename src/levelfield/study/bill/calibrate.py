"""A short calibration: how long an example takes here, for each architecture of a plan.

:func:`calibrate` runs this module as a process of its own, so that planning itself never loads torch.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Any

from levelfield.records.codec import from_plain, to_plain
from levelfield.records.errors import InputError, TrialError
from levelfield.records.study import StudySpec
from levelfield.records.trial import TrialSpec
from levelfield.study.bill.bill import Speed
from levelfield.study.facts import DataFacts
from levelfield.study.launch.local import worker_environment
from levelfield.study.plan.candidate import trial_spec
from levelfield.study.planned import Candidate, Plan

_SECONDS_EACH = 0.4


def calibrate(spec: StudySpec, facts: DataFacts, planned: Plan, *, device: str) -> dict[str, Speed]:
    """Measured speeds by architecture, for every allowed size of ``planned`` at its largest batch.

    Raises:
        InputError, TrialError: the measuring process was refused something, or failed; its message is passed on.
    """
    entries = {entry.name: entry for entry in spec.families}
    largest = {cell.architecture: cell for cell in planned.cells if not cell.affordable.refusal}
    trials = [
        trial_spec(
            spec,
            facts,
            entries[cell.family],
            Candidate(architecture=cell.architecture, base_lr=entries[cell.family].base_lr.start),
            cell.affordable,
            cell.budget_flops,
        )
        for cell in largest.values()
    ]
    done = subprocess.run(
        [sys.executable, "-m", "levelfield.study.bill.calibrate", device, str(spec.execution.threads)],
        input=json.dumps([to_plain(trial) for trial in trials]),
        capture_output=True,
        text=True,
        env=worker_environment(spec.execution.threads),
        check=False,
    )
    answer = json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else None
    if isinstance(answer, str):
        raise InputError(answer)
    if answer is None:
        said = [line for line in done.stderr.splitlines() if line.strip()] or ["it died without a word"]
        raise TrialError(f"the calibration failed: {said[-1].strip()}; --no-calibrate leaves it out")
    return {name: from_plain(Speed, speed) for name, speed in zip(largest, answer, strict=True)}


def measure(trial: TrialSpec, source: Any, *, device: str, threads: int) -> Speed:
    """Train and evaluate ``trial`` for a fraction of a second each."""
    import torch

    from levelfield.data.transforms import fed
    from levelfield.study.execute.parts import put_together
    from levelfield.train.device import resolve_device
    from levelfield.train.loop import training_steps
    from levelfield.train.timing import Stopwatch

    where = resolve_device(device)
    torch.set_num_threads(threads)
    parts = put_together(trial, source, device=where)
    state, task, step, batches = parts.state, parts.task, parts.step, iter(parts.loader())
    stopwatch = Stopwatch(where)
    begin = time.perf_counter()
    for report in training_steps(state, step, batches, num_steps=trial.steps, stopwatch=stopwatch):
        if report.step == 2:  # the first steps set up kernels and memory
            stopwatch.seconds.clear()
        if report.step >= 5 and time.perf_counter() - begin > _SECONDS_EACH:
            break
    examples = max(1, state.step - 2) * trial.global_batch_size
    batch = next(batches)
    with stopwatch.charge("evaluate"), torch.inference_mode():
        fields = step.fields(batch)
        task.scores(state.model.eval()(fed(fields[task.fields[0]])), fields)
    return Speed(
        step_seconds=stopwatch.seconds["step"] / examples,
        data_seconds=stopwatch.seconds["data"] / examples,
        evaluate_seconds=stopwatch.seconds["evaluate"] / len(batch),
    )


def _main(device: str, threads: str) -> None:
    from levelfield.data.sources import open_source

    try:
        trials = [from_plain(TrialSpec, plain) for plain in json.load(sys.stdin)]
        sources = {data: open_source(data) for data in {trial.data for trial in trials}}
        answer: Any = [
            to_plain(measure(trial, sources[trial.data], device=device, threads=int(threads))) for trial in trials
        ]
    except InputError as error:  # the sentence is the answer: a device that is not there, an image that is no image
        answer = str(error)
    print(json.dumps(answer))


if __name__ == "__main__":
    _main(*sys.argv[1:])
