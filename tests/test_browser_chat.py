"""Asking in a real browser: answers, citations, and every state."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from api import create_app
from rag.config import Settings
from rag.types import Answer, SearchResult
from tests.browser import Open, ask, wait_for_answer
from tests.fake_assistant import FakeAssistant
from tests.servers import serving

pytestmark = pytest.mark.slow
pytest_plugins = ("tests.browser_fixtures",)

QUESTION = "SQSの可視性タイムアウトは何秒？"
LAST = ".exchange:last-child "


def marked(page: Page) -> str:
    """The highlighted words, white space aside."""
    words = page.locator("#reader mark").all_inner_texts()
    return re.sub(r"\s", "", "".join(words))


def test_answer_comes_with_citations_that_open_at_their_words(open_page: Open) -> None:
    page = open_page()
    ask(page, QUESTION)
    expect(page.locator(LAST + ".statement")).to_have_count(2)
    expect(page.locator(LAST + ".statement strong")).to_have_text("可視性タイムアウト")
    page.click(LAST + ".cite >> nth=0")
    page.wait_for_selector("#reader mark")
    assert marked(page) == (
        "可視性タイムアウトは既定で30秒。"
        "受信したメッセージは、その間ほかのコンシューマーから見えない。最大は12時間まで延ばせる。"
    )
    expect(page.locator("#reader mark").first).to_be_in_viewport()
    page.click(LAST + ".source >> nth=1")
    expect(page.locator("#reader mark").first).to_contain_text("最大受信回数")
    assert "毎秒300件" in marked(page)


def test_hover_and_focus_show_the_quote_and_escape_hides_it(open_page: Open) -> None:
    page = open_page()
    ask(page, QUESTION)
    card = page.locator("#quote-card")
    expect(card).to_be_hidden()
    page.hover(LAST + ".cite >> nth=0")
    expect(card).to_contain_text("可視性タイムアウトは既定で30秒。")
    card.hover()
    expect(card).to_be_visible()
    page.mouse.move(5, 5)
    expect(card).to_be_hidden()
    page.focus(LAST + ".cite >> nth=1")
    expect(card).to_contain_text("最大受信回数")
    page.keyboard.press("Escape")
    expect(card).to_be_hidden()


def test_follow_up_sends_the_questions_before_it(open_page: Open) -> None:
    assistant = FakeAssistant()
    page = open_page(assistant)
    ask(page, QUESTION)
    ask(page, "最大は何時間？")
    assert [asked[:2] for asked in assistant.asked] == [
        (QUESTION, ()),
        ("最大は何時間？", (QUESTION,)),
    ]
    expect(page.locator(".exchange")).to_have_count(2)


def test_follow_up_says_so_and_can_be_asked_alone(open_page: Open) -> None:
    assistant = FakeAssistant()
    page = open_page(assistant)
    ask(page, QUESTION)
    expect(page.locator(LAST + ".followed")).to_be_hidden()
    ask(page, "キーのローテーションは自動？")
    page.get_by_role("button", name="この質問だけで聞き直す").click()
    wait_for_answer(page)
    expect(page.locator(LAST + ".followed")).to_be_hidden()
    ask(page, "毎年？")
    assert [asked[1] for asked in assistant.asked] == [
        (),
        (QUESTION,),
        (),
        ("キーのローテーションは自動？",),
    ], "what comes after a question asked alone follows on that one"


def test_citations_of_an_answer_are_stepped_through(open_page: Open) -> None:
    page = open_page()
    ask(page, QUESTION)
    page.click(LAST + ".cite >> nth=0")
    expect(page.locator("#tour span")).to_have_text("出典 1 / 2")
    expect(page.locator(LAST + ".cite.open")).to_have_text("1")
    step = page.get_by_label("次の出典")
    step.click()
    expect(page.locator("#reader mark").first).to_contain_text("最大受信回数")
    expect(page.locator("#tour span")).to_have_text("出典 2 / 2")
    expect(page.locator(LAST + ".cite.open")).to_have_text("2")
    expect(step).to_be_focused()
    step.press("Enter")
    expect(page.locator("#reader mark").first).to_have_text("可視性タイムアウト")
    page.click("#reader-close")
    expect(page.locator(LAST + ".cite.open")).to_have_count(0)
    page.click("#open-notes")
    expect(page.locator("#tour")).to_be_hidden()


def test_chosen_tags_narrow_the_search(open_page: Open) -> None:
    assistant = FakeAssistant()
    page = open_page(assistant)
    page.get_by_label("DOP-C02").check()
    ask(page, "キーのローテーションは自動？")
    assert assistant.asked[0][2] == ("DOP-C02",)
    expect(page.locator(LAST + ".question .tag-list")).to_have_text("DOP-C02")
    expect(page.locator(LAST + ".refused")).to_contain_text("「DOP-C02」のノートだけを探しました")
    page.click(LAST + "[data-action=without-tags]")
    wait_for_answer(page)
    assert assistant.asked[1][2] == ()
    expect(page.locator(LAST + ".statement").first).to_contain_text("毎年自動で")


def test_tags_folded_away_are_counted(open_page: Open) -> None:
    note = "---\ntags: [一, 二, 三, 四, 五]\n---\n# 題\n\n本文です。\n"
    assistant = FakeAssistant({"a.md": note})
    page = open_page(assistant)
    page.click("#more-tags summary")
    page.locator("#more-tags input").last.check()
    expect(page.locator("#more-tags summary")).to_have_text("ほか 2（1 個選択中）")
    page.keyboard.press("Escape")
    expect(page.locator("#more-tags input").last).to_be_hidden()
    ask(page, "本文です")
    assert len(assistant.asked[0][2]) == 1


def test_model_can_be_chosen(open_page: Open) -> None:
    assistant = FakeAssistant(models=("extractive", "llama"))
    page = open_page(assistant)
    page.select_option("#model", "llama")
    ask(page, QUESTION)
    assert assistant.asked[0][3] == "llama"
    expect(page.locator(LAST + ".answered-by")).to_have_text("llama")
    expect(page.locator(LAST + ".answer-main > .notice")).to_be_hidden()


class FallingBack(FakeAssistant):
    """Answers with the first model, whichever was asked for."""

    def _answer(self, found: SearchResult, model: str) -> Answer:
        answer = super()._answer(found, self.models[0])
        return replace(answer, failed_model=model, fallback_reason="timeout")


def test_answer_of_another_model_than_chosen_says_so(open_page: Open) -> None:
    page = open_page(FallingBack(models=("extractive", "llama")))
    page.select_option("#model", "llama")
    ask(page, QUESTION)
    expect(page.locator(LAST + ".notice")).to_contain_text("llama から時間内に返事がありません")


def test_answer_that_may_be_none_says_so_above_it(open_page: Open) -> None:
    page = open_page()
    ask(page, "可視性タイムアウトで困っている友人がいます")
    expect(page.locator(LAST + ".unsure")).to_contain_text("確かめてください")
    page.click("#new-conversation")
    ask(page, "可視性タイムアウトは既定で30秒。")
    expect(page.locator(LAST + ".unsure")).to_be_hidden()
    ask(page, "月面の重力")
    expect(page.locator(LAST + ".unsure")).to_be_hidden()


def test_unconfirmed_statements_look_so(open_page: Open) -> None:
    page = open_page()
    ask(page, QUESTION + "未確認")
    doubtful = page.locator(LAST + ".statement.unconfirmed")
    expect(doubtful).to_have_count(1)
    expect(doubtful).to_contain_text("最大は99時間です。未確認")
    expect(page.locator(LAST + ".statement").first).not_to_have_class(re.compile("unconfirmed"))


def test_refusal_shows_the_nearest_notes(open_page: Open) -> None:
    page = open_page()
    ask(page, "月面の重力")
    expect(page.locator(LAST + ".refused-title")).to_have_text("ノートに見つかりません。")
    expect(page.locator(LAST + ".nearest li")).to_have_count(3)
    page.click(LAST + ".nearest button >> nth=0")
    expect(page.locator("#reader mark").first).to_be_visible()
    page.click(LAST + "[data-action=rephrase]")
    expect(page.locator("#question")).to_be_focused()
    assert page.input_value("#question") == "月面の重力"


def test_passages_found_show_what_each_leg_thought(open_page: Open) -> None:
    page = open_page()
    ask(page, QUESTION)
    hits = page.locator(LAST + ".hits")
    expect(hits.locator(".hit").first).to_be_hidden()
    hits.locator("summary").click()
    first = hits.locator(".hit").first
    expect(first.locator(".signals dt")).to_have_text(
        ["意味の近さ", "単語の一致", "文字の並び", "点数 "]
    )
    expect(first.locator(".hit-text")).to_contain_text("・可視性タイムアウトは既定で30秒。")


def test_answer_can_be_stopped_and_asked_again(open_page: Open) -> None:
    assistant = FakeAssistant(pause_seconds=0.3)
    page = open_page(assistant)
    page.fill("#question", QUESTION)
    page.press("#question", "Enter")
    page.wait_for_selector(LAST + ".statement")
    page.click("#stop")
    wait_for_answer(page)
    expect(page.locator(LAST + ".notice")).to_contain_text("途中で止めました")
    expect(page.locator("#send")).to_be_visible()
    assistant.pause_seconds = 0
    page.click(LAST + "[data-action=again]")
    expect(page.locator(LAST + ".sources li")).to_have_count(2)
    page.click(LAST + "[data-action=again]")
    wait_for_answer(page)
    expect(page.locator(".exchange")).to_have_count(1)
    assert len(assistant.asked) == 3


@pytest.mark.parametrize(
    ("question", "sentence"),
    [("モデル停止", "回答モデルが応答しませんでした"), ("未知の失敗", "予期しないエラー")],
)
def test_failure_is_told_and_can_be_tried_again(
    open_page: Open, question: str, sentence: str
) -> None:
    assistant = FakeAssistant()
    page = open_page(assistant)
    ask(page, question)
    expect(page.locator(LAST + ".failure")).to_contain_text(sentence)
    page.click(LAST + "[data-action=again]")
    wait_for_answer(page)
    assert len(assistant.asked) == 2


def test_server_that_dies_midway_is_told_and_its_return_noticed(
    open_page: Open, tmp_path: Path
) -> None:
    app = create_app(Settings(index=tmp_path), FakeAssistant(pause_seconds=0.4))
    with serving(app) as url:
        page = open_page(url=url)
        page.fill("#question", QUESTION)
        page.press("#question", "Enter")
        page.wait_for_selector(LAST + ".statement")
    expect(page.locator(LAST + ".failure")).to_contain_text("回答が途中で切れました")
    expect(page.locator(LAST + ".statements.unfinished")).to_contain_text("可視性")
    expect(page.locator("#banner")).to_contain_text("つながりません")
    page.click(LAST + "[data-action=again]")
    expect(page.locator(LAST + ".failure")).to_contain_text("サーバーにつながりませんでした")
    app = create_app(Settings(index=tmp_path), FakeAssistant())
    with serving(app, port=int(url.rsplit(":", 1)[1])):
        expect(page.locator("#banner")).to_be_hidden()
        page.click(LAST + "[data-action=again]")
        expect(page.locator(LAST + ".sources li")).to_have_count(2)


def test_page_opened_too_early_waits_for_the_index(open_page: Open, tmp_path: Path) -> None:
    app = create_app(Settings(index=tmp_path), FakeAssistant())
    readiness = app.state.readiness
    assistant, readiness._assistant = readiness._assistant, None
    with serving(app) as url:
        page = open_page(url=url)
        expect(page.locator("#preparing")).to_contain_text("準備中")
        expect(page.locator("#question")).to_be_disabled()
        readiness._assistant = assistant
        expect(page.locator("#examples button").first).to_be_visible()
        expect(page.locator("#question")).to_be_enabled()


def test_example_questions_ask_themselves(open_page: Open) -> None:
    assistant = FakeAssistant()
    page = open_page(assistant)
    page.click("#examples button >> nth=1")
    wait_for_answer(page)
    assert assistant.asked[0][0] == "可視性タイムアウトとは？"


def test_hostile_note_does_nothing(open_page: Open) -> None:
    page = open_page()
    ask(page, "インジェクションの見本はどの段落？")
    title = page.title()
    page.click(LAST + ".cite >> nth=0")
    expect(page.locator("#reader .note")).to_contain_text("これは本文です")
    assert page.locator("#reader :is(script, img, [onerror])").count() == 0
    page.goto("/notes/evil.md")
    expect(page.locator(".note-body")).to_contain_text("これは本文です")
    assert page.title() != "抜かれた"
    assert title != "抜かれた"
