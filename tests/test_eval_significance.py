from __future__ import annotations

import pytest

from eval.significance import compare, sign_test, smallest_visible_loss


@pytest.mark.parametrize(
    ("wins", "losses", "chance"),
    [
        (0, 0, 1.0),
        (0, 5, 1 / 2**5),
        (0, 4, 1 / 2**4),
        (1, 7, (8 + 1) / 2**8),  # 7 or 8 of 8 lost
        (5, 0, 1.0),
        (2, 9, (55 + 11 + 1) / 2**11),
    ],
)
def test_sign_test_is_the_binomial_tail(wins: int, losses: int, chance: float) -> None:
    assert sign_test(wins, losses) == pytest.approx(chance)


def test_no_change_is_no_loss() -> None:
    same = compare([0, 1, 0.5], [0, 1, 0.5])
    assert (same.wins, same.losses, same.p_loss) == (0, 0, 1.0)
    assert (same.difference.low, same.difference.high) == (0, 0)
    assert not same.shows_loss
    assert not same.lost_points


def test_five_of_two_hundred_lost_are_seen_by_both_tests() -> None:
    loss = compare([1.0] * 200, [0.0] * 5 + [1.0] * 195)
    assert loss.difference.value == pytest.approx(-5 / 200)
    assert loss.interval_shows_loss  # (1 - 5/200)^200 = 0.6% of the resamples miss all five
    assert loss.sign_test_shows_loss  # 1 / 2^5 = 3.1%


def test_as_many_won_as_lost_is_no_loss() -> None:
    mixed = compare([1.0] * 6 + [0.0] * 194, [0.0] * 6 + [1.0] * 6 + [0.0] * 188)
    assert (mixed.wins, mixed.losses) == (6, 6)
    assert not mixed.shows_loss
    assert not mixed.lost_points


def test_one_lost_of_many_only_loses_points() -> None:
    noise = compare([1.0] * 200, [0.0] + [1.0] * 199)
    assert noise.lost_points
    assert not noise.shows_loss


def test_differences_of_rounding_are_not_counted() -> None:
    rounding = compare([1 / 3] * 20, [0.333333] * 20)
    assert (rounding.wins, rounding.losses, rounding.difference.value) == (0, 0, 0)


def test_questions_are_paired_one_to_one() -> None:
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        compare([1.0, 1.0], [1.0])
    with pytest.raises(ValueError, match="no question in common"):
        compare([], [])


@pytest.mark.parametrize(
    ("n", "losses"),
    [
        (1, 1),  # (1 - 1/1)^1 = 0
        (5, 3),  # (2/5)^5 = 1.0%, but (3/5)^5 = 7.8%
        (100, 4),  # 0.96^100 = 1.7%, but 0.97^100 = 4.8%
        (100_000, 4),  # tends to e^-4 = 1.8%
    ],
)
def test_smallest_visible_loss(n: int, losses: int) -> None:
    assert smallest_visible_loss(n) == losses


def test_the_smallest_visible_loss_fails_and_one_less_does_not() -> None:
    n = 60
    visible = smallest_visible_loss(n)
    for losses in (visible, visible - 1):
        after = [0.0] * losses + [1.0] * (n - losses)
        assert compare([1.0] * n, after).shows_loss == (losses == visible)
