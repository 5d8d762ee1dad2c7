"""``python -m tests.hostile KIND --seed S``: the acceptance run of a kind, or of all; a row of a table each."""

from __future__ import annotations

import argparse
import importlib
import platform
import re
import sys
import time
from importlib.metadata import version
from pathlib import Path

from tests.hostile.run import MOST_BYTES, MOST_SECONDS, Attempt, Tally, run_kind

_COLUMNS = (
    "kind", "seed", "cases", "right", "refused", "wrong", "tracebacks", f"> {MOST_SECONDS:.0f} s",
    f"> {MOST_BYTES / 1e9:.0f} GB", "slowest", "most memory",
)  # fmt: skip
_NAMED = ("levelfield", "torch", "numpy", "pyarrow", "pillow")


def main() -> None:
    asked = _asked()
    kinds = known_kinds() if asked.kind == "all" else [asked.kind]
    head = "\n".join((_where(), "", _row(_COLUMNS), _row(["---"] * len(_COLUMNS))))
    _put(head, asked.out)
    faults = 0
    for kind in kinds:
        count = asked.count or importlib.import_module(f"tests.hostile.{kind}").COUNT
        indices = range(count) if asked.only is None else range(asked.only, asked.only + 1)
        tally = run_kind(kind, indices, seed=asked.seed, workers=asked.workers, each=_progress(kind, len(indices)))
        faults += len(tally.faults)
        _put(_row(_cells(tally)), asked.out)
        if tally.faults:
            print(tally.told(), file=sys.stderr)
        if asked.only is not None:
            print("\n".join(f"{one.verdict}: {one.what}\n{one.trace}" for one in tally.attempts), file=sys.stderr)
    sys.exit(int(faults > 0))


def known_kinds() -> list[str]:
    """Every kind there is a module of."""
    paths = Path(__file__).parent.glob("*.py")
    return sorted(path.stem for path in paths if re.search(r"^COUNT\b", path.read_text(), re.MULTILINE))


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__)
    parser.add_argument("kind", choices=["all", *known_kinds()])
    parser.add_argument("--count", type=int, help="cases; the acceptance count of the kind when left out")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, metavar="INDEX", help="this case alone, with what it raised")
    parser.add_argument("--out", type=Path, help="also append the table to this file")
    parser.add_argument("--workers", type=int, default=1)
    return parser.parse_args()


def _where() -> str:
    versions = ", ".join(f"{name} {version(name)}" for name in _NAMED)
    return f"`python -m tests.hostile {' '.join(sys.argv[1:])}`, python {platform.python_version()}, {versions}"


def _cells(tally: Tally) -> list[str]:
    counts = [tally.count(verdict) for verdict in ("right", "refused", "wrong", "traceback", "slow", "large")]
    slowest = max(one.seconds for one in tally.attempts)
    largest = max(one.peak for one in tally.attempts)
    counted = map(str, (tally.seed, len(tally.attempts), *counts))
    return [tally.kind, *counted, f"{slowest:.1f} s", f"{largest / 1e9:.2f} GB"]


def _row(cells: list[str] | tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"


def _put(text: str, out: Path | None) -> None:
    print(text, flush=True)
    if out is not None:
        with out.open("a") as file:
            print(text, file=file)


def _progress(kind: str, count: int):
    """A line every half minute, for long runs."""
    begun, told, done = time.monotonic(), time.monotonic(), 0

    def tell(attempt: Attempt) -> None:
        nonlocal told, done
        done += 1
        if time.monotonic() - told > 30:
            told = time.monotonic()
            print(f"{kind}: {done} of {count} after {told - begun:.0f} s", file=sys.stderr)

    return tell


if __name__ == "__main__":
    main()
