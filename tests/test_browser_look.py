"""How the page looks and behaves on screens, in themes, for axe-core, and while it streams."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser import PHONE, Open, ask, violations, wait_for_answer
from tests.fake_assistant import FakeAssistant

pytestmark = pytest.mark.slow
pytest_plugins = ("tests.browser_fixtures",)

QUESTION = "SQSの可視性タイムアウトは何秒？"
MAX_LAYOUT_SHIFT = 0.01
PHONE_OPTIONS = {"viewport": PHONE, "has_touch": True, "is_mobile": True}

RECORD_SHIFTS = """() => {
    window.shift = 0;
    new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) window.shift += entry.value;
    }).observe({ type: "layout-shift", buffered: true });
}"""


def background(page: Page) -> tuple[int, ...]:
    color = page.evaluate("getComputedStyle(document.body).backgroundColor")
    return tuple(int(part) for part in color[4:-1].split(","))


def overflow(page: Page) -> int:
    return int(page.evaluate("document.documentElement.scrollWidth - innerWidth"))


def test_phone_has_no_sideways_scroll_and_notes_lie_over_the_chat(open_page: Open) -> None:
    page = open_page(**PHONE_OPTIONS)
    assert overflow(page) <= 0
    ask(page, QUESTION)
    assert overflow(page) <= 0
    page.click(".cite >> nth=0")
    expect(page.locator("#reader mark").first).to_be_in_viewport()
    box = page.locator("#reader").bounding_box()
    assert box is not None
    assert (box["x"], box["y"], box["width"]) == (0, 0, PHONE["width"])
    expect(page.locator("#reader")).to_have_attribute("aria-modal", "true")
    assert page.evaluate("document.getElementById('chat').inert")
    assert overflow(page) <= 0
    page.click("#reader-close")
    expect(page.locator("#reader")).to_be_hidden()
    assert not page.evaluate("document.getElementById('chat').inert")


def test_phone_keeps_conversations_in_a_drawer(open_page: Open) -> None:
    page = open_page(**PHONE_OPTIONS)
    ask(page, QUESTION)
    expect(page.locator("#sidebar")).not_to_be_in_viewport()
    page.click("#open-sidebar")
    expect(page.locator("#open-sidebar")).to_have_attribute("aria-expanded", "true")
    expect(page.locator(".conversation-open")).to_be_in_viewport()
    page.click("#new-conversation")
    expect(page.locator("#sidebar")).not_to_be_in_viewport()
    expect(page.locator("#welcome")).to_be_visible()


def test_targets_on_a_phone_are_large_enough_for_a_finger(open_page: Open) -> None:
    page = open_page(**PHONE_OPTIONS)
    ask(page, QUESTION)
    boxes = page.evaluate(
        """() => [...document.querySelectorAll("button, select, summary, input")]
            .filter((node) => node.checkVisibility({ visibilityProperty: true }))
            .filter((node) => !node.matches(".cite"))
            .map((node) => [node.outerHTML, node.getBoundingClientRect().toJSON()])"""
    )
    small = [html for html, box in boxes if min(box["width"], box["height"]) < 24]
    assert small == []


def test_keyboard_of_a_phone_never_covers_the_answer(open_page: Open) -> None:
    page = open_page(**PHONE_OPTIONS)
    expect(page.locator("#question")).not_to_be_focused()
    ask(page, QUESTION)
    expect(page.locator("#question")).not_to_be_focused()
    page.click("[data-action=again]")
    expect(page.locator(".exchange")).to_be_focused()
    wait_for_answer(page)
    page.click("#open-notes")
    expect(page.locator("#reader-title")).to_be_focused()


def test_dark_follows_the_device_and_a_choice_overrules_it(open_page: Open) -> None:
    page = open_page(color_scheme="dark")
    assert max(background(page)) < 60
    page.select_option("#theme", "light")
    assert min(background(page)) > 200
    page.reload()
    assert min(background(page)) > 200
    page.select_option("#theme", "auto")
    assert max(background(page)) < 60


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("device", ["desktop", "phone"])
def test_axe_finds_nothing_wrong_in_any_state(open_page: Open, scheme: str, device: str) -> None:
    options = PHONE_OPTIONS if device == "phone" else {}
    page = open_page(FakeAssistant(models=("extractive", "llama")), color_scheme=scheme, **options)
    assert violations(page) == [], "first visit"
    ask(page, QUESTION + "未確認")
    page.click(".hits summary")
    page.click("[data-verdict=bad]")
    expect(page.locator(".comment")).to_be_visible()
    assert violations(page) == [], "answer"
    page.click(".cite >> nth=0")
    expect(page.locator("#reader mark").first).to_be_visible()
    page.fill("#note-search", "最大")
    assert violations(page) == [], "note"
    page.click("#reader-back")
    expect(page.locator(".note-list li").first).to_be_visible()
    assert violations(page) == [], "list of notes"
    page.click("#reader-close")
    ask(page, "月面の重力")
    ask(page, "モデル停止")
    assert violations(page) == [], "refusal and failure"
    page.goto("/notes/aws/sqs.md?start=79&end=150")
    assert violations(page) == [], "page of a note"
    page.goto("/notes/none.md")
    assert violations(page) == [], "page of an error"


def test_nothing_shifts_while_an_answer_streams(open_page: Open) -> None:
    page = open_page(FakeAssistant(pause_seconds=0.05))
    page.evaluate(RECORD_SHIFTS)
    for question in (QUESTION, "FIFOキューのスループットは？"):
        ask(page, question)
    assert page.evaluate("window.shift") < MAX_LAYOUT_SHIFT


def test_question_stays_in_place_while_its_answer_grows(open_page: Open) -> None:
    page = open_page(FakeAssistant(pause_seconds=0.05))
    ask(page, "キーのローテーションは自動？")
    page.fill("#question", QUESTION)
    page.press("#question", "Enter")
    page.wait_for_selector(".exchange:last-child .statement")
    before = page.locator(".exchange:last-child .question").bounding_box()
    wait_for_answer(page)
    assert page.locator(".exchange:last-child .question").bounding_box() == before
