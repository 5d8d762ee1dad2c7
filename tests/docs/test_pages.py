"""The documents' numbers are the code's: pages run, and prose says nothing that the code does not print."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, numbers_in, prose_of, run_page, written_anew

EVIDENCE = ROOT / "docs/explanation/published-evidence.md"
MEASURED_BY_TESTS = {"84", "93", "-93"}
"""Coverage, which tests/reference/test_resampled.py measures and the command does not print."""


@pytest.mark.slow
def test_every_number_of_the_evidence_page_is_printed_by_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "levelfield", "reference"], capture_output=True, text=True, check=True)
    printed = set(numbers_in(done.stdout)) | {"0", "1"} | MEASURED_BY_TESTS
    said = numbers_in(prose_of(EVIDENCE.read_text(encoding="utf-8")))
    assert len(said) > 100
    # A bound may stand without its sign where words say on which side it lies.
    unsaid = [number for number in said if not {number, f"-{number}", number.lstrip("-")} & printed]
    assert unsaid == []


@pytest.mark.slow
def test_the_figure_of_the_docs_is_what_the_code_draws(tmp_path: Path) -> None:
    """Its words and its labels, whose numbers are the data's; the bytes depend on the machine's fonts."""
    path = tmp_path / "published.svg"
    subprocess.run([sys.executable, "-m", "levelfield", "reference", "--figure", str(path)], check=True)
    drawn, kept = (words(svg.read_text()) for svg in (path, ROOT / "docs/figures/published.svg"))
    assert drawn == kept, "draw it anew: levelfield reference --figure docs/figures/published.svg"
    assert len(drawn) > 150


def words(svg: str) -> list[str]:
    return re.findall(r">([^<>\n]+)</text>", svg) + re.findall(r'aria-label="([^"]+)"', svg)


COMMANDS = ROOT / "docs/tutorial/photos.md"
"""Followed in tests/docs/test_commands.py."""
TUTORIALS = [page for page in sorted((ROOT / "docs/tutorial").glob("*.md")) if page != COMMANDS]
RUN = (*TUTORIALS, ROOT / "docs/how-to/notebook.md")


@pytest.mark.parametrize("page", RUN, ids=lambda path: path.name)
def test_every_block_of_a_page_that_runs_prints_what_the_page_says(page: Path) -> None:
    ran = list(run_page(page))
    assert len(ran) > 3
    for block in ran:
        assert block.printed == block.said, f"{page}:{block.line}; write it anew: python -m tests.docs.pages {page}"


def test_a_page_that_is_written_anew_holds_what_its_code_prints(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A\n\n```python\nx = 2\nprint(x + 1)\n```\n\n```text\nfour\n```\n\n```python\ny = x\n```\n")
    assert [(block.said, block.printed) for block in run_page(page)] == [("four\n", "3\n"), ("", "")]
    page.write_text(written_anew(page))
    assert [(block.said, block.printed) for block in run_page(page)] == [("3\n", "3\n"), ("", "")]
    assert written_anew(page) == page.read_text()


def test_numbers_are_compared_in_one_form() -> None:
    assert numbers_in("2,537 exaFLOPs, −9.40 % [−20, +2.9], w64-d3, 384 px") == ["2537", "-9.4", "-20", "2.9", "384"]
