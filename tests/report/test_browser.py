"""The page in a real browser, offline: silent, fitting, alive, printable."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@contextmanager
def opened(browser: Browser, path: Path, width: int, *, scripts: bool = True) -> Iterator[tuple[Page, list[str]]]:
    """The page at ``width``, and a list of everything it complained of or asked for."""
    context = browser.new_context(
        viewport={"width": width, "height": 844}, offline=True, java_script_enabled=scripts, reduced_motion="reduce"
    )
    page = context.new_page()
    heard: list[str] = []
    page.on("console", lambda message: heard.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: heard.append(f"error: {error}"))
    page.on("request", lambda request: heard.append(f"request: {request.url}"))
    page.goto(path.as_uri())
    yield page, heard
    context.close()


@pytest.mark.parametrize("width", [360, 1280])
def test_the_page_makes_no_request_and_no_complaint(browser: Browser, page_path: Path, width: int) -> None:
    with opened(browser, page_path, width) as (page, heard):
        page.mouse.wheel(0, 4000)
        assert heard == [f"request: {page_path.as_uri()}"]


def test_nothing_overflows_sideways_even_with_everything_unfolded(browser: Browser, page_path: Path) -> None:
    with opened(browser, page_path, 360) as (page, _):
        page.evaluate("document.querySelectorAll('details').forEach(details => details.open = true)")
        for width in (360, 390, 768, 1280):
            page.set_viewport_size({"width": width, "height": 844})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            boxes = "Array.from(document.querySelectorAll('.panel'), panel => panel.getBoundingClientRect().right)"
            assert max(page.evaluate(boxes)) <= width


def test_a_point_shows_its_words_on_hover_and_hides_them_again(browser: Browser, page_path: Path) -> None:
    with opened(browser, page_path, 1280) as (page, heard):
        point = page.locator("#loss svg [role='graphics-symbol'][aria-label*='3 seeds']").last
        words = point.get_attribute("aria-label")
        point.scroll_into_view_if_needed()
        point.hover()
        tooltip = page.locator("#tooltip")
        assert tooltip.is_visible()
        assert tooltip.text_content() == words
        assert "loss" in (words or "")
        page.mouse.move(2, 2)
        assert not tooltip.is_visible()
        assert [line for line in heard if line.startswith("error")] == []


def test_a_tap_near_a_point_is_enough_on_a_phone(browser: Browser, page_path: Path) -> None:
    with opened(browser, page_path, 360) as (page, _):
        point = page.locator("#loss svg [role='graphics-symbol'][aria-label*='3 seeds']").last
        point.scroll_into_view_if_needed()
        box = point.bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] + 6)
        tooltip = page.locator("#tooltip")
        tooltip.wait_for(state="visible")
        place = tooltip.bounding_box()
        assert place is not None
        assert place["x"] >= 0
        assert place["x"] + place["width"] <= 360


def test_a_heading_sorts_its_column_by_value(browser: Browser, page_path: Path) -> None:
    with opened(browser, page_path, 1280) as (page, _):
        page.evaluate("document.querySelectorAll('details').forEach(details => details.open = true)")
        heading = page.locator("#trials table").first.locator("th", has_text="Loss")
        rows = "document.querySelector('#trials table').tBodies[0].rows"
        cells = f"Array.from({rows}, row => Number(row.cells[8].dataset.value))"
        heading.locator("button").click()
        assert heading.get_attribute("aria-sort") == "ascending"
        rising = page.evaluate(cells)
        assert rising == sorted(rising)
        heading.locator("button").click()
        assert page.evaluate(cells) == sorted(rising, reverse=True)


def test_without_javascript_verdict_figures_and_tables_are_there(browser: Browser, page_path: Path) -> None:
    with opened(browser, page_path, 1280, scripts=False) as (page, _):
        assert page.locator(".headline").is_visible()
        assert page.locator("#loss svg").first.is_visible()
        assert page.locator("#winners table").is_visible()


def test_the_verdict_stands_in_the_first_view_of_a_phone(browser: Browser, page_path: Path) -> None:
    with opened(browser, page_path, 390) as (page, _):
        box = page.locator(".card").first.bounding_box()
        assert box is not None
        assert box["y"] < 844


PAPER = 688
"""px of an A4 page between the margins that page.css asks for."""


def test_it_prints_unfolded_on_few_pages_without_the_long_lists_and_folds_again(
    browser: Browser, page_path: Path
) -> None:
    with opened(browser, page_path, 1280) as (page, _):
        folded = "document.querySelectorAll('details:not([open], .refusals)').length"
        page.evaluate(f"addEventListener('beforeprint', () => {{ window.folded = {folded}; }})")
        printed = page.pdf(prefer_css_page_size=True)
        assert printed.startswith(b"%PDF")
        assert 4 <= len(re.findall(rb"/Type /Page\b", printed)) <= 11
        assert page.evaluate("window.folded") == 0
        assert page.locator("details[open]").count() == 0
        page.emulate_media(media="print")
        assert not page.locator("#trials table").first.is_visible()
        assert page.locator("#trials .print-only").is_visible()
        assert page.locator(".refusals summary").first.is_visible()
        assert not page.locator(".refusals li").first.is_visible(), "one line a kind"


def test_on_paper_nothing_is_wider_than_the_page_and_no_figure_is_split(browser: Browser, page_path: Path) -> None:
    """Chromium shrinks a page that is too wide, and every letter on it."""
    with opened(browser, page_path, PAPER) as (page, _):
        page.emulate_media(media="print")
        page.evaluate("document.querySelectorAll('details').forEach(details => details.open = true)")
        assert page.evaluate("document.documentElement.scrollWidth") <= PAPER
        split = "Array.from(document.querySelectorAll('.panels:not(.small), .panel, .card, tr'),"
        assert set(page.evaluate(f"{split} each => getComputedStyle(each).breakInside)")) == {"avoid"}


def test_on_paper_no_word_of_page_one_is_printed_over_another(browser: Browser, page_path: Path) -> None:
    with opened(browser, page_path, PAPER) as (page, _):
        page.emulate_media(media="print")
        for width in (PAPER, 360, 1280):
            page.set_viewport_size({"width": width, "height": 844})
            page.evaluate("document.querySelector('.key-figures dt').textContent = '4.8×10⁹ – 9.5×10¹⁰ FLOPs'")
            boxes = page.evaluate(
                "Array.from(document.querySelectorAll("
                "'.key-figures dt, .key-figures dd, .more, .card, .exactly'), each => {"
                " const range = document.createRange(); range.selectNodeContents(each);"
                " const box = range.getBoundingClientRect(); return [box.left, box.top, box.right, box.bottom]; })"
            )
            assert len(boxes) > 12
            crossing = [
                (a, b)
                for a, b in itertools.combinations(boxes, 2)
                if min(a[2], b[2]) - max(a[0], b[0]) > 1 and min(a[3], b[3]) - max(a[1], b[1]) > 1
            ]
            assert crossing == [], width
            page.emulate_media(media="screen")


def test_a_wide_figure_is_printed_whole(browser: Browser, page_path: Path) -> None:
    with opened(browser, page_path, PAPER) as (page, _):
        page.emulate_media(media="print")
        cut = "Array.from(document.querySelectorAll('.panel.wide'), each => each.scrollWidth - each.clientWidth)"
        assert max(page.evaluate(cut)) <= 0


def test_a_word_leads_to_what_it_means(browser: Browser, page_path: Path) -> None:
    with opened(browser, page_path, 1280) as (page, _):
        terms = page.locator("a.term")
        assert terms.count() >= 5
        for place in range(terms.count()):
            target = terms.nth(place).get_attribute("href") or ""
            assert page.locator(target).count() == 1, target
            assert terms.nth(place).get_attribute("title")


def test_on_a_laptop_no_table_hides_its_last_column(browser: Browser, page_path: Path) -> None:
    with opened(browser, page_path, 1280) as (page, _):
        page.evaluate("document.querySelectorAll('details').forEach(details => details.open = true)")
        hidden = page.evaluate(
            "Array.from(document.querySelectorAll('section:not(#trials) .scroll'))"
            ".filter(box => box.scrollWidth > box.clientWidth).map(box => box.ariaLabel)"
        )
        assert hidden == []


def test_on_a_phone_every_cell_of_a_table_is_in_sight_beside_its_heading(browser: Browser, page_path: Path) -> None:
    with opened(browser, page_path, 360) as (page, _):
        page.evaluate("document.querySelectorAll('details').forEach(details => details.open = true)")
        widest = "Math.max(...Array.from(document.querySelectorAll('td'), td => td.getBoundingClientRect().right))"
        assert page.evaluate(widest) <= 360
        cell = page.locator("#winners td", has_text="[").first
        assert page.evaluate("td => getComputedStyle(td, '::before').content", cell.element_handle()) == '"Loss"'


def test_words_in_figures_keep_a_size_that_can_be_read_on_a_phone(browser: Browser, page_path: Path) -> None:
    with opened(browser, page_path, 360) as (page, _):
        sizes = page.evaluate(
            "Array.from(document.querySelectorAll('.panels:not(.small) svg text'), text => {"
            " const svg = text.closest('svg');"
            " return parseFloat(getComputedStyle(text).fontSize) * svg.getBoundingClientRect().width"
            " / svg.viewBox.baseVal.width; })"
        )
        assert min(sizes) >= 9.5


def test_dark_mode_changes_every_ink_that_figures_use(browser: Browser, page_path: Path) -> None:
    context = browser.new_context(offline=True, color_scheme="dark")
    page = context.new_page()
    page.goto(page_path.as_uri())
    fills = page.evaluate(
        "Array.from(document.querySelectorAll('.panel svg text'), text => getComputedStyle(text).fill)"
    )
    assert "rgb(31, 35, 40)" not in fills
    context.close()
