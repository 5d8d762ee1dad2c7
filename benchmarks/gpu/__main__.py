"""What a GPU shows in a quarter of an hour: is it right, how fast is it, and as much of study 0002 as there is time.

    python -m benchmarks.gpu [right] [speed] [study] [--device cuda] [--minutes 4] [--out DIR] [--state FILE]
        [--work DIR] [--only WORDS] [--toy]

Every row is printed, and written to DIR, as soon as it is known; a row that fails says so and the next goes on. The
code is 1 where a row failed or is wrong, 0 else. ``--toy --device cpu`` tries all of it in a minute.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

SETS = ("right", "speed", "study")


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("sets", nargs="*", metavar="set", help=f"of {', '.join(SETS)}; all when left out")
    options.add_argument("--device", default="cuda", help="cuda or cpu")
    options.add_argument("--minutes", type=float, default=4.0, help="for each set")
    options.add_argument("--toy", action="store_true", help="the sizes of a dry run")
    options.add_argument("--out", type=Path, default=Path("runs/gpu"), help="where tables and the study's state go")
    options.add_argument("--state", type=Path, help="a study-0002.tar.xz to go on from")
    options.add_argument("--only", action="append", default=[], help="words: only rows that hold one of them")
    options.add_argument("--work", type=Path, help="where the study lives; runs/<its name> when left out")
    said = options.parse_args()
    if unknown := [name for name in said.sets if name not in SETS]:
        options.error(f"the sets are {', '.join(SETS)}; saw {', '.join(unknown)}")

    from benchmarks.gpu import right, speed, study
    from benchmarks.gpu.rows import Deadline, Setting, Table, exit_code
    from levelfield.records.errors import SpecError
    from levelfield.train.device import resolve_device

    try:
        device = resolve_device(said.device)
    except SpecError as error:
        options.error(str(error))
    setting = Setting(
        device=device, toy=said.toy, out=said.out, state=said.state, work=said.work, only=tuple(said.only)
    )
    rows = {"right": right.rows, "speed": speed.rows, "study": study.rows}
    verdicts = []
    for name in said.sets or SETS:
        deadline = Deadline(60 * said.minutes)
        table = Table(name, setting, deadline)
        for row in rows[name](setting, deadline):
            if setting.asks_for(row.title):
                table.take(row)
        verdicts += table.verdicts
        print(flush=True)
    counts = ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in dict.fromkeys(verdicts))
    print(f"{len(verdicts)} rows: {counts}", flush=True)
    return exit_code(verdicts)


if __name__ == "__main__":
    sys.exit(main())
