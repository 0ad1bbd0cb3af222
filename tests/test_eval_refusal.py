from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.refusal import RiskPoint, area_under_risk, auroc, pairs_won, risk_coverage

shares = st.lists(st.integers(0, 10).map(lambda tenth: tenth / 10), min_size=1, max_size=20)


def test_auroc_is_the_share_of_pairs_in_order() -> None:
    # 0.9 beats both, 0.5 ties with one and beats the other: (2 + 1.5) / 4
    found = auroc([0.9, 0.5], [0.5, 0.1])
    assert (found.value, found.n) == (3.5 / 4, 4)
    assert found.low <= found.value <= found.high


@pytest.mark.parametrize(
    ("upper", "lower", "value"), [(1.0, 0.0, 1), (0.0, 1.0, 0), (0.5, 0.5, 0.5)]
)
def test_auroc_without_overlap_has_no_width(upper: float, lower: float, value: float) -> None:
    found = auroc([upper] * 3, [lower] * 3)
    assert (found.low, found.value, found.high) == (value, value, value)


def test_auroc_interval_is_that_of_its_formula() -> None:
    """Hanley & McNeil, Radiology 1982: here 50 against 50, uniform, so 1/2 ± 1.96 · 0.058."""
    scores = [index / 50 for index in range(50)]
    found = auroc(scores, scores)
    q = 1 / 3  # of both kinds, where the area is 1/2
    error = ((1 / 4 + 2 * 49 * (q - 1 / 4)) / 2500) ** 0.5
    assert (found.low, found.high) == pytest.approx(
        (0.5 - 1.96 * error, 0.5 + 1.96 * error), abs=0.01
    )


@given(shares, shares)
def test_auroc_turns_round_with_the_kinds(first: list[float], second: list[float]) -> None:
    assert pairs_won(first, second).mean() == pytest.approx(1 - pairs_won(second, first).mean())


def test_both_kinds_of_question_are_needed() -> None:
    with pytest.raises(ValueError, match="both kinds"):
        auroc([0.5], [])


def test_the_curve_answers_equal_scores_together() -> None:
    points = risk_coverage([0.9, 0.5, 0.5, 0.1], [False, True, False, True])
    assert points == [
        RiskPoint(0.9, 1 / 4, 0 / 1),
        RiskPoint(0.5, 3 / 4, 1 / 3),
        RiskPoint(0.1, 4 / 4, 2 / 4),
    ]
    assert area_under_risk(points) == pytest.approx(1 / 4 * 0 + 2 / 4 * 1 / 3 + 1 / 4 * 2 / 4)


@given(shares, st.data())
def test_the_curve_ends_with_everything_answered(scores: list[float], data: st.DataObject) -> None:
    wrong = data.draw(st.lists(st.booleans(), min_size=len(scores), max_size=len(scores)))
    last = risk_coverage(scores, wrong)[-1]
    assert (last.coverage, last.risk) == (1, sum(wrong) / len(wrong))


def test_no_question_has_no_curve() -> None:
    assert risk_coverage([], []) == []
    assert area_under_risk([]) == 0
