from __future__ import annotations

from dataclasses import replace

import pytest

from eval.answers import check_answer, citation_faults, comparable, holds_keys, line_of
from eval.gold import GoldQuestion
from rag.types import Answer, Citation, Hit, Statement
from tests.eval_fakes import cite, line_chunks, make_note

NOTE = make_note("aws/lambda.md", "# Lambda\n上限は15分。\nメモリは10GBまで。")
OTHER = make_note("aws/ecs.md", "上限はない。")
NOTES = {NOTE.doc_id: NOTE, OTHER.doc_id: OTHER}
SECOND_LINE = line_chunks(NOTE)[1]
QUESTION = GoldQuestion("q1", "実行時間は?", True, (), answer_keys=(("15分", "900秒"),))


def make_answer(citation: Citation, text: str = "上限は15分。") -> Answer:
    return Answer(
        answer_id="a",
        question=QUESTION.question,
        statements=(Statement(text, (citation.number,), 1.0),),
        citations=(citation,),
        hits=(Hit(SECOND_LINE, 1, 1.0),),
        answerable=0.9,
        refused=False,
        model="quoting",
        took_ms={},
        snapshot_id="s",
    )


@pytest.mark.parametrize(
    ("text", "keys", "held"),
    [
        ("上限は １５ 分。", [["15分"]], True),  # full width, white space
        ("上限は900秒。", [["15分", "900秒"]], True),
        ("codedeployを使う", [["CodeDeploy"]], True),
        ("上限は15分。", [["15分"], ["メモリ"]], False),
        ("", [["15分"]], False),
    ],
)
def test_one_string_of_each_group_must_be_said(
    text: str, keys: list[list[str]], held: bool
) -> None:
    assert holds_keys([text], keys) is held


def test_a_key_is_not_made_of_two_statements() -> None:
    assert not holds_keys(["上限は15", "分。"], [["15分"]])
    assert holds_keys(["上限は15分。", "メモリは10GB。"], [["15分"], ["10gb"]])


def test_comparison_drops_japanese_white_space() -> None:
    assert comparable("Ａｍａｚｏｎ\u3000S3\n ㌔") == "amazons3キロ"


def test_the_numbers_of_citations_are_no_answer() -> None:
    record = check_answer(make_answer(cite(SECOND_LINE), "上限がある。"), QUESTION, NOTES, 1.0)
    assert record.text == "上限がある。[1]"
    asked = replace(QUESTION, answer_keys=(("[1]",),))
    assert check_answer(make_answer(cite(SECOND_LINE)), asked, NOTES, 1.0).key_right is False


def test_a_faithful_citation_has_no_fault() -> None:
    record = check_answer(make_answer(cite(SECOND_LINE)), QUESTION, NOTES, 12.5)
    assert (record.key_right, record.faults, record.took_ms) == (True, (), 12.5)
    assert (record.citation_count, record.invalid_count) == (1, 0)
    assert (record.statement_count, record.cited_count) == (1, 1)


def test_a_question_without_keys_is_neither_right_nor_wrong() -> None:
    asked = replace(QUESTION, answer_keys=())
    assert check_answer(make_answer(cite(SECOND_LINE)), asked, NOTES, 1.0).key_right is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"quote": "上限は16分。"}, "does not read as quoted"),
        ({"start_index": 8, "end_index": 15}, "does not read as quoted"),
        ({"quote": "", "end_index": 9}, "does not read as quoted"),
        ({"start_line": 1}, "lines 1–2, in the note 2–2"),
        ({"end_line": 3}, "lines 2–3, in the note 2–2"),
        ({"doc_id": "aws/s3.md"}, "no such note"),
    ],
)
def test_a_citation_that_is_not_what_it_says_is_told(change: dict[str, object], said: str) -> None:
    citation = replace(cite(SECOND_LINE), **change)  # type: ignore[arg-type]
    record = check_answer(make_answer(citation), QUESTION, NOTES, 1.0)
    assert any(said in fault for fault in record.faults)
    assert record.invalid_count == 1


def test_a_citation_of_a_note_that_was_not_retrieved_is_told() -> None:
    citation = cite(line_chunks(OTHER)[0])
    (fault,) = citation_faults(citation, make_answer(citation), NOTES)
    assert fault == "[1] aws/ecs.md: a note that was not retrieved"


def test_a_statement_that_names_an_absent_citation_is_not_cited() -> None:
    answer = make_answer(cite(SECOND_LINE))
    loose = replace(answer, statements=(Statement("別の文。", (2,), 1.0),))
    record = check_answer(loose, QUESTION, NOTES, 1.0)
    assert (record.statement_count, record.cited_count) == (1, 0)


def test_lines_count_from_one() -> None:
    assert [line_of(NOTE.text, index) for index in (0, 8, 9, 17)] == [1, 1, 2, 3]
