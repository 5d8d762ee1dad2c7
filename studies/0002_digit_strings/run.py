"""Study 0002 unattended: calibrate, run in pieces until done, retrain two cells on the CPU, export.

    python studies/0002_digit_strings/run.py [--device cuda] [--workers 8] [--minutes 44] [--study small.toml]

Kill it and start it again: it goes on. If the calibration says that the whole would take longer than ``--minutes``, the
highest searched rung is left out, and never a seed; the decision is made once and kept beside the study.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).parent
MOST_PIECES = 200
UNFINISHED = 75
AGREEMENT = 0.05
"""Share of loss by which a CPU's rerun may differ: two seeds of one trial differ by about 3 %."""


def levelfield(*arguments: object, capture: bool = False) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "levelfield", *map(str, arguments)]
    print("$ levelfield", *arguments, flush=True)
    return subprocess.run(command, text=True, stdout=subprocess.PIPE if capture else None, check=False)


def decided(study: Path, out: Path, *, device: str, workers: int, minutes: float) -> Path:
    """The study to run: as it is, or without its highest searched rung where that would take too long."""
    chosen = out / "chosen.toml"
    if chosen.exists():
        return chosen
    done = levelfield("plan", study, "--device", device, "--workers", workers, "--json", capture=True)
    if done.returncode:
        sys.exit(done.returncode)
    hours = json.loads(done.stdout)["seconds_at_most"] / workers / 3600
    text = study.read_text()
    said = f"{hours:.2f} hours at most with {workers} workers, {minutes / 60:.2f} allowed"
    if hours * 60 > minutes:
        budgets = tomllib.loads(text)["ladder"]["budgets"]
        kept = ", ".join(f"{budget:g}" for budget in budgets[:-1])
        text = re.sub(r"(?m)^budgets = \[.*\]$", f"budgets = [{kept}]", text, count=1)
        said += f": {budgets[-1]:g} is left out"
    print(said, flush=True)
    out.mkdir(parents=True, exist_ok=True)
    unfinished = out / "chosen.tmp"
    unfinished.write_text(f"# {said}\n{text}")
    unfinished.rename(chosen)
    return chosen


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--study", type=Path, default=HERE / "study.toml")
    options.add_argument("--dir", type=Path)
    options.add_argument("--device", default="cuda")
    options.add_argument("--workers", type=int, default=8)
    options.add_argument("--minutes", type=float, default=44.0)
    options.add_argument("--piece", default="9m")
    said = options.parse_args()
    study = said.study if said.study.exists() else HERE / said.study
    out = said.dir or Path("runs") / tomllib.loads(study.read_text())["name"]
    chosen = decided(study, out, device=said.device, workers=said.workers, minutes=said.minutes)
    code = UNFINISHED
    for _ in range(MOST_PIECES):
        code = levelfield(
            "run", chosen, "--dir", out, "--workers", said.workers, "--device", said.device, "--for", said.piece
        ).returncode
        if code != UNFINISHED:
            break
    if code:
        sys.exit(code)
    agreed = levelfield("verify", out, "--sample", 2, "--device", "cpu", "--tolerance", AGREEMENT).returncode
    levelfield("export", out, out / "export")
    sys.exit(agreed)


if __name__ == "__main__":
    main()
