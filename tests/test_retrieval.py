from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.aliases import Aliases
from rag.config import Settings
from rag.errors import QuestionError
from rag.indexing import build_snapshot
from rag.loading import make_document
from rag.retrieval import LEGS, FusionWeights, Retriever
from rag.types import Hit
from tests.fakes import NOTES, BigramEmbedder, silent

MORE_NOTES = {
    f"more/{number}.md": f"## {subject}\n\n{subject}の料金は月に{number}円である。\n"
    for number, subject in enumerate(["猫", "犬", "鳥", "魚", "馬", "牛", "羊", "熊"], start=1)
}


def make_retriever(
    notes: dict[str, str],
    aliases: Sequence[tuple[str, ...]] = (),
    weights: FusionWeights | None = None,
) -> Retriever:
    documents = [make_document(doc_id, text) for doc_id, text in notes.items()]
    snapshot = build_snapshot(documents, Settings(embedder="bigram"), BigramEmbedder(), silent)
    return Retriever(snapshot, BigramEmbedder(), Aliases.of(aliases), weights or FusionWeights())


RETRIEVER = make_retriever({**NOTES, **MORE_NOTES})


def ids_of(hits: Sequence[Hit]) -> list[str]:
    return [hit.chunk.doc_id for hit in hits]


@pytest.mark.parametrize(
    ("question", "doc_id"),
    [
        ("メッセージは何秒見えないか", "aws/sqs.md"),
        ("カスタマー管理キーのローテーション", "aws/kms.md"),
        ("デンプンをつくるもの", "生物.md"),
        ("鳥の料金", "more/3.md"),
    ],
)
def test_the_note_that_holds_the_words_is_first(question: str, doc_id: str) -> None:
    assert RETRIEVER.search(question).hits[0].chunk.doc_id == doc_id


@pytest.mark.parametrize("top_k", [1, 3, 5, 50])
def test_ranks_have_no_gaps_and_scores_do_not_rise(top_k: int) -> None:
    hits = RETRIEVER.search("料金は月に何円か", top_k=top_k).hits
    assert len(hits) == min(top_k, len(RETRIEVER.snapshot.chunks))
    assert [hit.rank for hit in hits] == list(range(1, len(hits) + 1))
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert len({hit.chunk.chunk_id for hit in hits}) == len(hits)


def test_fewer_hits_are_the_first_of_more() -> None:
    few, many = (RETRIEVER.search("犬の料金", top_k=count).hits for count in (2, 10))
    assert list(few) == list(many[:2])


def test_more_hits_than_candidates_can_be_asked_for() -> None:
    weights = FusionWeights(candidate_k=2)
    retriever = Retriever(RETRIEVER.snapshot, BigramEmbedder(), Aliases.of([]), weights)
    assert len(retriever.search("料金", top_k=6).hits) == 6


def test_every_hit_tells_what_each_leg_thought() -> None:
    snapshot = RETRIEVER.snapshot
    result = RETRIEVER.search("鳥の料金")
    vectors, _ = BigramEmbedder().embed_queries([result.search_question])
    cosines = snapshot.dense.scores(vectors[0])
    for hit in result.hits:
        assert set(hit.signals) == set(LEGS)
        row = snapshot.row_of[hit.chunk.chunk_id]
        assert hit.signals["dense"] == pytest.approx(float(cosines[row]))
    assert result.hits[0].signals["words"] > 0
    assert result.hits[0].signals["bigrams"] > 0
    assert 0 < result.hits[0].signals["late"] <= 1.001


@pytest.mark.parametrize("leg", LEGS)
def test_each_leg_alone_finds_the_note_and_ranks_by_its_own_signal(leg: str) -> None:
    hits = RETRIEVER.search("鳥の料金は月に何円か", legs={leg}, top_k=50).hits
    assert hits[0].chunk.doc_id == "more/3.md"
    signals = [hit.signals[leg] for hit in hits]
    assert signals == sorted(signals, reverse=True)


def test_a_leg_left_out_counts_for_nothing() -> None:
    every = RETRIEVER.search("鳥の料金", legs=LEGS).hits[0].score
    assert every == pytest.approx(RETRIEVER.search("鳥の料金").hits[0].score)
    without = RETRIEVER.search("鳥の料金", legs=set(LEGS) - {"words"}).hits[0].score
    assert without == pytest.approx(every - FusionWeights().words)  # the best has min–max 1


def test_tags_keep_notes_with_any_of_them() -> None:
    assert set(ids_of(RETRIEVER.search("料金", tags=["SAP-C02"], top_k=50).hits)) == {
        "aws/sqs.md",
        "aws/kms.md",
    }
    either = RETRIEVER.search("料金", tags=["メッセージング", "無い札"], top_k=50).hits
    assert set(ids_of(either)) == {"aws/sqs.md"}


def test_tags_that_no_note_has_find_nothing() -> None:
    result = RETRIEVER.search("料金", tags=["無い札"])
    assert (result.hits, result.answerable) == ((), 0.0)


def test_an_earlier_question_changes_the_result() -> None:
    alone = RETRIEVER.search("料金は？").hits
    following = RETRIEVER.search("料金は？", history=["馬について教えて"]).hits
    assert following[0].chunk.doc_id == "more/5.md"
    assert ids_of(following) != ids_of(alone)


def test_the_last_earlier_question_that_is_not_blank_counts() -> None:
    result = RETRIEVER.search("料金は？", history=["熊について", " 馬について ", "", "\u3000"])
    assert result.search_question == "馬について 料金は？"
    assert RETRIEVER.search("料金は？", history=["", " "]).search_question == "料金は？"
    turns = ["犬について", "鳥について", "魚について", "馬について"]
    assert RETRIEVER.search("料金は？", history=turns).search_question == "馬について 料金は？"


