"""The page of notation and the code say the same: files exist, symbols stand where the page says, none is missing."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/explanation/notation.md").read_text(encoding="utf-8")
SOURCE = ROOT / "src/levelfield"
NAMED = sorted(set(re.findall(r"`(scaling/[a-z_/]+\.py)`", PAGE)))


def rows(title: str) -> list[list[str]]:
    """The cells of the table below a heading."""
    section = PAGE.split(f"## {title}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


SYMBOLS = rows("Symbols")


def holds(text: str, symbol: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(symbol)}(?!\w)", text) is not None


def docstrings(path: Path) -> str:
    """All docstrings of a file, those below constants included."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    alone = (node.value for node in ast.walk(tree) if isinstance(node, ast.Expr))
    return "\n".join(node.value for node in alone if isinstance(node, ast.Constant) and isinstance(node.value, str))


def test_every_file_that_the_page_names_exists():
    others = re.findall(r"`((?:tests|benchmarks)/[a-z_/]+\.py)`", PAGE)
    assert len(NAMED) > 20
    assert [name for name in NAMED if not (SOURCE / name).exists()] == []
    assert [name for name in others if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("row", SYMBOLS, ids=lambda row: row[0])
def test_a_symbol_is_used_where_the_page_says(row):
    symbols, files = (re.findall(r"`([^`]+)`", cell) for cell in (row[0], row[-1]))
    text = "\n".join((SOURCE / name).read_text(encoding="utf-8") for name in files)
    assert symbols
    assert [symbol for symbol in symbols if not holds(text, symbol)] == []


def test_every_greek_letter_of_the_docstrings_is_on_the_page():
    known = {letter for row in SYMBOLS for letter in "".join(re.findall(r"`([^`]+)`", row[0]))}
    ours = {name: set(re.findall(r"[α-ωΑ-Ω]", docstrings(SOURCE / name))) - {"Σ"} for name in NAMED}
    assert sum(map(len, ours.values())) > 20
    assert {name: sorted(letters - known) for name, letters in ours.items() if letters - known} == {}


def test_every_table_names_a_file_in_each_row():
    for title in ("Symbols", "Estimands", "Assumptions, and what stands where one fails"):
        assert len(rows(title)) > 5
        assert [row[0] for row in rows(title) if not re.search(r"`scaling/[a-z_/]+\.py`", row[-1])] == []
