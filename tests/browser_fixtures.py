"""Fixtures for tests in a real browser: Chromium, a page of it, and the service behind the page."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from fastapi import FastAPI
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

from api import create_app
from api.answering import Readiness
from api.feedback import FeedbackStore
from rag.config import Settings
from tests.browser import DESKTOP, Open
from tests.fake_assistant import FakeAssistant
from tests.servers import serving

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
WAIT_MILLISECONDS = 10_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, or another one on the path; none is a failure."""
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        pytest.fail(f"no browser; install one of {BROWSERS} (apt-get install chromium)")
    # Module scope: while Playwright's own event loop lives, no other test can run one.
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[FastAPI, str]]:
    """One running service for all these tests, and its URL; each test puts its assistant in."""
    app = create_app(Settings(index=tmp_path_factory.mktemp("service")), FakeAssistant())
    with serving(app) as url:
        yield app, url


@pytest.fixture
def open_page(browser: Browser, service: tuple[FastAPI, str], tmp_path: Path) -> Iterator[Open]:
    """Opens the chat over an assistant; a script error or a broken policy fails the test."""
    complaints: list[str] = []

    def note(message: ConsoleMessage) -> None:
        # What the tests break on purpose is not the page's fault.
        if message.type == "error" and "Failed to load resource" not in message.text:
            complaints.append(message.text)

    with ExitStack() as stack:

        def open_page(
            assistant: FakeAssistant | None = None,
            path: str = "/",
            url: str = "",
            **options: object,
        ) -> Page:
            if not url:
                app, url = service
                app.state.readiness = Readiness(assistant or FakeAssistant())
                app.state.feedback = FeedbackStore(tmp_path / "index")
            context = browser.new_context(
                **{"locale": "ja-JP", "viewport": DESKTOP, **options},  # type: ignore[arg-type]
                base_url=url,
            )
            stack.callback(context.close)
            page = context.new_page()
            page.set_default_timeout(WAIT_MILLISECONDS)
            page.on("console", note)
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.goto(path)
            return page

        yield open_page
    assert complaints == []
