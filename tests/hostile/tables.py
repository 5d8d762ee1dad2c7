"""Tables of runs as others write them, and damaged ones, through ``fit``, ``predict`` and ``compare``.

The oracle: a table written in another way gives the rows and the numbers of the plain one; a damaged table is refused,
or its damaged rows are said to be left out and the others are those of the table without them. Rows are compared in
every case, the answers of the verbs to them in one of ``_ASKED``.
"""

from __future__ import annotations

import csv
import dataclasses
import functools
import gzip
import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from levelfield.records.codec import to_plain
from levelfield.records.errors import LevelfieldError
from levelfield.scaling.tables.runs import read_runs
from tests.hostile.answered import Answer, answer

COUNT = 1000
_NUM_PLANTED = 6
_ASKED = 8
_COLUMNS = ("--compute", "flops", "--loss", "val_loss", "--family", "arch", "--role", "role", "--seed", "seed",
            "--params", "size", "--examples", "seen")  # fmt: skip
_VERBS = (("fit",), ("predict", "--budget", "3e20"), ("compare",))
_NUMBERS = ("flops", "val_loss", "size", "seen", "seed")
_NAMES: tuple[str, ...] = ("run", "arch", "role", "seed", "flops", "val_loss", "size", "seen")

Row = dict[str, Any]


def planted(number: int) -> list[Row]:
    """Two families on five budgets: four sizes each, three seeds of the best; the losses follow a law, with noise."""
    draw = Random(f"planted {number}")
    rows = []
    for family in ("convnet", "vit"):
        scale, power, floor = draw.uniform(1, 3), draw.uniform(0.1, 0.3), draw.uniform(0.5, 1.5)
        for budget in (1e18, 3e18, 1e19, 3e19, 1e20):
            best = 1e7 * (budget / 1e18) ** 0.5 * draw.uniform(0.8, 1.25)
            law = (budget, scale, power, floor, best)
            rows += [_row(draw, family, "search", 0, *law, factor) for factor in (0.25, 0.6, 1.5, 4.0)]
            rows += [_row(draw, family, "winner", seed, *law, 1.0) for seed in (1, 2, 3)]
    return rows


def _row(
    draw: Random, family: str, role: str, seed: int, budget: float, scale: float, power: float, floor: float,
    best: float, factor: float,
) -> Row:  # fmt: skip
    off = 0.05 * math.log(factor) ** 2 + draw.gauss(0, 0.002)
    loss = (floor + scale * (budget / 1e18) ** -power) * math.exp(off)
    size = best * factor
    name = f"{family}-{budget:.0e}-{factor}-{seed}"
    return dict(zip(_NAMES, (name, family, role, seed, budget, loss, size, budget / 6 / size), strict=True))


def attempt(seed: int, index: int, folder: Path) -> str:
    draw = Random(f"{seed}/{index}")
    number, verb = draw.randrange(_NUM_PLANTED), draw.choice(_VERBS)
    rows = planted(number)
    if draw.random() < 0.5:
        path = harmless(draw, rows, folder)
        if place := difference(read(path), read(_beside(path, rows))):
            return f"wrong: written otherwise: {place}"
        return "right" if index % _ASKED else _same(ask(verb, path), _plain(number, verb), "written otherwise")
    damage = draw.choice((_of_cells, _of_shape, _of_bytes))
    return damage(draw, number, verb, rows, folder)


# What changes nothing


def harmless(draw: Random, rows: list[Row], folder: Path) -> Path:
    """``rows`` as somebody else would have written them."""
    names = list(_NAMES)
    if draw.random() < 0.5:
        draw.shuffle(names)
    if draw.random() < 0.5:
        rows = draw.sample(rows, len(rows))
    if draw.random() < 0.3:
        names.insert(draw.randrange(len(names)), "note")
        rows = [row | {"note": draw.choice(("", "as planned", "3,5; \t", 'said "so"'))} for row in rows[:1]] + [
            row | {"note": ""} for row in rows[1:]
        ]
        rows = [row | {"note": rows[0]["note"]} for row in rows]
    if draw.random() < 0.25:
        return _as_parquet(draw, names, rows, folder / "runs.parquet")
    if draw.random() < 0.15:
        ordered = [{name: row[name] for name in names} for row in rows]
        path = folder / "runs.json"
        path.write_text(draw.choice((json.dumps, lambda given: "\n".join(map(json.dumps, given))))(ordered))
        return path
    text = _as_text(draw, names, rows)
    content = text.encode("utf-8-sig" if draw.random() < 0.3 else "utf-8")
    path = folder / draw.choice(("runs.csv", "runs.tsv", "runs", "läufe 1.csv"))
    path.write_bytes(gzip.compress(content) if draw.random() < 0.2 else content)
    return path


