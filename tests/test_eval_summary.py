from __future__ import annotations

import pytest

from eval.gold import GoldQuestion, Target
from eval.intervals import wilson
from eval.runs import WHOLE, Evaluation, run_answers, run_searches
from eval.summary import Summary, question_scores, summarise
from tests.eval_fakes import ScriptedAssistant, make_note

NOTE = make_note("a.md", "上限は15分。\n料金は回数で決まる。\n既定は3秒。")
LIMIT = Target("a.md", "上限は15分。", spans=((0, 7),))
PRICE = Target("a.md", "料金は回数で決まる。", spans=((8, 18),))
QUESTIONS = (
    GoldQuestion("q1", "上限は?", True, (LIMIT,), tags=("direct",), split="tune"),
    GoldQuestion("q2", "料金は?", True, (PRICE,), tags=("direct", "typo"), split="held"),
    GoldQuestion("q3", "秒は?", True, (), tags=("keys",), answer_keys=(("3秒",),)),
    GoldQuestion("u1", "冷却は?", False, (), tags=("near-miss",)),
    GoldQuestion("u2", "天気は?", False, (), tags=("off-topic",)),
)
RANKING = {
    "上限は?": ("a.md#1",),
    "料金は?": ("a.md#1", "a.md#2"),
    "秒は?": ("a.md#3",),
    "冷却は?": ("a.md#1",),
}
SCORES = {"上限は?": 0.9, "料金は?": 0.4, "秒は?": 0.8, "冷却は?": 0.6, "天気は?": 0.1}


def evaluate() -> Evaluation:
    assistant = ScriptedAssistant((NOTE,), {WHOLE: RANKING}, SCORES)
    documents = {NOTE.doc_id: NOTE}

    def step(what: str, done: int, total: int) -> None: ...

    runs = {WHOLE: run_searches(assistant, QUESTIONS, WHOLE, False, step)}
    answers = run_answers(assistant, QUESTIONS, documents, runs[WHOLE], step)
    return Evaluation("gold", "gold", QUESTIONS, documents, runs, answers)


@pytest.fixture(scope="module")
def summary() -> Summary:
    return summarise(evaluate())


def test_ranking_counts_only_questions_with_a_target(summary: Summary) -> None:
    whole = summary.runs[WHOLE]
    assert whole["hit@1"] == wilson(1, 2)  # q1 first, q2 second
    assert whole["hit@5"] == wilson(2, 2)
    assert (whole["mrr@10"].value, whole["mrr@10"].n) == ((1 + 1 / 2) / 2, 2)


def test_answers_and_refusals_are_shares_of_those_they_are_about(summary: Summary) -> None:
    whole = summary.runs[WHOLE]
    assert whole["answer_right"] == wilson(1, 1)
    assert whole["citations_valid"] == wilson(3, 3)  # q1, q3, u1 are answered
    assert whole["refusal_precision"] == wilson(1, 2)  # q2 and u2 refused, u2 rightly
    assert whole["refusal_recall"] == wilson(1, 2)  # of u1 and u2
    assert whole["answerable_answered"] == wilson(2, 3)
    assert whole["decision_right"] == wilson(3, 5)
    assert whole["auroc"].value == pytest.approx(5 / 6)  # of 3 × 2 pairs, only q2 < u1 is wrong


def test_a_kind_of_unanswerable_question_is_set_against_all_answerable_ones(
    summary: Summary,
) -> None:
    assert summary.tags["near-miss"]["auroc"].value == pytest.approx(2 / 3)
    assert summary.tags["off-topic"]["auroc"].value == 1
    assert "auroc" not in summary.tags["direct"]
    assert summary.tags["near-miss"]["refusal_recall"] == wilson(0, 1)


def test_a_figure_without_a_case_is_absent(summary: Summary) -> None:
    assert "hit@1" not in summary.tags["keys"]
    assert "hit@1" not in summary.tags["off-topic"]
    assert summary.splits["tune"]["hit@1"] == wilson(1, 1)
    assert "answer_right" not in summary.splits["tune"]


def test_the_length_of_hits_is_reported_with_them(summary: Summary) -> None:
    lengths = [7, 7, 10, 6, 7]  # q1, q2 twice, q3, u1
    assert summary.runs[WHOLE]["hit_chars"].value == pytest.approx(sum(lengths) / 5)


def test_the_curve_counts_what_would_mislead(summary: Summary) -> None:
    # by score: q1 right, q3 right, u1 wrong, q2 right (second hit), u2 wrong
    assert [point.risk for point in summary.curve] == [0, 0, 1 / 3, 1 / 4, 2 / 5]
    assert summary.operating_point is not None
    assert (summary.operating_point.coverage, summary.operating_point.risk) == (3 / 5, 1 / 3)
    assert summary.operating_point.threshold == 0.6


def test_latency_has_both_quantiles(summary: Summary) -> None:
    assert {what: set(figures) for what, figures in summary.latency_ms.items()} == {
        "search": {"p50", "p95"},
        "ask": {"p50", "p95"},
    }


def test_scores_of_single_questions_hold_what_a_baseline_compares() -> None:
    scores = question_scores(evaluate())[WHOLE]
    assert scores["u1"] == {"decision_right": 0, "citations_valid": 1}
    assert scores["u2"] == {"decision_right": 1}
    assert (scores["q3"]["answer_right"], scores["q3"]["decision_right"]) == (1, 1)
    assert scores["q2"]["mrr@10"] == 1 / 2
