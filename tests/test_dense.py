from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag import dense
from rag.dense import DenseIndex, FaissIndex
from rag.protocols import NEW, Matrix


def unit_rows(count: int, dim: int = 16, seed: int = 7) -> Matrix:
    rows = np.random.default_rng(seed).normal(size=(count, dim)).astype(np.float32)
    units: Matrix = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return units


def test_faiss_ranks_as_brute_force_does() -> None:
    vectors, queries = unit_rows(200), unit_rows(5, seed=8)
    scores, rows = FaissIndex.build(vectors).search(queries, 10)
    cosines = queries @ vectors.T
    expected = np.argsort(-cosines, axis=1)[:, :10]
    np.testing.assert_array_equal(rows, expected)
    np.testing.assert_allclose(scores, np.take_along_axis(cosines, expected, axis=1), atol=1e-6)


def test_asking_for_more_than_there_is_gives_what_there_is() -> None:
    scores, rows = FaissIndex.build(unit_rows(3)).search(unit_rows(1), 10)
    assert scores.shape == rows.shape == (1, 3)
    assert rows.min() >= 0  # FAISS would fill up with -1


def test_vectors_come_back_as_they_were(tmp_path: Path) -> None:
    vectors = unit_rows(9)
    FaissIndex.build(vectors).save(tmp_path / "dense.faiss")
    np.testing.assert_array_equal(FaissIndex.load(tmp_path / "dense.faiss").vectors(), vectors)


def test_a_file_that_is_no_index_is_a_runtime_error(tmp_path: Path) -> None:
    (tmp_path / "dense.faiss").write_bytes(b"no index")
    with pytest.raises(RuntimeError):
        FaissIndex.load(tmp_path / "dense.faiss")


def test_the_score_of_a_chunk_is_that_of_its_best_unit() -> None:
    vectors, query = unit_rows(6), unit_rows(1, seed=8)[0]
    index = DenseIndex.build(vectors, [1, 3, 2])
    cosines = vectors @ query
    expected = [cosines[0], cosines[1:4].max(), cosines[4:].max()]
    np.testing.assert_allclose(index.scores(query), expected, atol=1e-6)
    assert [index.span(row) for row in range(3)] == [slice(0, 1), slice(1, 4), slice(4, 6)]


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> tuple[DenseIndex, Matrix]:
    """An index past the exact ones, three units a chunk, and its vectors."""
    monkeypatch.setattr(dense, "EXACT_UNITS", 100)
    monkeypatch.setattr(dense, "FOUND_UNITS", 60)
    monkeypatch.setattr(dense, "SAMPLED_CHUNKS", 5)
    vectors = unit_rows(600, dim=64)
    return DenseIndex.build(vectors, [3] * 200), vectors


def test_a_large_index_finds_what_brute_force_finds(large: tuple[DenseIndex, Matrix]) -> None:
    index, vectors = large
    assert not index.units.exact
    queries = unit_rows(5, dim=64, seed=8)
    scores, rows = index.units.search(queries, 100)
    expected = np.argsort(-(queries @ vectors.T), axis=1)[:, :10]
    np.testing.assert_array_equal(rows[:, :10], expected)
    exact = np.take_along_axis(queries @ vectors.T, rows, axis=1)
    np.testing.assert_allclose(scores, exact, atol=1e-3)  # vectors of 16 bits a number


def test_a_large_index_scores_the_best_chunks_and_a_sample(
    large: tuple[DenseIndex, Matrix],
) -> None:
    index, vectors = large
    query = unit_rows(1, dim=64, seed=9)[0]
    exact = (vectors @ query).reshape(-1, 3).max(axis=1)
    scores = index.scores(query)
    best = np.argsort(-exact)[:10]
    np.testing.assert_allclose(scores[best], exact[best], atol=1e-3)
    sample = [0, 49, 99, 149, 199]  # five, evenly spread from the first to the last
    np.testing.assert_allclose(scores[sample], exact[sample], atol=1e-3)
    left = np.setdiff1d(np.flatnonzero(scores > exact + 1e-3), sample)
    assert len(left) > 50  # never found: they have the least score of the 60 units found
    assert np.unique(scores[left]).size == 1


def test_a_large_index_comes_back_as_it_was(
    large: tuple[DenseIndex, Matrix], tmp_path: Path
) -> None:
    index, vectors = large
    index.units.save(tmp_path / "dense.faiss")
    opened = FaissIndex.load(tmp_path / "dense.faiss")
    query = unit_rows(1, dim=64, seed=9)
    assert not opened.exact
    np.testing.assert_array_equal(opened.search(query, 20)[1], index.units.search(query, 20)[1])
    np.testing.assert_array_equal(opened.vectors(), index.units.vectors())
    np.testing.assert_allclose(opened.vectors(), vectors, atol=1e-3)  # 16 bits a number


def test_a_large_index_built_of_its_own_vectors_is_the_same(
    large: tuple[DenseIndex, Matrix],
) -> None:
    vectors = large[0].units.vectors()  # as indexing takes them over from one snapshot to the next
    np.testing.assert_array_equal(FaissIndex.build(vectors).vectors(), vectors)


def test_an_index_of_nothing_scores_nothing() -> None:
    index = DenseIndex.build(np.zeros((0, 4), np.float32), [])
    assert index.scores(np.ones(4, np.float32)).shape == (0,)


@given(
    counts=st.lists(st.integers(1, 3), max_size=6),
    newer=st.lists(st.integers(0, 8) | st.none(), max_size=8),
)
def test_a_renewed_index_is_the_one_built_anew(counts: list[int], newer: list[int | None]) -> None:
    """`newer` holds a row of the old index, each once, or None for a new chunk of two units."""
    rows = [row if row is not None and row < len(counts) else NEW for row in newer]
    rows = [NEW if row in rows[:at] else row for at, row in enumerate(rows)]
    old, new = unit_rows(sum(counts)), unit_rows(2 * rows.count(NEW), seed=8)
    own = np.split(old, np.cumsum(counts)[:-1]) if counts else []
    fresh = iter(np.split(new, max(rows.count(NEW), 1)))
    units = [next(fresh) if row == NEW else own[row] for row in rows]
    built = DenseIndex.build(np.concatenate([old[:0], *units]), list(map(len, units)))
    index = DenseIndex.build(old, counts)
    renewed = index.renewed(np.array(rows, np.int64), new, [2] * rows.count(NEW))
    np.testing.assert_array_equal(renewed.units.vectors(), built.units.vectors())
    np.testing.assert_array_equal(renewed.ends, built.ends)


def test_a_large_index_is_renewed_without_losing_a_bit(large: tuple[DenseIndex, Matrix]) -> None:
    index, _ = large
    rows = np.array([*range(10, 200), NEW, *range(5)], np.int64)
    new = unit_rows(4, dim=64, seed=10)
    vectors = index.renewed(rows, new, [4]).units.vectors()
    kept = index.units.vectors()
    np.testing.assert_array_equal(vectors[:570], kept[30:])
    np.testing.assert_allclose(vectors[570:574], new, atol=1e-3)
    np.testing.assert_array_equal(vectors[574:], kept[:15])