def _as_text(draw: Random, names: list[str], rows: list[Row]) -> str:
    file = io.StringIO()
    end = draw.choice(("\n", "\r\n", "\r"))
    delimiter = draw.choice(",;\t")
    quoting = draw.choice((csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC))
    writer = csv.writer(file, delimiter=delimiter, lineterminator=end, quoting=quoting)
    pad = draw.choice(("", "", " ", "  "))
    writer.writerow([f"{pad}{name}{pad}" for name in names])
    number = _number_format(draw, grouped=True)
    for row in rows:
        writer.writerow([f"{pad}{_cell(row[name], number)}{pad}" for name in names])
        if draw.random() < 0.02:
            file.write(end)
    text = file.getvalue()
    return text.removesuffix(end) if draw.random() < 0.3 else text + end * draw.choice((0, 0, 1, 3))


def _number_format(draw: Random, *, grouped: bool) -> Callable[[float], str]:
    def exactly(value: float) -> str:
        return f"{value:.17e}"

    formats: list[Callable[[float], str]] = [repr, exactly, lambda v: exactly(v).upper(), lambda v: f"+{v!r}"]
    if grouped:
        formats.append(lambda v: f"{int(v):,}" if v >= 1e6 and v == int(v) else repr(v))
    return draw.choice(formats)


def _cell(value: Any, number: Callable[[float], str]) -> str:
    return number(value) if isinstance(value, float) else str(value)


def _as_parquet(draw: Random, names: list[str], rows: list[Row], path: Path) -> Path:
    arrays = {}
    for name in names:
        values = [row[name] for row in rows]
        array = pa.array(values)
        if isinstance(values[0], str) and draw.random() < 0.5:
            array = array.dictionary_encode()
        elif isinstance(values[0], float) and draw.random() < 0.2:
            array = pa.array([repr(value) for value in values])
        elif isinstance(values[0], int) and draw.random() < 0.5:
            array = array.cast(draw.choice((pa.int8(), pa.uint16(), pa.int32())))
        arrays[name] = array
    compression = draw.choice(("snappy", "zstd", "gzip", "none"))
    pq.write_table(
        pa.table(arrays), path, compression=compression, row_group_size=draw.choice((7, 1000)),
        write_page_checksum=True, data_page_version=draw.choice(("1.0", "2.0")),
    )  # fmt: skip
    return path


# What does


def _of_cells(draw: Random, number: int, verb: tuple[str, ...], rows: list[Row], folder: Path) -> str:
    """Some cells hold no number; where they are losses that may be dropped, they are, and that is said."""
    name = draw.choice(_NUMBERS)
    hurt = sorted(draw.sample(range(len(rows)), draw.choice((1, 1, 2, 5))))
    diverged = name == "val_loss" and draw.random() < 0.5
    junk = ("nan", "", "inf", "-inf", "NaN") if diverged else (
        "abc", "#REF!", "1,5", "1.234,5", "0x1p3", "1e999", "-3", "1+2j", "12 %", "2024-01-01", "1e-200", "½", "1 000",
        "9" * 5000,
    )  # fmt: skip
    damaged = [row | ({name: draw.choice(junk)} if index in hurt else {}) for index, row in enumerate(rows)]
    if name == "seed":
        damaged = [row if row["seed"] != "-3" else row | {"seed": "x"} for row in damaged]
    options = ["--drop-diverged"] if diverged and draw.random() < 0.7 else []
    path = folder / "runs.csv"
    path.write_text(_as_text(draw, list(_NAMES), damaged))
    if not options:
        return _refused(ask(verb, path), f"{[damaged[i][name] for i in hurt]} as {name}")
    kept = _beside(path, [row for index, row in enumerate(rows) if index not in hurt])
    found, plain = read(path, dropped=len(hurt)), read(kept)
    for row in (*found, *plain):  # what diverged was tried all the same, so that it may bracket a winner
        del row["edges"]
    if place := difference(found, plain):
        return f"wrong: damaged rows left out: {place}"
    if draw.randrange(_ASKED):
        return "right"
    return _same(ask(verb, path, *options), ask(verb, kept), "damaged rows left out")


def _of_shape(draw: Random, number: int, verb: tuple[str, ...], rows: list[Row], folder: Path) -> str:
    """A table that lacks a column, names one twice, has a row too long or cut, or is another kind of file."""
    lines = _written(rows).splitlines()
    kind = draw.choice(
        ("lacks", "twice", "long", "cut", "headless", "empty", "header", "json", "jsonl", "utf16", "nul")
    )
    place = draw.randrange(1, len(lines))
    name = draw.choice(("flops", "val_loss", "arch", "size"))
    content: bytes | None = None
    if kind == "lacks":
        lines[0] = lines[0].replace(name, "other")
    elif kind == "twice":
        lines[0] = lines[0].replace("seed", name)
    elif kind == "long":
        lines[place] += ",5"
    elif kind == "cut":
        lines[place] = ",".join(lines[place].split(",")[: draw.randrange(1, 6)])
    elif kind == "headless":
        del lines[0]
    elif kind == "header":
        del lines[1:]
    else:
        content = {
            "empty": b"",
            "json": json.dumps([list(row.values()) for row in rows]).encode(),
            "jsonl": "\n".join(map(json.dumps, rows)).encode()[:-5],
            "utf16": "\n".join(lines).encode("utf-16"),
            "nul": "\n".join(lines).replace("convnet", "conv\0net", 1).replace("search", "se\0", 1).encode(),
        }[kind]
    path = folder / "runs.csv"
    path.write_bytes("\n".join(lines).encode() if content is None else content)
    return _refused(ask(verb, path), kind)


