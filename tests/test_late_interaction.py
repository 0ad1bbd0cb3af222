from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag import token_segments
from rag.late_interaction import TokenIndex
from rag.protocols import NEW, Matrix, TokenVectors
from rag.token_segments import dequantize, quantize

DIM = 8


def unit_rows(count: int, seed: int) -> Matrix:
    rows = np.random.default_rng(seed).normal(size=(count, DIM)).astype(np.float32)
    units: Matrix = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return units


def make_tokens(ids: Sequence[int], seed: int = 1) -> TokenVectors:
    starts = np.arange(len(ids), dtype=np.int32) * 2
    return TokenVectors(unit_rows(len(ids), seed), np.array(ids, np.int32), starts)


def naive_score(query: Matrix, weights: Sequence[float], passage: Matrix) -> float:
    """Each question token's best cosine, weighted, in plain floats."""
    total = 0.0
    for vector, weight in zip(query.tolist(), weights, strict=True):
        cosines = [
            sum(a * b for a, b in zip(vector, other, strict=True)) for other in passage.tolist()
        ]
        total += weight * max(cosines)
    return total / sum(weights)


@given(
    lengths=st.lists(st.integers(0, 6), min_size=1, max_size=5),
    weights=st.lists(st.floats(0.1, 3), min_size=1, max_size=4),
)
def test_scores_are_those_of_a_loop_over_floats(lengths: list[int], weights: list[float]) -> None:
    passages = [make_tokens(range(length), seed) for seed, length in enumerate(lengths)]
    query = unit_rows(len(weights), seed=99)
    index = TokenIndex.build(passages, DIM)
    expected = [
        naive_score(query, weights, passage.vectors) if len(passage.ids) else 0.0
        for passage in passages
    ]
    found = index.scores(query, np.array(weights, np.float32), range(len(lengths)))
    # A code is at most half a step off, a step is at most 1/127: see the test below.
    np.testing.assert_allclose(found, expected, atol=math.sqrt(DIM) * 0.5 / 127)


def test_rows_can_be_asked_for_in_any_order_and_not_all() -> None:
    index = TokenIndex.build([make_tokens([1, 2], seed) for seed in range(4)], DIM)
    query, weights = unit_rows(2, seed=9), np.ones(2, np.float32)
    every = index.scores(query, weights, [0, 1, 2, 3])
    np.testing.assert_array_equal(index.scores(query, weights, [3, 1]), every[[3, 1]])


@given(seed=st.integers(0, 1000), scale=st.floats(1e-3, 1e3))
def test_a_quantized_number_is_at_most_half_a_step_off(seed: int, scale: float) -> None:
    vectors = unit_rows(4, seed) * np.float32(scale)
    codes, scales = quantize(vectors)
    assert codes.dtype == np.int8
    steps = np.abs(vectors).max(axis=1) / 127
    assert (np.abs(dequantize(codes, scales) - vectors) <= 0.501 * steps[:, None]).all()


def test_quantizing_again_changes_no_code() -> None:
    codes, scales = quantize(unit_rows(50, seed=3))
    np.testing.assert_array_equal(quantize(dequantize(codes, scales))[0], codes)


def test_a_row_of_zeros_stays_one() -> None:
    codes, scales = quantize(np.zeros((2, DIM), np.float32))
    assert not dequantize(codes, scales).any()
    assert not np.isnan(scales).any()


def test_tokens_come_back_with_their_ids_and_places() -> None:
    passages = [make_tokens([5, 6], 1), make_tokens([], 2), make_tokens([7], 3)]
    index = TokenIndex.build(passages, DIM)
    assert index.size == 3
    for row, passage in enumerate(passages):
        again = index.tokens(row)
        np.testing.assert_array_equal(again.ids, passage.ids)
        np.testing.assert_array_equal(again.starts, passage.starts)
        np.testing.assert_allclose(again.vectors, passage.vectors, atol=0.5 / 127)


