"""Questions for a first visit: of the notes themselves, whatever they are about."""

from __future__ import annotations

from pathlib import Path

import pytest

from api.examples import MIN_SHIPPED_EXAMPLES, examples_of, question_about, spread
from api.messages import SHIPPED_EXAMPLES
from rag.loading import make_document
from rag.types import Section
from tests.fake_assistant import FakeAssistant


def sections(*paths: tuple[str, ...]) -> list[Section]:
    return [Section(str(at), "a.md", path, at, at + 1) for at, path in enumerate(paths)]


@pytest.mark.parametrize(
    ("why", "headings", "expected"),
    [
        ("a term", [("光合成",)], "光合成とは？"),
        ("a question already", [("はじめに",), ("Q2. 水は要りますか？",)], "水は要りますか？"),
        ("a difference goes first", [("葉緑体",), ("葉と茎の違い",)], "葉と茎の違いは？"),
        ("of its parent", [("1. 洋裁（基本）", "手順")], "洋裁の手順は？"),
        ("of its note", [("手順",)], "庭仕事の手順は？"),
        ("already named", [("光合成", "光合成の仕組み")], "光合成の仕組みは？"),
        ("a long one", [("気孔から取り入れるもの",)], "気孔から取り入れるものについて教えて"),
        ("the lowest heading", [("植物",), ("植物", "葉緑体")], "葉緑体とは？"),
        ("numbers of lists go", [("(1) 水星",)], "水星とは？"),
        ("numbers of things stay", [("3つの条件",)], "庭仕事の3つの条件は？"),
        ("no sentence", [("これは文です",)], "「庭仕事」の要点は？"),
        ("nothing general", [("まとめ",), ()], "「庭仕事」の要点は？"),
    ],
)
def test_headings_become_questions(
    why: str, headings: list[tuple[str, ...]], expected: str
) -> None:
    document = make_document("a.md", "# 庭仕事\n")
    assert question_about(document, sections(*headings)) == expected, why


def test_name_of_a_file_is_no_subject() -> None:
    document = make_document("memo_01.txt", "本文だけです。\n")
    assert question_about(document, sections(("道具の種類",))) == "道具の種類は？"


def test_examples_come_from_all_over_the_notes() -> None:
    documents = [make_document(f"{number:02}.md", "# 題\n") for number in range(12)]
    assert [document.doc_id for document in spread(documents, 4)] == [
        *("00.md", "03.md", "06.md", "09.md")
    ]
    assert spread(documents[:2], 4) == documents[:2]


def test_examples_of_notes_of_one_s_own() -> None:
    assert examples_of(FakeAssistant())[:2] == ["ローテーションとは？", "可視性タイムアウトとは？"]


def test_examples_of_the_notes_that_ship_are_shown_for_them() -> None:
    shipped = SHIPPED_EXAMPLES[:MIN_SHIPPED_EXAMPLES]
    assistant = FakeAssistant({doc_id: "# 題\n\n本文\n" for doc_id, _ in shipped})
    assert examples_of(assistant) == [question for _, question in shipped]


def test_examples_name_notes_that_ship() -> None:
    corpus = Path(__file__).parents[1] / "corpus"
    assert [doc_id for doc_id, _ in SHIPPED_EXAMPLES if not (corpus / doc_id).exists()] == []
