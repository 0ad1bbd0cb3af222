"""What a reader takes along, in a real browser: conversations, exports, copies, verdicts."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser import Open, ask

pytestmark = pytest.mark.slow
pytest_plugins = ("tests.browser_fixtures",)

QUESTION = "SQSの可視性タイムアウトは何秒？"
LAST = ".exchange:last-child "


def test_conversations_stay_in_the_browser(open_page: Open) -> None:
    page = open_page()
    ask(page, QUESTION)
    page.reload()
    expect(page.locator(LAST + ".statement")).to_have_count(2)
    expect(page.locator("#conversation-title")).to_have_text(QUESTION)
    page.click(LAST + ".cite >> nth=0")
    expect(page.locator("#reader mark").first).to_be_visible()
    page.click("#new-conversation")
    expect(page.locator("#welcome")).to_be_visible()
    ask(page, "キーのローテーションは自動？")
    expect(page.locator(".conversation")).to_have_count(2)
    page.click(".conversation-open >> nth=1")
    expect(page.locator(LAST + "h2")).to_contain_text(QUESTION)


def test_conversations_stand_under_the_day_of_their_last_use(open_page: Open) -> None:
    page = open_page()
    page.evaluate(
        """() => localStorage.setItem("kotae.conversations", JSON.stringify([0, 3, 30].map(
            (days) => ({ id: `${days}`, title: `${days}`, exchanges: [],
                         updated: Date.now() - days * 86400000 }))))"""
    )
    page.reload()
    listed = page.locator("#conversations :is(.age, .conversation-open)")
    expect(listed).to_have_text(["今日", "0", "この 7 日間", "3", "それより前", "30"])


def test_conversation_can_be_renamed_deleted_and_brought_back(open_page: Open) -> None:
    page = open_page()
    ask(page, QUESTION)
    page.hover(".conversation")
    page.click("[data-action=rename]")
    page.fill(".conversation-rename input", "SQSの復習")
    page.press(".conversation-rename input", "Enter")
    expect(page.locator(".conversation-open")).to_have_text("SQSの復習")
    expect(page.locator("#conversation-title")).to_have_text("SQSの復習")
    page.hover(".conversation")
    page.click("[data-action=delete]")
    expect(page.locator(".conversation")).to_have_count(0)
    expect(page.locator("#welcome")).to_be_visible()
    page.click("#toast button")
    expect(page.locator(".conversation-open")).to_have_text("SQSの復習")


def test_export_holds_questions_answers_and_citations(open_page: Open) -> None:
    page = open_page()
    ask(page, QUESTION)
    with page.expect_download() as downloading:
        page.click("#export")
    download = downloading.value
    assert download.suggested_filename == "SQSの可視性タイムアウトは何秒？.md"
    text = Path(download.path()).read_text()
    assert text.startswith(f"# {QUESTION}\n")
    assert f"## {QUESTION}\n" in text
    assert "見えない。[1]\n" in text
    assert "- [1] Amazon SQS › 可視性タイムアウト（aws/sqs.md 9–10 行目）" in text
    assert "  > - 最大は12時間まで延ばせる。" in text


def test_copy_takes_the_sources_along(open_page: Open) -> None:
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    ask(page, QUESTION)
    page.click(LAST + "[data-action=copy]")
    expect(page.locator("#toast")).to_contain_text("コピーしました")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith("**可視性タイムアウト**は既定で30秒。")
    assert "- [2] Amazon SQS › デッドレターキュー（aws/sqs.md 14–19 行目）" in copied


def test_verdict_and_comment_are_kept(open_page: Open, tmp_path: Path) -> None:
    page = open_page()
    ask(page, QUESTION)
    page.click(LAST + "[data-verdict=bad]")
    expect(page.locator(LAST + "[data-verdict=bad]")).to_have_attribute("aria-pressed", "true")
    page.fill(LAST + ".comment textarea", "秒と分がちがう")
    page.click(LAST + ".comment button")
    expect(page.locator("#toast")).to_contain_text("コメントを残しました")
    connection = sqlite3.connect(tmp_path / "index" / "feedback.sqlite3")
    rows = connection.execute("SELECT verdict, comment, question FROM feedback").fetchall()
    connection.close()
    assert rows == [("bad", "秒と分がちがう", QUESTION)]
    page.reload()
    expect(page.locator(LAST + "[data-verdict=bad]")).to_have_attribute("aria-pressed", "true")