def _of_bytes(draw: Random, number: int, verb: tuple[str, ...], rows: list[Row], folder: Path) -> str:
    """A Parquet or gzip file, whose format has sums to check by, that was cut, overwritten or flipped."""
    path = folder / "runs"
    if draw.random() < 0.5:
        _as_parquet(draw, list(_NAMES), rows, path)
    else:
        path.write_bytes(gzip.compress(_written(rows).encode()))
    content = bytearray(path.read_bytes())
    kind = draw.choice(("cut", "flipped", "zeroed", "appended"))
    place = draw.randrange(len(content))
    if kind == "cut":
        del content[place:]
    elif kind == "flipped":
        for _ in range(draw.choice((1, 3, 30))):
            content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    elif kind == "zeroed":
        content[place : place + 40] = bytes(len(content[place : place + 40]))
    else:
        content += draw.randbytes(draw.choice((1, 100)))
    path.write_bytes(content)
    try:
        seen = read(path)
    except LevelfieldError:
        return _refused(ask(verb, path), kind)
    place = difference(seen, read(_beside(path, rows)))
    return f"wrong: a file {kind}: {place}" if place else "right"


# The oracle


def _beside(path: Path, rows: list[Row]) -> Path:
    """The plain table of ``rows``, beside ``path``."""
    plain = path.with_name("plain.csv")
    plain.write_text(_written(rows))
    return plain


def read(path: Path, *, dropped: int = 0) -> list[Any]:
    """The rows that the library reads, by the names of their runs; so many rows are said to be left out."""
    columns = {"compute": "flops", "loss": "val_loss", "family": "arch", "role": "role", "seed": "seed",
               "params": "size", "examples": "seen", "run": "run"}  # fmt: skip
    runs = read_runs(path, columns=columns, drop_diverged=dropped > 0)
    said = any(f"{dropped} of {dropped + len(runs.rows)} rows are left out" in notice for notice in runs.notices)
    assert said == (dropped > 0), runs.notices
    return [to_plain(dataclasses.replace(row, traits=())) for row in sorted(runs.rows, key=lambda row: row.run)]


def ask(verb: tuple[str, ...], path: Path, *options: str) -> Answer:
    return answer(verb[0], path, *_COLUMNS, *verb[1:], *options, "--json")


@functools.cache
def _plain(number: int, verb: tuple[str, ...]) -> Answer:
    """The answer to the planted table, written plainly."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="hostile-") as folder:
        return ask(verb, _beside(Path(folder) / "runs.csv", planted(number)))


def _written(rows: list[Row]) -> str:
    file = io.StringIO()
    writer = csv.DictWriter(file, list(_NAMES), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def _refused(given: Answer, what: str) -> str:
    if given.complaint:
        return f"wrong: {given.complaint}"
    return "refused" if given.code == 2 else f"wrong: {what[:100]} was taken, exit code {given.code}"


def _same(given: Answer, expected: Answer, what: str) -> str:
    """Right where both give the same numbers; a damaged file may be refused instead."""
    if given.complaint:
        return f"wrong: {given.complaint}"
    if given.code == 2 and "left out" not in what and what != "written otherwise":
        return "refused"
    if given.code != expected.code:
        return f"wrong: {what}: exit code {given.code} for {expected.code}: {given.errors[-200:]}"
    if given.code == 2:
        return "refused"
    seen, plain = json.loads(given.out), json.loads(expected.out)
    place = difference(seen, plain)
    return f"wrong: {what}: {place}" if place else "right"


_OF_THE_FILE = ("notices", "notes", "sentence", "sentences", "refusals", "headline")


def difference(seen: Any, plain: Any, place: str = "answer") -> str:
    """Where two answers differ by more than 1e-9 of a number; empty where nowhere. What names the file may differ."""
    if isinstance(seen, dict) and isinstance(plain, dict):
        if seen.keys() != plain.keys():
            return f"{place} has {sorted(seen)} for {sorted(plain)}"
        named = (difference(seen[key], plain[key], f"{place}.{key}") for key in seen if key not in _OF_THE_FILE)
        return next(filter(None, named), "")
    if isinstance(seen, list) and isinstance(plain, list):
        if len(seen) != len(plain):
            return f"{place} has {len(seen)} for {len(plain)}"
        pairs = enumerate(zip(seen, plain, strict=True))
        return next(filter(None, (difference(one, other, f"{place}.{at}") for at, (one, other) in pairs)), "")
    if isinstance(seen, float) and isinstance(plain, (int, float)):
        return "" if math.isclose(seen, plain, rel_tol=1e-9, abs_tol=1e-12) else f"{place} is {seen!r} for {plain!r}"
    return "" if seen == plain else f"{place} is {seen!r} for {plain!r}"
