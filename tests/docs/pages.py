"""Pages whose code runs: every ``python`` block in turn, its output in the ``text`` block that follows it.

``python -m tests.docs.pages docs/tutorial/laws.md`` runs a page and writes its outputs anew.
"""

from __future__ import annotations

import contextlib
import io
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"^```python\n(?P<code>.*?)^```\n(?:\n```text\n(?P<output>.*?)^```\n)?", re.MULTILINE | re.DOTALL)
_NUMBER = re.compile(r"(?<![\w.])[-+−]?\d[\d,]*(?:\.\d+)?")


@dataclass(frozen=True, kw_only=True)
class Ran:
    """A block: what the page says it prints, and what it printed; ``line`` is where it stands."""

    line: int
    said: str
    printed: str


def run_page(path: Path) -> Iterator[Ran]:
    """Run the blocks of a page in one namespace, from the root of the repository."""
    text = path.read_text(encoding="utf-8")
    namespace: dict[str, Any] = {"__name__": "__page__"}
    with contextlib.chdir(ROOT):
        for block in _BLOCK.finditer(text):
            line = text.count("\n", 0, block.start()) + 2
            printed = io.StringIO()
            # Padded, so that a traceback names the page's own line.
            code = compile("\n" * (line - 1) + block["code"], str(path), "exec")
            with contextlib.redirect_stdout(printed):
                exec(code, namespace)
            yield Ran(line=line, said=block["output"] or "", printed=printed.getvalue())


def written_anew(path: Path) -> str:
    """The page with the outputs that its code has now."""
    ran = run_page(path)

    def renewed(block: re.Match[str]) -> str:
        printed = next(ran).printed
        output = f"\n```text\n{printed}```\n" if printed else ""
        return f"```python\n{block['code']}```\n{output}"

    return _BLOCK.sub(renewed, path.read_text(encoding="utf-8"))


def numbers_in(text: str) -> list[str]:
    """The numbers written in ``text``, one form each: no signs but a minus, no separators, no trailing zeros."""
    found = []
    for number in _NUMBER.findall(text.replace("\u202f", " ")):
        plain = number.replace(",", "").replace("−", "-").lstrip("+")
        found.append(f"{float(plain):.10g}")
    return found


def prose_of(text: str) -> str:
    """A page without its code, links' targets, arXiv numbers and headings."""
    text = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"`[^`]*`", "", text)
    text = re.sub(r"\]\([^)]*\)", "]", text)
    text = re.sub(r"\b\d{4}\.\d{5}\b", "", text)
    return re.sub(r"^#.*$", "", text, flags=re.MULTILINE)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        page = Path(name)
        page.write_text(written_anew(page), encoding="utf-8")
