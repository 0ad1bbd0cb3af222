from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.intervals import RESAMPLES, bootstrap_means, quantile_estimate, resampled_counts, wilson


@pytest.mark.parametrize(
    ("right", "n", "low", "high"),
    [
        (27, 30, 0.744, 0.965),
        (90, 100, 0.826, 0.945),
        (360, 400, 0.867, 0.926),
        (10, 10, 1 / (1 + 1.96**2 / 10), 1.0),  # p = 1: n / (n + z²) to 1
        (0, 10, 0.0, 1 - 1 / (1 + 1.96**2 / 10)),
    ],
)
def test_wilson_gives_the_known_intervals(right: int, n: int, low: float, high: float) -> None:
    found = wilson(right, n)
    assert (found.value, found.n) == (right / n, n)
    assert (found.low, found.high) == pytest.approx((low, high), abs=6e-4)


def test_bootstrap_draws_each_case_once_on_average_and_always_the_same() -> None:
    counts = np.concatenate(list(resampled_counts(7)))
    assert counts.shape == (RESAMPLES, 7)
    assert (counts.sum(axis=1) == 7).all()
    assert counts.mean(axis=0) == pytest.approx(np.ones(7), abs=0.05)
    assert (counts == np.concatenate(list(resampled_counts(7)))).all()


def test_bootstrap_interval_is_that_of_the_normal_curve_on_many_cases() -> None:
    values = np.tile([0.0, 1.0], 200)  # mean 1/2, standard error sqrt(1/4 / 400) = 1/40
    found = bootstrap_means(values[:, None])[0]
    assert found.value == 0.5
    assert (found.low, found.high) == pytest.approx((0.5 - 1.96 / 40, 0.5 + 1.96 / 40), abs=4e-3)


def test_constant_columns_have_an_interval_of_no_width() -> None:
    first, second = bootstrap_means(np.array([[1.0, 0.25]] * 5))
    assert (first.low, first.value, first.high) == (1, 1, 1)
    assert (second.low, second.value, second.high) == (0.25, 0.25, 0.25)


def test_many_cases_are_drawn_in_batches_without_being_kept() -> None:
    first, *others = resampled_counts(600)
    assert first.shape == (1_000, 600)
    assert len(others) == RESAMPLES / 1_000 - 1
    assert (first.sum(axis=1) == 600).all()


def test_quantile_is_an_observed_value_within_its_interval() -> None:
    values = [float(value) for value in range(1, 101)]
    median = quantile_estimate(values, 0.5)
    # ranks 50 ± 1.96 · sqrt(100 / 4) = 40.2 and 59.8, rounded up
    assert (median.low, median.value, median.high) == (41, 50, 60)


@given(st.lists(st.floats(0, 1e6), min_size=1), st.sampled_from([0.5, 0.95]))
def test_quantile_interval_always_holds_the_quantile(values: list[float], share: float) -> None:
    found = quantile_estimate(values, share)
    assert found.low <= found.value <= found.high
    assert sum(value <= found.value for value in values) >= share * len(values) - 1e-9


def test_nothing_measured_is_a_programmer_mistake() -> None:
    with pytest.raises(ValueError, match="at least one"):
        wilson(0, 0)
    with pytest.raises(ValueError, match="at least one"):
        bootstrap_means(np.empty((0, 1)))
    with pytest.raises(ValueError, match="at least one"):
        quantile_estimate([], 0.5)
