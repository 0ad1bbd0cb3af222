"""Typing in a real browser: input methods, and the keyboard alone."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser import Open, ask, wait_for_answer
from tests.fake_assistant import FakeAssistant

pytestmark = pytest.mark.slow
pytest_plugins = ("tests.browser_fixtures",)

QUESTION = "SQSの可視性タイムアウトは何秒？"
LAST = ".exchange:last-child "

DISPATCH = """([selector, events]) => {
    const field = document.querySelector(selector);
    field.focus();
    return events.map(([type, options]) => {
        const kind = type.startsWith("key") ? KeyboardEvent : CompositionEvent;
        return field.dispatchEvent(new kind(type, { bubbles: true, cancelable: true, ...options }));
    });
}"""
ENTER = {"key": "Enter", "code": "Enter"}
CONFIRMATIONS = {
    "Chromium and Firefox: keydown, then the end": [
        ("compositionstart", {}),
        ("keydown", {**ENTER, "keyCode": 229, "isComposing": True}),
        ("compositionend", {"data": "変換"}),
        ("keyup", {**ENTER, "keyCode": 13}),
    ],
    "Firefox, keyCode hidden": [
        ("compositionstart", {}),
        ("keydown", {"key": "Enter", "keyCode": 13, "isComposing": True}),
        ("compositionend", {"data": "変換"}),
    ],
    "Safari: the end, then keydown": [
        ("compositionstart", {}),
        ("compositionend", {"data": "変換"}),
        ("keydown", {**ENTER, "keyCode": 229, "isComposing": False}),
        ("keyup", {**ENTER, "keyCode": 13}),
    ],
}


FOCUS_START = "() => { document.body.tabIndex = -1; document.body.focus(); }"
"""The next Tab goes to the first element of the page."""


def focused(page: Page, selector: str) -> bool:
    return bool(page.evaluate("(s) => document.activeElement.matches(s)", selector))


def tab_to(page: Page, selector: str, key: str = "Tab", presses: int = 40) -> None:
    """Presses Tab until the element has the focus; the keyboard must be able to get there."""
    for _ in range(presses):
        if focused(page, selector):
            return
        page.keyboard.press(key)
    pytest.fail(f"{key} does not reach {selector}")


@pytest.mark.parametrize("order", CONFIRMATIONS)
def test_enter_that_confirms_a_conversion_never_sends(open_page: Open, order: str) -> None:
    assistant = FakeAssistant()
    page = open_page(assistant)
    page.fill("#question", QUESTION)
    page.evaluate(DISPATCH, ["#question", CONFIRMATIONS[order]])
    assert page.input_value("#question") == QUESTION
    assert page.locator(".exchange").count() == 0
    page.press("#question", "Enter")
    wait_for_answer(page)
    assert len(assistant.asked) == 1


def test_real_composition_is_left_alone(open_page: Open) -> None:
    page = open_page()
    session = page.context.new_cdp_session(page)
    page.focus("#question")
    session.send(
        "Input.imeSetComposition", {"text": "へん", "selectionStart": 2, "selectionEnd": 2}
    )
    page.keyboard.press("Enter")
    assert page.locator(".exchange").count() == 0
    session.send("Input.insertText", {"text": "変換"})
    assert "変換" in page.input_value("#question")


def test_conversion_in_the_name_of_a_conversation_does_not_end_it(open_page: Open) -> None:
    page = open_page()
    ask(page, QUESTION)
    page.hover(".conversation")
    page.click("[data-action=rename]")
    field = ".conversation-rename input"
    page.evaluate(DISPATCH, [field, CONFIRMATIONS["Safari: the end, then keydown"]])
    expect(page.locator(field)).to_be_visible()


def test_shift_enter_breaks_the_line(open_page: Open) -> None:
    page = open_page()
    page.fill("#question", "一行目")
    height = page.locator("#question").bounding_box()
    page.press("#question", "Shift+Enter")
    page.keyboard.insert_text("二行目")
    assert page.input_value("#question") == "一行目\n二行目"
    grown = page.locator("#question").bounding_box()
    assert height is not None
    assert grown is not None
    assert grown["height"] > height["height"]
    page.press("#question", "Enter")
    wait_for_answer(page)


def test_blank_question_is_not_sent(open_page: Open) -> None:
    page = open_page()
    for blank in ("", "   ", "　\n"):
        page.fill("#question", blank)
        page.press("#question", "Enter")
        page.click("#send")
    assert page.locator(".exchange").count() == 0


def test_keyboard_alone_asks_cites_reads_and_returns(open_page: Open) -> None:
    page = open_page()
    page.evaluate(FOCUS_START)
    page.keyboard.press("Tab")
    assert focused(page, ".skip-link")
    page.keyboard.press("Enter")
    assert focused(page, "#question")
    page.keyboard.type(QUESTION)
    page.keyboard.press("Enter")
    wait_for_answer(page)
    tab_to(page, ".cite", "Shift+Tab")
    expect(page.locator("#quote-card")).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.locator("#reader mark").first).to_be_focused()
    tab_to(page, "#reader-close", "Shift+Tab")
    page.keyboard.press("Escape")
    expect(page.locator("#reader")).to_be_hidden()
    assert focused(page, ".cite")
    for target in (".source", "[data-action=copy]", "[data-verdict=good]", ".hits summary"):
        tab_to(page, target)
    page.keyboard.press("Enter")
    tab_to(page, ".hit-open")
    tab_to(page, "#filters input")
    page.keyboard.press("Space")
    tab_to(page, "#question")
    tab_to(page, "#send")


def test_focus_can_be_seen_wherever_it_goes(open_page: Open) -> None:
    page = open_page()
    ask(page, QUESTION)
    page.evaluate(FOCUS_START)
    for _ in range(25):
        page.keyboard.press("Tab")
        if focused(page, "body"):
            break
        seen = page.evaluate(
            """() => {
                const focused = document.activeElement;
                const shown = [focused, focused.nextElementSibling].filter(Boolean);
                const outlined = (node) => getComputedStyle(node).outlineStyle !== "none";
                return focused.closest(".field") !== null || shown.some(outlined);
            }"""
        )
        assert seen, page.evaluate("document.activeElement.outerHTML")


def test_screen_readers_hear_the_answer(open_page: Open) -> None:
    page = open_page()
    live = page.locator("#live")
    expect(live).to_have_attribute("aria-live", "polite")
    ask(page, "月面の重力")
    expect(live).to_have_text("ノートに見つかりません。")
    ask(page, QUESTION)
    expect(live).to_contain_text("回答。可視性タイムアウトは既定で30秒。")
    expect(live).to_contain_text("出典 2 件")
