"""The page of a running study in a real browser: it follows what comes, and keeps what the reader has opened."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.study.simulated import outcome_of, run_to_the_end, study, written_down
from tests.watched import watching

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.slow

STANDING = "document.querySelector('#standing [role=status]').textContent"


def test_the_page_follows_a_running_study_and_keeps_what_is_open(browser: Browser, tmp_path: Path) -> None:
    spec = study(ladder={"budgets": [2e10]})
    planned, results = run_to_the_end(spec)
    held = dict(list(results.items())[:-1])
    last = next(trial for trial in planned.trials if trial.spec.fingerprint == list(results)[-1])
    written_down(tmp_path, spec, planned, {})
    heard: list[str] = []
    with watching(tmp_path) as (process, port):
        context = browser.new_context(viewport={"width": 1280, "height": 844}, reduced_motion="reduce")
        page = context.new_page()
        page.on("console", lambda message: heard.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: heard.append(f"error: {error}"))
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"http://127.0.0.1:{port}/")
        assert "In progress: 0 of" in page.evaluate(STANDING)
        assert "no run has a result" in (page.locator(".headline").text_content() or "")
        written_down(tmp_path, spec, planned, held)
        page.locator("#results").wait_for(timeout=60_000)
        assert "Everything below is provisional." in (page.locator("#standing").text_content() or "")
        term = page.locator("a.term").first
        assert page.locator(term.get_attribute("href") or "").count() == 1
        page.locator("#trials details.screen-only summary").first.click()
        assert "0.7654" not in page.content()

        written_down(tmp_path, spec, planned, held | {last.spec.fingerprint: outcome_of(last, 0.7654)})
        page.locator("#standing", has_text="Complete").wait_for(timeout=60_000)
        assert "0.7654" in page.content()
        assert page.locator("#trials table").first.is_visible(), "what was open is open still"
        heading = page.locator("#trials table").first.locator("th", has_text="Loss")
        heading.locator("button").click()
        assert heading.get_attribute("aria-sort") == "ascending", "the new tables are sorted by their headings, too"
        assert page.locator("#standing .trouble").is_hidden()
        assert {url.rpartition(f":{port}")[2] for url in asked} <= {"/", "/events"}
        assert heard == []

        process.terminate()
        page.locator("#standing .trouble").wait_for(state="visible", timeout=30_000)
        assert "Nobody serves this page" in (page.locator("#standing .trouble").text_content() or "")
        context.close()


def test_without_javascript_the_page_can_be_read_and_asks_again_by_itself(browser: Browser, tmp_path: Path) -> None:
    spec = study(ladder={"budgets": [2e10]})
    planned, results = run_to_the_end(spec)
    written_down(tmp_path, spec, planned, results)
    with watching(tmp_path) as (_, port):
        context = browser.new_context(java_script_enabled=False)
        page = context.new_page()
        page.goto(f"http://127.0.0.1:{port}/")
        assert "Complete: all" in (page.locator("#standing").text_content() or "")
        assert page.locator(".headline").is_visible()
        assert page.locator("noscript meta[http-equiv=refresh]").count() == 1
        context.close()
