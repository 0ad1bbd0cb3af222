from __future__ import annotations

from collections.abc import Sequence

import pytest

from eval.exports import trec_qrels, trec_run
from eval.gold import GoldError, GoldQuestion, Target
from eval.runs import DOCUMENT_CANDIDATES, WARM_UP, WHOLE, RunRecord, run_answers, run_searches
from rag.errors import QuestionError
from rag.types import SearchResult
from tests.eval_fakes import ScriptedAssistant, make_note

NOTE = make_note("a.md", "一行目。\n二行目。\n三行目。")
OTHER = make_note("b.md", "別のノート。")
SECOND = Target("a.md", "二行目。", spans=((5, 9),))
ASKED = GoldQuestion("q1", "二番目は?", True, (SECOND,), history=("一番目は?",))
UNANSWERABLE = GoldQuestion("q2", "天気は?", False, ())
RANKING = {"二番目は?": ("a.md#1", "a.md#2", "b.md#1")}


def make_assistant() -> ScriptedAssistant:
    return ScriptedAssistant((NOTE, OTHER), {WHOLE: RANKING}, {"天気は?": 0.2})


def search(
    assistant: ScriptedAssistant,
    questions: Sequence[GoldQuestion] = (ASKED, UNANSWERABLE),
    run: str = WHOLE,
    by_document: bool = False,
) -> dict[str, RunRecord]:
    return run_searches(assistant, questions, run, by_document, lambda what, done, total: None)


def test_a_hit_knows_the_targets_it_holds() -> None:
    record = search(make_assistant())["q1"]
    assert [(hit.rank, hit.chunk_id, hit.targets) for hit in record.hits] == [
        (1, "a.md#1", ()),
        (2, "a.md#2", (0,)),
        (3, "b.md#1", ()),
    ]
    assert record.first_rank == 2
    assert (record.scores["hit@1"], record.scores["mrr@10"]) == (0, 1 / 2)


def test_an_unanswerable_question_has_a_score_but_no_rank_metrics() -> None:
    record = search(make_assistant())["q2"]
    assert (record.scores, record.answerable, record.first_rank) == ({}, 0.2, None)


def test_history_and_depth_reach_the_program_after_a_warm_up() -> None:
    assistant = make_assistant()
    search(assistant)
    assert assistant.asked == [
        (WARM_UP, (), 10),
        ("二番目は?", ("一番目は?",), 10),
        ("天気は?", (), 10),
    ]


def test_a_leg_is_asked_alone_and_only_where_there_is_something_to_find() -> None:
    assistant = make_assistant()
    assistant.rankings = {WHOLE: RANKING, "dense": {"二番目は?": ("a.md#2",)}}
    records = search(assistant, run="dense")
    assert list(records) == ["q1"]
    assert records["q1"].first_rank == 1


def test_documents_rank_by_their_best_chunk() -> None:
    whole = GoldQuestion("q1", "二番目は?", True, (Target("b.md"),))
    assistant = make_assistant()
    record = search(assistant, [whole], by_document=True)["q1"]
    assert [(hit.rank, hit.chunk_id) for hit in record.hits] == [(1, "a.md#1"), (2, "b.md#1")]
    assert record.first_rank == 2
    assert assistant.asked[-1][2] == DOCUMENT_CANDIDATES


def test_answers_are_checked_against_the_notes() -> None:
    assistant = make_assistant()
    documents = {NOTE.doc_id: NOTE, OTHER.doc_id: OTHER}
    questions = (ASKED, UNANSWERABLE)
    searched = search(assistant, questions)
    answers = run_answers(assistant, questions, documents, searched, lambda *step: None)
    assert (answers["q1"].text, answers["q1"].refused) == ("一行目。[1]", False)
    assert answers["q1"].faults == ()
    assert (answers["q2"].text, answers["q2"].refused) == ("", True)
    assert answers["q1"].took_ms >= searched["q1"].took_ms


def test_a_question_the_program_refuses_is_told_with_its_place() -> None:
    class Strict(ScriptedAssistant):
        def search(self, question: str, **options: object) -> SearchResult:
            if question != WARM_UP:
                raise QuestionError("the question has 9 characters, over the limit of 8")
            return super().search(question)

    asked = GoldQuestion("q1", "長すぎる質問です", True, (SECOND,), where="gold.jsonl:3")
    with pytest.raises(GoldError, match=r"^gold\.jsonl:3: q1: the question has 9 characters"):
        search(Strict((NOTE,), {WHOLE: {}}), [asked])


def test_trec_files_name_chunks_or_documents() -> None:
    assistant = make_assistant()
    assert trec_run(search(assistant), "whole", by_document=False) == (
        "q1 Q0 a.md#1 1 1.000000 whole\n"
        "q1 Q0 a.md#2 2 0.500000 whole\n"
        "q1 Q0 b.md#1 3 0.333333 whole\n"
    )
    assert trec_qrels([ASKED, UNANSWERABLE], assistant.chunks, False) == "q1 0 a.md#2 1\n"
    graded = GoldQuestion("q1", "?", True, (Target("b c.md", relevance=2.0),))
    assert trec_qrels([graded], (), by_document=True) == "q1 0 b_c.md 2\n"
