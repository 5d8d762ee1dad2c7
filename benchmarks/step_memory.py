"""The memory that a training step takes on a CPU, ours beside timm's: the highest RSS, above that of the imports.

    python -m benchmarks.step_memory

Each variant in a process of its own, three steps of the NFNet of 4 M at 32 px with a batch of 128.
"""

from __future__ import annotations

import dataclasses
import resource
import subprocess
import sys
from pathlib import Path

STEPS = 3
VARIANTS = ("timm float32", "timm bfloat16", "plain float32", "lean float32", "plain bfloat16", "lean bfloat16")


def main() -> None:
    if len(sys.argv) == 2:
        print(_measured(sys.argv[1]))
        return
    found = {variant: int(_apart(variant)) for variant in VARIANTS}
    print("| step | MB above imports | of timm fp32 | of timm bf16 |\n|---|---|---|---|")
    for variant, own in found.items():
        shares = (own / found[f"timm {dtype}"] for dtype in ("float32", "bfloat16"))
        print(f"| {variant} | {own / 1024:.0f} | {' | '.join(f'{share:.2f}' for share in shares)} |")


def _apart(variant: str) -> str:
    command = [sys.executable, "-m", "benchmarks.step_memory", variant]
    folder = Path(__file__).parents[1]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


def _measured(variant: str) -> int:
    """KiB above the imports at the highest."""
    import timm  # noqa: F401 - an import of both
    import torch

    from benchmarks.training_step import MIDDLE, LeanOrPlain, Timms
    from levelfield.train.device import compute_as_recorded

    torch.set_num_threads(1)
    compute_as_recorded()
    net = dataclasses.replace(MIDDLE, batch=128)
    before = _highest()
    which, dtype = variant.split()
    if which == "timm":
        step = Timms(net, half=dtype == "bfloat16")
    else:
        step = LeanOrPlain(net, dtype="bfloat16" if dtype == "bfloat16" else "float32", lean=which == "lean")
    for _ in range(STEPS):
        step()
    return _highest() - before


def _highest() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main()
