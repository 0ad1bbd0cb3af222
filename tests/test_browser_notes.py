"""Notes in a real browser: the list, one note, search within it."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser import Open, ask
from tests.fake_assistant import FakeAssistant

pytestmark = pytest.mark.slow
pytest_plugins = ("tests.browser_fixtures",)

LONG_NOTE = "# 長いノート\n\n" + "".join(
    f"## 第{number}章\n\n{'本文です。' * 40}\n\n- **項目{number}**は値{number}です。\n\n"
    for number in range(1, 41)
)


def found(page: Page) -> list[str]:
    return list(
        page.evaluate(
            """() => [...(CSS.highlights.get("found") ?? [])].map((range) => range.toString())"""
        )
    )


def test_list_is_filtered_by_title_and_tag(open_page: Open) -> None:
    page = open_page()
    page.click("#open-notes")
    items = page.locator(".note-list li")
    expect(items).to_have_count(4)
    page.fill("#note-filter", "ｓｑｓ")
    expect(items).to_have_count(1)
    page.fill("#note-filter", "SAP-C02")
    expect(items).to_have_count(2)
    page.fill("#note-filter", "無い題名")
    expect(page.locator(".note-list [data-slot=count]")).to_have_text("0 件")
    page.click("#open-notes")
    expect(page.locator("#reader")).to_be_hidden()


def test_note_opens_with_its_headings_and_they_lead_to_their_place(open_page: Open) -> None:
    page = open_page(FakeAssistant({"long.md": LONG_NOTE}))
    page.click("#open-notes")
    page.click(".note-list li button")
    expect(page.locator("#reader-title")).to_have_text("長いノート")
    expect(page.locator(".contents li")).to_have_count(41)
    page.click(".contents a >> text=第30章")
    heading = page.locator(".note-body h2 >> text=第30章")
    expect(heading).to_be_in_viewport()
    expect(heading).to_be_focused()
    page.click("#reader-back")
    expect(page.locator("#note-filter")).to_be_visible()


def test_cited_words_far_down_are_scrolled_to(open_page: Open) -> None:
    page = open_page(FakeAssistant({"long.md": LONG_NOTE}))
    ask(page, "第37章の項目37の値37")
    page.click(".cite >> nth=0")
    mark = page.locator("#reader mark >> text=値37です")
    expect(mark).to_be_visible()
    expect(page.locator("#reader mark").first).to_be_in_viewport()
    assert page.evaluate("scrollY") == 0
    assert page.locator("#layout").bounding_box() == {"x": 0, "y": 0, "width": 1280, "height": 800}


def test_search_in_a_note_finds_across_marks_and_widths(open_page: Open) -> None:
    page = open_page(FakeAssistant({"long.md": LONG_NOTE}), path="/notes/long.md")
    page.fill("#note-search", "項目３は値")
    assert found(page) == ["項目3は値"]
    page.fill("#note-search", "第2")
    count = page.locator(".note-search output")
    expect(count).to_have_text("1 / 11")
    page.press("#note-search", "Enter")
    expect(count).to_have_text("2 / 11")
    page.press("#note-search", "Shift+Enter")
    page.click("[data-step='-1']")
    expect(count).to_have_text("11 / 11")
    expect(page.locator("h2 >> text=第29章")).to_be_in_viewport()
    page.fill("#note-search", "どこにもない")
    expect(count).to_have_text("0 件")
    page.fill("#note-search", "")
    expect(count).to_have_text("")


def test_page_of_a_note_scrolls_to_the_span_and_the_line(open_page: Open) -> None:
    start = LONG_NOTE.index("値25")
    path = f"/notes/long.md?start={start}&end={start + 3}"
    page = open_page(FakeAssistant({"long.md": LONG_NOTE}), path=path)
    mark = page.locator("mark")
    expect(mark).to_have_text("値25")
    expect(mark).to_be_in_viewport()
    page.goto("/notes/long.md#L195")
    expect(page.locator("h2 >> text=第33章")).to_be_in_viewport()


def test_loose_note_is_marked_in_its_lines(open_page: Open) -> None:
    page = open_page()
    ask(page, "葉緑体で光のエネルギーを使って何をつくる？")
    page.click(".cite >> nth=0")
    expect(page.locator("#reader mark").first).to_contain_text("葉緑体で光のエネルギーを使い")
    expect(page.locator("#reader .lines h2")).to_have_text("光合成")


def test_note_that_is_gone_says_so(open_page: Open) -> None:
    assistant = FakeAssistant()
    page = open_page(assistant)
    ask(page, "可視性タイムアウトは何秒？")
    del assistant._documents["aws/sqs.md"]
    page.click(".cite >> nth=0")
    expect(page.locator("#reader .notice")).to_be_visible()
