"""What launchers cost beyond the trials that they place: CPU seconds an item, of all processes together.

::

    python -m benchmarks.launching --items 100            # local and Ray, two minutes of a core

A tiny trial (thirty steps) is trained so often by this process alone, then by each launcher with one worker. Of the
launcher's processes - this one, its children and theirs - the CPU seconds between the tenth item and the last are
counted: what starts once, Python, torch and Ray's daemons, is told apart.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from levelfield.data.sources import open_source_once
from levelfield.records.execution import ExecutionSpec
from levelfield.records.store import StudyDirectory
from levelfield.study.execute.trial import run_trial
from levelfield.study.launch.registry import start_launcher
from levelfield.testing.launchers import example_trial, planned_example
from levelfield.train.device import resolve_device

_FIRST = 10
_TICKS = os.sysconf("SC_CLK_TCK")


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--items", type=int, default=100)
    asked.add_argument("--launchers", nargs="+", default=["local", "ray"])
    given = asked.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        alone = _alone(Path(folder) / "alone", given.items)
        print(
            f"| launcher | items | CPU s an item | beyond its compute ({alone:.3f}) | to the {_FIRST}th item | wall s |"
        )
        print("|---|---|---|---|---|---|")
        for name in given.launchers:
            start, each, wall = _launched(Path(folder) / name, name, given.items)
            print(
                f"| {name} | {given.items} | {each:.3f} | {each - alone:+.3f} | {start:.1f} | {wall:.0f} |", flush=True
            )


def _alone(folder: Path, items: int) -> float:
    """CPU seconds of a trial in this process, those that start things left out."""
    study, begin = StudyDirectory(folder), 0.0
    for seed in range(items):
        if seed == _FIRST:
            begin = time.process_time()
        spec = example_trial(seed)
        run_trial(spec, study.trial(spec), open_source_once(spec.data), device=resolve_device("cpu"))
    return (time.process_time() - begin) / (items - _FIRST)


def _launched(folder: Path, name: str, items: int) -> tuple[float, float, float]:
    began, here = time.perf_counter(), cpu_seconds_of_all()
    launcher = start_launcher(
        folder,
        num_workers=1 if name == "local" else 4,
        device="cpu",
        execution=ExecutionSpec(launcher=name),  # pyright: ignore[reportArgumentType]
        checkpoint_seconds=60.0,
        **({"asks": {"num_cpus": "1"}} if name == "ray" else {}),
    )
    try:
        for seed in range(items):
            launcher.submit(planned_example(example_trial(seed)))
        done, first = 0, 0.0
        while done < items:
            event = launcher.next_event()
            assert event is not None
            assert event.kind != "failed", event.reason
            done += event.kind == "finished"
            if done == _FIRST and not first:
                first = cpu_seconds_of_all()
        last = cpu_seconds_of_all()
    finally:
        launcher.close()
    return first - here, (last - first) / (items - _FIRST), time.perf_counter() - began


def cpu_seconds_of_all() -> float:
    """CPU seconds of this process and of all below it, with those that have ended and were waited for."""
    children: dict[int, list[tuple[int, float]]] = defaultdict(list)
    own = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has just ended
        spent = sum(int(ticks) for ticks in fields[11:15]) / _TICKS
        pid = int(stat.parent.name)
        children[int(fields[1])].append((pid, spent))
        own[pid] = spent
    found, left = own[os.getpid()], [os.getpid()]
    while left:
        for pid, spent in children[left.pop()]:
            found += spent
            left.append(pid)
    return found


if __name__ == "__main__":
    main()