def test_weights_count_chunks_not_occurrences() -> None:
    index = TokenIndex.build([make_tokens([5, 5, 6]), make_tokens([5]), make_tokens([8])], DIM)
    in_two = math.sqrt(math.log(1 + (3 - 2 + 0.5) / (2 + 0.5)))
    in_one = math.sqrt(math.log(1 + (3 - 1 + 0.5) / (1 + 0.5)))
    in_none = math.sqrt(math.log(1 + (3 + 0.5) / 0.5))
    weights = index.weights(np.array([5, 6, 99], np.int32))
    assert weights.tolist() == pytest.approx([in_two, in_one, in_none])


def test_similarities_hold_a_row_for_each_token_of_the_chunk() -> None:
    passages = [make_tokens([1], 1), make_tokens([1, 2, 3], 2)]
    query = unit_rows(2, seed=9)
    found = TokenIndex.build(passages, DIM).similarities(1, query)
    np.testing.assert_allclose(found, passages[1].vectors @ query.T, atol=0.02)


def test_a_question_without_tokens_and_an_index_without_chunks_score_nothing() -> None:
    nothing = np.zeros((0, DIM), np.float32)
    index = TokenIndex.build([make_tokens([1])], DIM)
    assert index.scores(nothing, np.zeros(0, np.float32), [0]).tolist() == [0.0]
    empty = TokenIndex.build([], DIM)
    assert empty.scores(unit_rows(1, 1), np.ones(1, np.float32), []).shape == (0,)


@given(
    lengths=st.lists(st.integers(0, 6), max_size=6),
    newer=st.lists(st.integers(0, 8) | st.none(), max_size=8),
    again=st.permutations(range(8)),
    shared_bytes=st.sampled_from([0, 60, 10_000]),
)
def test_a_renewed_index_is_the_one_built_anew(
    lengths: list[int], newer: list[int | None], again: list[int], shared_bytes: int
) -> None:
    """`newer` holds a row of the old index, each once, or None; then some are left out again."""
    old = [make_tokens(range(length), seed) for seed, length in enumerate(lengths)]
    rows = [row if row is not None and row < len(old) else NEW for row in newer]
    rows = [NEW if row in rows[:at] else row for at, row in enumerate(rows)]
    new = [make_tokens([3, 40 + at], 50 + at) for at in range(rows.count(NEW))]
    fresh = iter(new)
    chunks = [next(fresh) if row == NEW else old[row] for row in rows]
    later = [row for row in again if row < len(rows)][:3]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(token_segments, "SHARED_BYTES", shared_bytes)
        renewed = TokenIndex.build(old, DIM).renewed(np.array(rows, np.int64), new)
        fewer = renewed.renewed(np.array(later, np.int64), [])
    assert_same_tokens(renewed, TokenIndex.build(chunks, DIM))
    assert_same_tokens(fewer, TokenIndex.build([chunks[row] for row in later], DIM))


def assert_same_tokens(first: TokenIndex, second: TokenIndex) -> None:
    assert first.size == second.size
    np.testing.assert_array_equal(first.frequencies, second.frequencies)
    for row in range(first.size):
        np.testing.assert_array_equal(first.records(row), second.records(row))


def test_what_is_needed_of_a_large_segment_is_not_written_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(token_segments, "SHARED_BYTES", 4 * (DIM + 12))
    index = TokenIndex.build([make_tokens([1, 2], seed) for seed in range(4)], DIM)
    (large,) = index.segments
    more = index.renewed(np.array([0, NEW, 2, 3], np.int64), [make_tokens([9], 9)])
    assert more.segments[0] is large
    assert [len(segment.records) for segment in more.segments] == [8, 1]
    small_ones_together = more.renewed(np.array([0, 1, 2, NEW], np.int64), [make_tokens([8], 8)])
    assert [len(s.records) for s in small_ones_together.segments] == [8, 2]
    half_gone = small_ones_together.renewed(np.array([0, 1], np.int64), [])
    assert [len(segment.records) for segment in half_gone.segments] == [3]
