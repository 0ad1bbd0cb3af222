from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag import lexical
from rag.lexical import K1, B, BM25Index, idf
from rag.protocols import NEW

TERMS = st.sampled_from(["鍵", "交代", "自動", "lambda", "s3", "待ち"])
TEXTS = st.lists(st.lists(TERMS, max_size=8), max_size=8)
QUERY = st.dictionaries(TERMS, st.floats(0.1, 2), max_size=4)


def naive_bm25(texts: Sequence[Sequence[str]], query: Mapping[str, float], row: int) -> float:
    """The formula as the paper prints it, with Lucene's IDF, term by term."""
    average = sum(map(len, texts)) / len(texts)
    score = 0.0
    for term, weight in query.items():
        found = sum(term in text for text in texts)
        count = texts[row].count(term)
        rarity = math.log(1 + (len(texts) - found + 0.5) / (found + 0.5))
        length = 1 - B + B * len(texts[row]) / (average or 1)
        score += weight * rarity * count * (K1 + 1) / (count + K1 * length)
    return score


@given(texts=TEXTS, query=QUERY)
def test_scores_are_those_of_the_formula(texts: list[list[str]], query: dict[str, float]) -> None:
    expected = [naive_bm25(texts, query, row) for row in range(len(texts))]
    np.testing.assert_allclose(BM25Index.build(texts).scores(query), expected, rtol=1e-4)


@given(texts=TEXTS, query=QUERY)
def test_columns_of_common_terms_change_no_score(
    texts: list[list[str]], query: dict[str, float]
) -> None:
    plain = BM25Index.build(texts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lexical, "COLUMNS_FROM", 0)
        patch.setattr(lexical, "COMMON_SHARE", 0.4)  # some of the terms have a column, some not
        with_columns = BM25Index.build(texts)
    np.testing.assert_allclose(with_columns.scores(query), plain.scores(query), rtol=1e-6)


def test_a_hand_worked_score() -> None:
    index = BM25Index.build([["a", "b"], ["a"], ["c"]])  # N = 3, n(c) = 1, |c| = 1, average = 4/3
    rarity = math.log(1 + (3 - 1 + 0.5) / (1 + 0.5))
    length = 1 - 0.75 + 0.75 * 1 / (4 / 3)
    assert index.scores({"c": 1.0})[2] == pytest.approx(rarity * 2.2 / (1 + 1.2 * length))


def test_terms_in_no_chunk_score_nothing() -> None:
    index = BM25Index.build([["a"], ["b"]])
    assert index.scores({"z": 1.0}).tolist() == [0.0, 0.0]
    assert index.scores({}).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("texts", [[], [[]], [[], []]], ids=["no text", "one empty", "two empty"])
def test_chunks_without_terms_have_scores_of_zero(texts: list[list[str]]) -> None:
    index = BM25Index.build(texts)
    assert index.scores({"a": 1.0}).tolist() == [0.0] * len(texts)
    assert index.document_frequency("a") == 0


def test_a_weight_counts_in_proportion() -> None:
    index = BM25Index.build([["a", "b"], ["b"]])
    assert index.scores({"a": 0.5})[0] == pytest.approx(index.scores({"a": 1.0})[0] / 2)


def test_a_term_in_every_chunk_still_tells_a_little() -> None:
    assert 0 < idf(5, 5) < idf(4, 5) < idf(0, 5)


def test_document_frequency_counts_chunks_not_occurrences() -> None:
    assert BM25Index.build([["a", "a", "b"], ["a"], ["b"]]).document_frequency("a") == 2


def test_coverage_is_the_share_of_the_idf_mass() -> None:
    index = BM25Index.build([["a", "b"], ["a"], ["c"]])
    rarities = {"a": idf(2, 3), "b": idf(1, 3), "z": idf(0, 3)}
    total = sum(rarities.values())
    assert index.coverage(["a", "b", "z"], 0) == pytest.approx(
        (rarities["a"] + rarities["b"]) / total
    )
    assert index.coverage(["a", "b", "z"], 2) == 0.0
    assert index.coverage(["a", "a"], 1) == 1.0
    assert index.coverage([], 0) == 0.0


@given(texts=TEXTS.filter(bool), query=st.lists(TERMS, min_size=1))
def test_coverage_agrees_with_looking_into_the_text(
    texts: list[list[str]], query: list[str]
) -> None:
    index = BM25Index.build(texts)
    for row, text in enumerate(texts):
        found = sum(index.idf(term) for term in set(query) if term in text)
        total = sum(index.idf(term) for term in set(query))
        assert index.coverage(query, row) == pytest.approx(found / total)


@given(
    texts=TEXTS,
    newer=st.lists(st.integers(0, 9) | st.lists(TERMS, max_size=8), max_size=8),
)
def test_a_renewed_index_is_the_one_built_anew(
    texts: list[list[str]], newer: list[int | list[str]]
) -> None:
    """`newer` holds a row of the old index, each once, or the terms of a new text."""
    rows = [row if isinstance(row, int) and row < len(texts) else None for row in newer]
    rows = [None if row in rows[:at] else row for at, row in enumerate(rows)]
    new = [
        terms if isinstance(terms, list) else ["鍵", "新"]
        for terms, row in zip(newer, rows, strict=True)
        if row is None
    ]
    fresh = iter(new)
    all_texts = [next(fresh) if row is None else texts[row] for row in rows]
    old_rows = np.array([NEW if row is None else row for row in rows], np.int64)
    renewed, built = BM25Index.build(texts).renewed(old_rows, new), BM25Index.build(all_texts)
    assert (renewed.terms, renewed.size) == (built.terms, built.size)
    for name in ("starts", "rows", "counts", "weights"):
        np.testing.assert_array_equal(getattr(renewed, name), getattr(built, name))