def test_the_question_itself_outweighs_the_one_before() -> None:
    result = RETRIEVER.search("鳥の料金は？", history=["馬の料金は？"])
    assert result.hits[0].chunk.doc_id == "more/3.md"
    assert result.question == "鳥の料金は？"


def test_a_question_about_something_else_is_searched_alone() -> None:
    alone = RETRIEVER.search("葉緑体が光でつくるものと水の役目は？")
    following = RETRIEVER.search("葉緑体が光でつくるものと水の役目は？", history=["馬の料金は？"])
    assert following.search_question == "葉緑体が光でつくるものと水の役目は？"
    assert following.hits == alone.hits
    assert following.answerable == alone.answerable


@pytest.mark.parametrize("question", ["富士山は？", "富士山の高さは？"])
def test_what_no_note_knows_does_not_inherit_the_topic_before(question: str) -> None:
    following = RETRIEVER.search(question, history=["馬の料金は月に何円か"])
    assert following.answerable == RETRIEVER.search(question).answerable


def test_other_names_of_what_is_asked_for_are_searched_too() -> None:
    retriever = make_retriever({**NOTES, **MORE_NOTES}, [("ペンギン", "鳥")])
    hits = retriever.search("ペンギン", legs={"bigrams"}).hits
    assert hits[0].chunk.doc_id == "more/3.md"
    assert RETRIEVER.search("ペンギン", legs={"bigrams"}).hits[0].signals["bigrams"] == 0.0


@pytest.mark.parametrize("question", ["", " ", "\u3000\n\t"], ids=repr)
def test_an_empty_question_is_refused(question: str) -> None:
    with pytest.raises(QuestionError, match="empty"):
        RETRIEVER.search(question)


def test_a_question_over_the_limit_is_refused_with_both_numbers() -> None:
    assert RETRIEVER.search("字" * 2000).hits
    with pytest.raises(QuestionError, match="2001 characters, over the limit of 2000"):
        RETRIEVER.search("字" * 2001)


@pytest.mark.parametrize("top_k", [0, -1])
def test_asking_for_no_hits_is_a_programming_error(top_k: int) -> None:
    with pytest.raises(ValueError, match=f"top_k = {top_k}"):
        RETRIEVER.search("料金", top_k=top_k)


def test_a_leg_that_does_not_exist_is_a_programming_error() -> None:
    with pytest.raises(ValueError, match="reranker"):
        RETRIEVER.search("料金", legs={"words", "reranker"})


@pytest.mark.parametrize(
    "question",
    ["？", "★☆★☆", "😀👨‍👩‍👧", "---", "a" * 2000, "\u0000", "\ud800", "か\u3099", "ـــ"],
    ids=[
        "mark",
        "stars",
        "emoji",
        "dashes",
        "long word",
        "nul",
        "surrogate",
        "mark on か",
        "kashida",
    ],
)
def test_a_question_without_words_still_gets_hits_in_order(question: str) -> None:
    result = RETRIEVER.search(question)
    assert [hit.rank for hit in result.hits] == [1, 2, 3, 4, 5]
    assert 0 <= result.answerable <= 1
    assert all(np.isfinite([hit.score, *hit.signals.values()]).all() for hit in result.hits)


@given(
    question=st.text(st.characters(), min_size=1, max_size=60),
    history=st.lists(st.text(st.characters(), max_size=20), max_size=3),
)
def test_no_text_crashes_the_search(question: str, history: list[str]) -> None:
    if not question.strip():
        question += "字"
    result = RETRIEVER.search(question, history=history)
    assert [hit.rank for hit in result.hits] == [1, 2, 3, 4, 5]
    assert 0 <= result.answerable <= 1


def test_a_single_chunk_is_found_though_its_scores_have_no_spread() -> None:
    retriever = make_retriever({"a.md": "ただ一つの文。\n"})
    hits = retriever.search("ただ一つ").hits
    assert [(hit.rank, hit.score) for hit in hits] == [(1, 0.0)]


def test_an_index_without_chunks_finds_nothing() -> None:
    result = make_retriever({"a.md": "---\ntitle: 題\n---\n"}).search("題")
    assert (result.hits, result.answerable) == ((), 0.0)


def test_threads_get_what_one_alone_gets() -> None:
    questions = [f"{subject}の料金は月に何円か" for subject in "猫犬鳥魚馬牛羊熊"] * 4
    alone = [RETRIEVER.search(question).hits for question in questions]
    shared = Retriever(RETRIEVER.snapshot, BigramEmbedder(), Aliases.of([]))
    with ThreadPoolExecutor(8) as pool:
        assert [result.hits for result in pool.map(shared.search, questions)] == alone


def test_the_same_question_is_embedded_once() -> None:
    embedder = BigramEmbedder()
    retriever = Retriever(RETRIEVER.snapshot, embedder, Aliases.of([]))
    first, second = (retriever.search("鳥の料金").hits for _ in range(2))
    assert first == second
    assert embedder.queries == ["鳥の料金"]


def test_what_the_notes_hold_is_likelier_answerable_than_what_they_do_not() -> None:
    held = RETRIEVER.search("葉緑体は光のエネルギーを使いデンプンをつくる").answerable
    foreign = RETRIEVER.search("Terraform provider lockfile").answerable
    assert 1 >= held > foreign >= 0


def test_the_result_tells_its_snapshot_and_times() -> None:
    result = RETRIEVER.search("料金")
    assert result.snapshot_id == RETRIEVER.snapshot.manifest.snapshot_id
    assert result.took_ms["total"] == pytest.approx(
        result.took_ms["embed"] + result.took_ms["search"]
    )
