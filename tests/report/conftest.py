"""A page of the sample study, and a browser without a network to open it in."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sample

from levelfield.report.page.files import ReportFiles, write_report

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> ReportFiles:
    runs = sample.observations()
    return write_report(tmp_path_factory.mktemp("report"), sample.analysis(runs), runs, sample.facts(runs))


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser's path; without it these tests fail, since what they check would go unseen."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.fail(
            "Chromium is missing; install it: apt-get install --no-install-recommends chromium fonts-dejavu-core"
        )
    return found


@pytest.fixture(scope="session")
def browser(chromium: str) -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def page_path(report: ReportFiles) -> Path:
    return report.page
