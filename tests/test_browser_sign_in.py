"""Signing in, in a real browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import expect

from api import create_app
from api.access.keys import open_keys
from rag.config import Settings
from tests.browser import Open, ask, violations
from tests.fake_assistant import FakeAssistant
from tests.servers import serving

pytest_plugins = ("tests.browser_fixtures",)
pytestmark = pytest.mark.slow


def test_a_reader_signs_in_asks_follows_a_link_and_signs_out(
    open_page: Open, tmp_path: Path
) -> None:
    settings = Settings(index=tmp_path)
    key = open_keys(settings).add("alice")
    with serving(create_app(settings, FakeAssistant())) as url:
        page = open_page(url=url)
        assert page.url.endswith("/sign-in?next=%2F")
        assert violations(page) == []
        page.fill("#key", "wrong")
        page.press("#key", "Enter")
        expect(page.locator("#fault")).to_be_visible()
        page.fill("#key", key)
        page.press("#key", "Enter")
        page.wait_for_url(f"{url}/")
        ask(page, "SQSの可視性タイムアウトは何秒？")
        expect(page.locator(".statements").last).to_contain_text("30秒")
        assert page.evaluate("document.cookie") == ""
        # From another site the cookie does not come along; the page asks for itself once more.
        place = f"{url}/notes/aws/sqs.md"
        page.goto(f"data:text/html,<a href='{place}'>go</a>")
        page.click("a")
        page.wait_for_url(place)
        expect(page.locator("main")).to_contain_text("可視性タイムアウト")
        page.goto("/")
        page.locator(".sign-out button").click()
        page.wait_for_url("**/sign-in")
        page.goto("/notes/aws/sqs.md")
        assert "/sign-in?next=" in page.url
