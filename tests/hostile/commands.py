"""Verbs with options, files and surroundings that nobody meant.

The oracle: a value that an option cannot mean is refused, one that it can is answered or refused; whatever happens ends
by a code of the table in docs/explanation/faults.md, with a sentence where it is not 0.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import NamedTuple

import levelfield.cli.app
import levelfield.study.execute.backbones
import levelfield.study.execute.probe
import levelfield.study.verify  # noqa: F401
from tests.conftest import TINY_STUDY
from tests.hostile.answered import Answer, answer

COUNT = 400

NUMBERS = (
    "nan", "inf", "-inf", "1e999", "-1e999", "-1", "0", "-0", "1e-320", "1,5", "1.000,5", "1_0", "٣", "0x10", "", " ",
    "9" * 5000, "1e308", "true", "None", "1+2j", "12e", "½", "0.5", "7", "1e19", "--", "1e19 FLOPs",
)  # fmt: skip
WORDS = (
    "", " ", "..", "../..", "/", "~", "~nobody-here/x", "-", "a" * 5000, "\x1b[2J", "caf\udce9", "{}", "%s%n", "\n",
    "nfnet:", "vit:w8", "nfnet:w8-d1x1,x=1", "\u202e", "None", "*", "?[", "NFNET:F0", "a=b=c", "=", "'", "$HOME",
)  # fmt: skip


class Option(NamedTuple):
    """An option of a verb, and what it can mean."""

    verb: str
    name: str
    others: tuple[str, ...]
    allows: Callable[[str], bool]


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _positive(text: str) -> bool:
    return 1e-60 <= _number(text) <= 1e60


def _whole(text: str) -> bool:
    return re.fullmatch(r"\s*\+?\d[\d_]*\s*", text) is not None and len(text) < 4000 and int(text) >= 1


def _share(text: str) -> bool:
    return 0 < _number(text) < 1


_TABLE = ("--compute", "flops", "--loss", "val_loss", "--family", "arch")
_NEXT = (*_TABLE, "--target", "1e21", "--spend", "1e20")
_TIMED = ("nfnet:F0", "--examples", "1e9", "--device", "h100-sxm")
NUMERIC = (
    Option("count", "--examples", ("nfnet:F0",), _positive),
    Option("count", "--resolution", ("nfnet:F0",), _whole),
    Option("count", "--num-classes", ("vit:B/16",), _whole),
    Option("count", "--in-channels", ("vit:B/16",), _whole),
    Option("count", "--utilisation", _TIMED, lambda text: 0 < _number(text) <= 1),
    Option("predict", "--budget", ("runs.csv", *_TABLE), _positive),
    Option("fit", "--level", ("runs.csv", *_TABLE), _share),
    Option("fit", "--recency", ("runs.csv", *_TABLE), lambda text: math.isfinite(_number(text)) and _number(text) >= 0),
    Option("fit", "--delta", ("runs.csv", *_TABLE), lambda text: 0 < _number(text) < math.inf),
    Option("compare", "--margin", ("runs.csv", *_TABLE), _share),
    Option("next", "--target", ("runs.csv", *_TABLE, "--spend", "1e20"), _positive),
    Option("next", "--spend", ("runs.csv", *_TABLE, "--target", "1e21"), _positive),
    Option("plan", "--workers", ("study.toml", "--no-calibrate"), _whole),
    Option("run", "--workers", ("nowhere.toml",), lambda text: False),
    Option("run", "--checkpoint-every", ("nowhere.toml",), lambda text: False),
    Option("run", "--for", ("nowhere.toml",), lambda text: False),
    Option("verify", "--sample", ("nowhere",), lambda text: False),
    Option("verify", "--tolerance", ("nowhere",), lambda text: False),
    Option("finetune", "--resolution", ("nowhere", "--data", "digits"), lambda text: False),
    Option("classify", "--top", ("nowhere", "nothing.jpg"), lambda text: False),
)


def _never(text: str) -> bool:
    return False


def _any(text: str) -> bool:
    return True


WORDED = (
    Option("fit", "--loss", ("runs.csv",), _never),
    Option("fit", "--form", ("runs.csv", *_TABLE), _never),
    Option("fit", "--where", ("runs.csv", *_TABLE), _never),
    Option("compare", "--confound", ("runs.csv", *_TABLE), _never),
    Option("next", "--want", ("runs.csv", *_NEXT), _never),
    Option("next", "--about", ("runs.csv", *_NEXT), _any),
    Option("plan", "--data", ("study.toml", "--no-calibrate"), _never),
    Option("count", "--device", ("nfnet:F0", "--examples", "1e9"), _never),
    Option("run", "--retry", ("study.toml",), _never),
    Option("run", "--for", ("study.toml",), _never),
    Option("reference", "--figure", (), _never),
    Option("import", "--name", ("runs.csv", "nowhere", "--source", "me"), _never),
    Option("convert", "--to", ("nowhere", "out"), _never),
    Option("finetune", "--data", ("nowhere", "--resolution", "8"), _never),
    Option("probe", "--data", ("nowhere", "--resolution", "8"), _never),
    Option("evaluate", "--data", ("nowhere",), _never),
)
PLACES = {
    "fit": (), "predict": ("--budget", "1e20"), "compare": (), "next": ("--target", "1e21", "--spend", "1e20"),
    "plan": ("--no-calibrate",), "run": ("--for", "1s"),
    "status": (), "report": (), "verify": (), "evaluate": (), "classify": ("nothing.jpg",), "convert": ("out",),
    "export": ("out",), "import": ("nowhere", "--source", "me"), "probe": ("--data", "digits", "--resolution", "8"),
    "finetune": ("--data", "digits", "--resolution", "8"), "count": (),
}  # fmt: skip
"""Every verb that reads a place, and what else it needs; none of the places below holds anything for it."""

SURROUNDINGS = (
    {}, {"COLUMNS": "0"}, {"COLUMNS": "1"}, {"COLUMNS": "wide"}, {"TERM": "dumb"}, {"NO_COLOR": "1"}, {"HOME": ""},
    {"TZ": "Nowhere/Never"}, {"HOME": "/nowhere"}, {"LANG": "C"},
    {"LC_ALL": "tr_TR.ISO-8859-9"}, {"TMPDIR": "/nowhere"},
)  # fmt: skip


def attempt(seed: int, index: int, folder: Path) -> str:
    draw = Random(f"{seed}/{index}")
    os.chdir(folder)
    _lay(folder)
    kind = draw.choice((_option, _option, _place, _study))
    command, allowed = kind(draw, folder)
    given = answer(*command, environment=draw.choice(SURROUNDINGS))
    return _judged(given, command, allowed=allowed)


def _judged(given: Answer, command: list[str], *, allowed: bool) -> str:
    if given.complaint:
        return f"wrong: {given.complaint}"
    if given.code == 0 and not allowed:
        return f"wrong: {[word[:40] for word in command]} was answered: {given.out[:80]!r}"
    return "refused" if given.code else "right"


def _option(draw: Random, folder: Path) -> tuple[list[str], bool]:
    """A verb with one option that was given something odd, as ``--name value`` or ``--name=value``."""
    words = draw.random() < 0.4
    option, value = draw.choice(WORDED if words else NUMERIC), draw.choice(WORDS if words else NUMBERS)
    given = [option.name, value] if draw.random() < 0.5 else [f"{option.name}={value}"]
    return [option.verb, *option.others, *given], option.allows(value)


def _place(draw: Random, folder: Path) -> tuple[list[str], bool]:
    """A verb that is pointed at something it cannot read."""
    verb = draw.choice(list(PLACES))
    place = draw.choice(
        (*WORDS, "empty", "folder", "loop", "noise", "/dev/null", "deep", "x" * 300, "/proc/self/mem", "cut.npz")
    )
    return [verb, place, *PLACES[verb]], False


def _study(draw: Random, folder: Path) -> tuple[list[str], bool]:
    """A study whose file is no TOML, or holds a value of another kind."""
    text = TINY_STUDY
    lines = text.splitlines()
    kind = draw.choice(("value", "value", "bytes", "deep", "encoding", "cut"))
    content, allowed = text.encode(), False
    if kind == "value":
        place = draw.choice([at for at, line in enumerate(lines) if "=" in line])
        odd = draw.choice((
            "nan", "-inf", "1e999", "-1", "1979-05-27", "07:32:00", "true", '""', "{}", "[[]]", "[{}]", "[nan]", "[-1]",
            "9223372036854775808", '"../../x"', '"\\u0000"', "{ low = nan, start = 1, high = 2 }", "'''\n\n'''",
        ))  # fmt: skip
        lines[place] = f"{lines[place].split('=')[0]}= {odd}"
        content, allowed = "\n".join(lines).encode(), lines[place].startswith(("question", "name"))
    elif kind == "bytes":
        at = draw.randrange(len(content))
        content = content[:at] + draw.randbytes(draw.choice((1, 8))) + content[at:]
        allowed = True  # it may lie in a comment or a word
    elif kind == "deep":
        mark, end = draw.choice((("[", "]"), ("{a=", "}"), ("[", "")))
        content = f"x = {mark * 3000}{end * 3000}".encode()
    elif kind == "encoding":
        encoding = draw.choice(("utf-8-sig", "utf-16", "utf-32", "cp1252"))
        content = text.replace("Does", "D\u00f6s").encode(encoding)
        allowed = encoding == "utf-8-sig"
    else:
        content = content[: draw.randrange(len(content) - 200)]
    Path("odd.toml").write_bytes(content)
    return ["plan", "odd.toml", "--no-calibrate"], allowed


def _lay(folder: Path) -> None:
    """What commands find in their directory."""
    (folder / "study.toml").write_text(TINY_STUDY)
    rows = [f"{family},{10**exponent},{3 - 0.1 * exponent + 0.05 * (family == 'vit')}" for family in ("cnn", "vit")
            for exponent in range(16, 21)]  # fmt: skip
    (folder / "runs.csv").write_text("\n".join(("arch,flops,val_loss", *rows)))
    (folder / "empty").touch()
    (folder / "folder").mkdir()
    (folder / "loop").symlink_to("loop")
    (folder / "noise").write_bytes(Random(0).randbytes(2000))
    (folder / "cut.npz").write_bytes(b"PK\x03\x04" + bytes(60))
    (folder / "deep").write_text("[" * 100_000)
