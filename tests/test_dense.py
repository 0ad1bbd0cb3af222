from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rag import dense
from rag.dense import DenseIndex, FaissIndex
from rag.protocols import Matrix


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


def test_a_chunk_beyond_the_scored_units_gets_the_least_score_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dense, "SCORED_UNITS", 2)
    query = np.array([1, 0], np.float32)
    vectors = np.array([[0.6, 0.8], [1, 0], [0, 1], [0.8, 0.6]], np.float32)
    scores = DenseIndex.build(vectors, [1, 1, 1, 1]).scores(query)
    np.testing.assert_allclose(scores, [0.8, 1.0, 0.8, 0.8], atol=1e-6)  # the best two: 1.0, 0.8


def test_an_index_of_nothing_scores_nothing() -> None:
    index = DenseIndex.build(np.zeros((0, 4), np.float32), [])
    assert index.scores(np.ones(4, np.float32)).shape == (0,)
