"""What a model wrote against the notes: every citation literal, nothing invented confirmed."""

from __future__ import annotations

import pytest

from rag.aliases import Aliases
from rag.config import Settings
from rag.drafts import split_drafts
from rag.indexing import build_snapshot
from rag.loading import make_document
from rag.parsing import parse_document
from rag.retrieval import Retriever
from rag.support import CONFIRMED_SUPPORT
from rag.types import Citation, Statement
from rag.verification import Verified, Verifier
from tests.fakes import NOTES, BigramEmbedder, silent

VISIBLE = "受信したメッセージは、既定で30秒のあいだ他のコンシューマーから見えない。"
QUESTION = "メッセージ"


def verify(text: str, notes: dict[str, str] | None = None) -> Verified:
    """The text verified against all of the notes; each citation is checked here."""
    documents = [make_document(doc_id, note) for doc_id, note in (notes or NOTES).items()]
    snapshot = build_snapshot(documents, Settings(embedder="bigram"), BigramEmbedder(), silent)
    retriever = Retriever(snapshot, BigramEmbedder(), Aliases.of([]))
    hits = retriever.search(QUESTION, top_k=50).hits
    sections = [section for document in documents for section in parse_document(document)]
    verifier = Verifier(snapshot, retriever.embed, retriever.aliases)
    verified = verifier.verify(split_drafts(text), hits, sections)
    for citation in verified.citations:
        note = snapshot.documents[citation.doc_id].text
        assert note[citation.start_index : citation.end_index] == citation.quote
        assert any(
            hit.chunk.doc_id == citation.doc_id
            and hit.chunk.start_index <= citation.start_index
            and citation.end_index <= hit.chunk.end_index
            for hit in hits
        )
    numbers = [citation.number for citation in verified.citations]
    assert numbers == list(range(1, len(numbers) + 1))
    assert {n for s in verified.statements for n in s.citation_numbers} == set(numbers)
    return verified


def only(text: str) -> tuple[Statement, list[Citation]]:
    """The one statement of the text, and what it cites."""
    verified = verify(text)
    (statement,) = verified.statements
    return statement, [verified.citations[number - 1] for number in statement.citation_numbers]


def confirmed(text: str) -> bool:
    return only(text)[0].support >= CONFIRMED_SUPPORT


def test_what_the_note_says_is_confirmed_and_cited_by_its_span() -> None:
    statement, (citation,) = only(f"{VISIBLE}[1]")
    assert statement.support >= CONFIRMED_SUPPORT
    assert statement.text == VISIBLE
    assert citation.quote.startswith(VISIBLE)


@pytest.mark.parametrize(
    "invented",
    [
        VISIBLE.replace("30秒", "31秒"),
        VISIBLE.replace("30秒", "30分"),
        VISIBLE.replace("見えない", "見える"),
        VISIBLE.replace("メッセージ", "DynamoDB"),
        VISIBLE + "「必ず30秒で消える」と書かれている。",
        "東京タワーの高さは333メートルである。",
    ],
    ids=["number", "unit", "negation", "name", "quote", "something else"],
)
@pytest.mark.parametrize("mark", ["[1]", "[1][2][3]", "[9]", ""])
def test_what_no_note_says_is_not(invented: str, mark: str) -> None:
    statements = verify(f"{invented}{mark}").statements
    assert min(statement.support for statement in statements) < CONFIRMED_SUPPORT


@pytest.mark.parametrize("mark", ["[9]", "[0]", "[9999]", "", "[4]"])
def test_a_wrong_number_or_none_is_replaced_by_the_span_the_program_finds(mark: str) -> None:
    statement, (citation,) = only(f"{VISIBLE}{mark}")
    assert statement.support >= CONFIRMED_SUPPORT
    assert citation.doc_id == "aws/sqs.md"
    assert citation.quote.startswith("受信した")


def test_a_number_that_was_not_given_is_dropped() -> None:
    statement, citations = only("東京タワーの高さは333メートルである。[9]")
    assert (statement.citation_numbers, citations) == ((), [])
    assert statement.support < CONFIRMED_SUPPORT


def test_a_quote_is_compared_literally_but_for_its_writing() -> None:
    assert confirmed(f"『{VISIBLE}』[1]")
    assert not confirmed(f"「{VISIBLE.replace('見えない', '見えません')}」[1]")


def test_a_quote_that_stands_in_another_hit_is_cited_there() -> None:
    statement, citations = only(f"{VISIBLE[:-1]}、「毎年自動でローテーションされる」。[1]")
    assert "毎年自動でローテーションされる" in [citation.quote for citation in citations]
    assert len(statement.citation_numbers) == len(citations)


def test_the_same_span_has_one_number() -> None:
    verified = verify(f"{VISIBLE}[1]\n{VISIBLE}[1]")
    assert [s.citation_numbers for s in verified.statements] == [(1,), (1,)]
    assert len(verified.citations) == 1


def test_nothing_confirmed_is_told() -> None:
    assert verify(f"{VISIBLE}[1]").confirmed
    assert not verify("東京タワーの高さは333メートルである。[1]").confirmed
    assert not verify("").confirmed


def test_a_fact_of_another_note_does_not_help() -> None:
    notes = {
        "a.md": "## 標準キュー\n\n標準キューの上限は10件である。\n",
        "b.md": "## 配信トピック\n\n配信トピックの上限は20件である。\n",
    }
    (statement,) = verify("標準キューの上限は20件である。[1]", notes).statements
    assert statement.support < CONFIRMED_SUPPORT
