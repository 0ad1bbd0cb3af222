from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.fusion import fuse, min_max, top_rows
from rag.protocols import Matrix

SCORES = st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.0, -3.0]), max_size=12)


def scores_of(*values: float) -> Matrix:
    return np.array(values, np.float32)


def test_min_max_moves_the_least_to_0_and_the_best_to_1() -> None:
    expected = [(2 - 2) / (6 - 2), (3 - 2) / (6 - 2), (6 - 2) / (6 - 2)]
    assert min_max(scores_of(2, 3, 6)).tolist() == expected


@pytest.mark.parametrize("values", [(), (5.0,), (5.0, 5.0), (0.0, 0.0, 0.0), (-1.0, -1.0)])
def test_min_max_without_a_spread_is_all_0(values: tuple[float, ...]) -> None:
    assert min_max(scores_of(*values)).tolist() == [0.0] * len(values)


def test_fused_scores_are_the_weighted_sum_of_min_max_scores() -> None:
    legs = {"dense": scores_of(0.2, 0.4, 0.6), "words": scores_of(8, 0, 2)}
    expected = [0.6 * 0 + 0.4 * 1, 0.6 * 0.5 + 0.4 * 0, 0.6 * 1 + 0.4 * 0.25]
    assert fuse(legs, {"dense": 0.6, "words": 0.4}).tolist() == pytest.approx(expected)


def test_a_leg_without_weight_or_without_spread_changes_nothing() -> None:
    legs = {"dense": scores_of(1, 3, 2), "words": scores_of(9, 0, 0), "bigrams": scores_of(4, 4, 4)}
    alone = fuse({"dense": legs["dense"]}, {"dense": 1.0})
    np.testing.assert_array_equal(fuse(legs, {"dense": 1.0, "words": 0.0, "bigrams": 0.2}), alone)


def test_fusing_no_weighted_leg_is_a_programming_error() -> None:
    with pytest.raises(ValueError, match="no leg with a weight"):
        fuse({"dense": scores_of(1)}, {"words": 1.0})


def test_equal_scores_keep_the_order_of_the_notes() -> None:
    assert top_rows(scores_of(1, 2, 2, 1, 2), 4) == [1, 2, 4, 0]
    assert top_rows(scores_of(*[1] * 50), 3) == [0, 1, 2]


@given(values=SCORES, count=st.integers(1, 15))
def test_top_rows_are_those_of_a_stable_sort(values: list[float], count: int) -> None:
    expected = sorted(range(len(values)), key=lambda row: (-values[row], row))[:count]
    assert top_rows(scores_of(*values), count) == expected
