from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from eval.baselines import Baseline, kept_scores
from eval.gate import check_gate
from eval.gold import GoldQuestion, Target
from eval.refusal import RiskPoint
from eval.report import Piece, cut_at_spans, plot_curve, render_report
from eval.runs import WHOLE, Evaluation, run_answers, run_searches
from eval.summary import summarise
from tests.eval_fakes import ScriptedAssistant, make_note

if TYPE_CHECKING:
    from playwright.sync_api import Page

NOTE = make_note("aws/a.md", "上限は<b>15分</b>。\n料金は𠮷回で決まる。", "Lambda & co")
TARGETS = (
    Target("aws/a.md", "<b>15分</b>", spans=((3, 13),)),
    Target("aws/a.md", "𠮷回", spans=((18, 20),)),
)
QUESTIONS = (
    GoldQuestion("q<1>", "上限は<script>alert(1)</script>?", True, TARGETS[:1], tags=("direct",)),
    GoldQuestion("q2", "料金は?", True, TARGETS[1:], history=("上限は?",), tags=("typo",)),
    GoldQuestion("u1", "天気は?", False, (), tags=("near-miss",), split="tune"),
)


def evaluate(second: tuple[str, ...] = ("aws/a.md#2",)) -> Evaluation:
    ranking = {QUESTIONS[0].question: ("aws/a.md#1",), "料金は?": second}
    assistant = ScriptedAssistant((NOTE,), {WHOLE: ranking}, {"天気は?": 0.1})
    documents = {NOTE.doc_id: NOTE}

    def step(what: str, done: int, total: int) -> None: ...

    runs = {run: run_searches(assistant, QUESTIONS, run, False, step) for run in (WHOLE, "dense")}
    answers = run_answers(assistant, QUESTIONS, documents, runs[WHOLE], step)
    return Evaluation("gold.jsonl", "gold", QUESTIONS, documents, runs, answers)


def render(gated: bool = True) -> str:
    before, after = evaluate(), evaluate(second=("aws/a.md#1",))
    fingerprints = {question.query_id: question.fingerprint for question in QUESTIONS}
    floors = {WHOLE: {"hit@5": 0.9}}
    summary = summarise(after)
    gate = check_gate(after, summary, Baseline("gold", fingerprints, kept_scores(before), floors))
    return render_report(after, summary, gate if gated else None)


def test_a_hit_is_cut_at_the_edges_of_the_gold_spans() -> None:
    assert cut_at_spans("かきくけこ", 10, [(8, 12), (13, 14)]) == (
        Piece("かき", True),
        Piece("く", False),
        Piece("け", True),
        Piece("こ", False),
    )
    assert cut_at_spans("かき", 0, []) == (Piece("かき", False),)
    assert cut_at_spans("", 0, [(0, 1)]) == ()


def test_the_gold_span_is_marked_and_nothing_of_a_note_is_markup() -> None:
    page = render()
    assert "上限は<mark>&lt;b&gt;15分&lt;/b&gt;</mark>。" in page
    assert "<script>alert" not in page
    assert "Lambda &amp; co › 節" in page


def test_the_page_needs_nothing_from_elsewhere() -> None:
    assert not re.search(r"(?:src|href)=\"(?!#)|@import|url\(", render())


def test_the_same_measurement_gives_the_same_page() -> None:
    evaluation = evaluate()
    pages = {render_report(evaluation, summarise(evaluation), None) for _ in range(2)}
    assert len(pages) == 1


def test_flips_and_the_broken_floor_are_named() -> None:
    page = render()
    assert 'href="#q-q2">▼q2</a>' in page
    assert "下限を下回った" in page
    assert re.search(r'id="q-q2" data-flags="missed not-first lost leg-lost"', page)


def test_without_a_baseline_there_is_no_comparison() -> None:
    page = render(gated=False)
    assert 'id="gate"' not in page
    assert 'id="q-u1"' in page


def test_the_curve_is_drawn_from_its_points() -> None:
    plot = plot_curve([RiskPoint(0.9, 0.5, 0.0), RiskPoint(0.1, 1.0, 0.25)], None)
    assert plot is not None
    assert plot.top == 0.3
    # 600 × 260: half of the width at the bottom; full width, 25 of 30% up
    assert plot.path == f"M300.0,260.0L600.0,{round(260 * (1 - 0.25 / 0.3), 1)}"
    assert plot_curve([], None) is None


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    from playwright.sync_api import sync_playwright

    path: Path = tmp_path_factory.mktemp("report") / "index.html"
    path.write_text(render(), encoding="utf-8")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        opened = browser.new_page(viewport={"width": 390, "height": 800})
        opened.goto(path.as_uri())
        yield opened
        browser.close()


@pytest.mark.slow
def test_filters_show_what_they_name(page: Page) -> None:
    def shown() -> list[str]:
        return [row.get_attribute("id") or "" for row in page.locator(".question:visible").all()]

    assert shown() == ["q-q<1>", "q-q2", "q-u1"]
    page.click(".chip.lost")
    assert shown() == ["q-q2"]
    assert page.inner_text("#shown") == "1 問"
    page.click(".chip >> nth=0")
    page.select_option("#tag", "near-miss")
    assert shown() == ["q-u1"]
    page.select_option("#tag", "")
    page.fill("#words", "料金")
    assert shown() == ["q-q2"]
    page.fill("#words", "ない語")
    assert shown() == []
    assert page.is_visible("#nothing")
    page.fill("#words", "")


@pytest.mark.slow
def test_a_flip_opens_its_question_and_the_page_fits_a_phone(page: Page) -> None:
    page.click("a.flip >> nth=0")
    assert page.locator("#q-q2").get_attribute("open") is not None
    assert page.evaluate("document.documentElement.scrollWidth") == 390


@pytest.mark.slow
def test_the_colours_can_be_turned_dark(page: Page) -> None:
    for theme in ("light", "dark"):
        page.click("#theme")
        assert page.evaluate("document.documentElement.dataset.theme") == theme
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(17, 21, 27)"
