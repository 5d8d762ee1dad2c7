"""Where the CPU time of a run of short trials goes: steps, data, evaluation, and what stands around them.

    python -m benchmarks.short_trials [nine] [tiny] [quickstart]

Runs whole studies by ``levelfield run`` with one worker: "nine" trials of a second of one family, "tiny" of both
families, and the lowest rung of the quickstart. Steps, data and evaluation are as the trials record them; the rest of
the worker's CPU time (its start, imports, opening, writing) and that of the process that plans and reports are what the
system charged for each. Then six of the trials again, in a process that is warm: what one more trial takes beside its
steps, data and evaluation.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import torch

from levelfield.data.sources import open_source_once
from levelfield.records.store import StudyDirectory
from levelfield.records.trial import TrialSpec, TrialTiming
from levelfield.study.execute.trial import run_trial
from levelfield.study.launch.environment import worker_environment
from levelfield.study.spec_file import quickstart_text

HEAD = """
name = "tiny"
question = "What does a run take beside its trials?"
[data]
source = "digit-pairs"
resolution = 16
noise_contrast = 0.05
select_examples = 256
report_examples = 512
[ladder]
budgets = [1.36e8]
batch_coefficient = 0.05
"""
NFNET = """
[[families]]
name = "nfnet"
recipe = "nfnet-short"
sizes = ["nfnet:w4-d1-s4"]
base_lr = { low = 3.2, start = 6.4, high = 12.8 }
lr_batch_exponent = 1.0
"""
VIT = """
[[families]]
name = "vit"
recipe = "vit-short"
sizes = ["vit:w8-d1-p8"]
base_lr = { low = 0.032, start = 0.064, high = 0.128 }
lr_batch_exponent = 0.5
"""

STUDIES = {
    "nine": (HEAD + VIT, ()),
    "tiny": (HEAD + NFNET + VIT, ()),
    "quickstart": (quickstart_text(), ("--set", "ladder.budgets=[4.75e9]", "--set", "search.check_budgets=[]")),
}

# Runs in a process of its own, so that what the system charges it and its children for is the run's alone.
RUN = """
import json, resource, sys
from levelfield.cli import main
try:
    main()
except SystemExit as stop:
    assert not stop.code, stop.code
used = {}
for name, who in (("parent", resource.RUSAGE_SELF), ("workers", resource.RUSAGE_CHILDREN)):
    usage = resource.getrusage(who)
    used[name] = usage.ru_utime + usage.ru_stime
print("USED", json.dumps(used))
"""


def run(study: str, folder: Path) -> tuple[dict[str, float], list[tuple[TrialSpec, TrialTiming]]]:
    """CPU seconds of the parent and of its workers, and every trial with its timing."""
    text, options = STUDIES[study]
    (folder / "study.toml").write_text(text)
    command = ["run", str(folder / "study.toml"), "--dir", str(folder / "run"), *options]
    done = subprocess.run(
        [sys.executable, "-c", RUN, *command], capture_output=True, text=True, env=worker_environment(1), check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    used = json.loads(done.stdout.splitlines()[-1].removeprefix("USED "))
    held = StudyDirectory(folder / "run").trials().values()
    return used, [(each.spec, each.timing) for each in held if each.spec is not None and each.timing is not None]


def recorded(timing: TrialTiming) -> dict[str, float]:
    return {"steps": timing.device_seconds, "data": timing.data_seconds, "evaluation": timing.evaluate_seconds}


def warm(specs: list[TrialSpec], folder: Path) -> list[float]:
    """The share of each trial of ``specs`` that it takes beside steps, data and evaluation, after a first one."""
    shares = []
    for number, spec in enumerate((specs[0], *specs)):
        begin = time.process_time()
        directory = StudyDirectory(folder / str(number)).trial(spec)
        run_trial(spec, directory, open_source_once(spec.data), device=torch.device("cpu"))
        whole, timing = time.process_time() - begin, directory.timing()
        assert timing is not None
        shares.append(1 - sum(recorded(timing).values()) / whole)
    return shares[1:]


def main() -> None:
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(f"torch {torch.__version__}; imports of this process {used.ru_utime + used.ru_stime:.1f} CPU-s")
    columns = "study | trials | CPU-s | steps | data | evaluation | rest of the worker | planning, page | the last two"
    print(f"\n| {columns} |")
    print("|---|---|---|---|---|---|---|---|---|")
    for study in sys.argv[1:] or list(STUDIES):
        with tempfile.TemporaryDirectory() as place:
            charged, trials = run(study, Path(place))
            purposes: dict[str, float] = defaultdict(float)
            for _, timing in trials:
                for name, seconds in recorded(timing).items():
                    purposes[name] += seconds
            purposes["worker"] = charged["workers"] - sum(purposes.values())
            purposes["parent"] = charged["parent"]
            whole = sum(purposes.values())
            cells = [f"{seconds:.1f} s, {seconds / whole:.0%}" for seconds in purposes.values()]
            rest = (purposes["worker"] + purposes["parent"]) / whole
            print(f"| {study} | {len(trials)} | {whole:.1f} | {' | '.join(cells)} | {rest:.0%} |", flush=True)
            by_family = sorted((spec for spec, _ in trials), key=lambda spec: spec.architecture)
            shares = warm([*by_family[:3], *by_family[-3:]], Path(place))
            told = ", ".join(f"{share:.1%}" for share in shares)
            middle = statistics.median(shares)
            print(f"\n{study}: six warm trials, beside steps, data and evaluation: {told}; median {middle:.1%}")


if __name__ == "__main__":
    main()
