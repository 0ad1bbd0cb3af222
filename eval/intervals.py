"""A figure with its n and its 95% interval: Wilson for shares, seeded bootstrap for means."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

SEED = 20_260_901
RESAMPLES = 10_000
Z_95 = 1.959963984540054
_BATCH = 1_000
_REMEMBERED_CASES = 500
"""Draws for so many cases are kept, since every metric of a run needs the same; 20 MB each."""

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure measured on `n` cases and the 95% interval it lies in."""

    value: float
    low: float
    high: float
    n: int


def wilson(successes: float, n: int) -> Estimate:
    """A share with its score interval; ValueError when n is 0.

    Wilson, Probable inference, the law of succession, and statistical inference, JASA 1927,
    https://doi.org/10.1080/01621459.1927.10502953.
    """
    if n < 1:
        raise ValueError("a share needs at least one case")
    share = successes / n
    shrink = 1 + Z_95**2 / n
    centre = (share + Z_95**2 / (2 * n)) / shrink
    half = Z_95 * math.sqrt(share * (1 - share) / n + Z_95**2 / (4 * n**2)) / shrink
    return Estimate(share, max(0.0, centre - half), min(1.0, centre + half), n)


def bootstrap_means(rows: Floats) -> list[Estimate]:
    """The mean of each column with its percentile interval; rows are drawn whole, seeded.

    ValueError when there is no row.
    """
    n, columns = rows.shape
    if n < 1:
        raise ValueError("a mean needs at least one case")
    centre = rows.mean(axis=0)
    low = high = centre
    if (rows != rows[0]).any():  # else every resample has the same mean
        means = np.concatenate([weights @ rows / n for weights in resampled_counts(n)])
        low, high = np.quantile(means, [0.025, 0.975], axis=0)
    return [Estimate(float(centre[c]), float(low[c]), float(high[c]), n) for c in range(columns)]


def resampled_counts(n: int, seed: int = SEED) -> Iterator[Counts]:
    """How often each of `n` cases is drawn, a row for each resample, in batches of 1,000."""
    if n <= _REMEMBERED_CASES:
        yield from _remembered_counts(n, seed)
    else:
        rng = np.random.default_rng(seed)
        for _ in range(RESAMPLES // _BATCH):
            yield _draw(rng, n)


@lru_cache(maxsize=4)
def _remembered_counts(n: int, seed: int) -> tuple[Counts, ...]:
    rng = np.random.default_rng(seed)
    return tuple(_draw(rng, n) for _ in range(RESAMPLES // _BATCH))


def _draw(rng: np.random.Generator, n: int) -> Counts:
    drawn = rng.integers(0, n, size=(_BATCH, n)) + np.arange(_BATCH)[:, None] * n
    return np.bincount(drawn.ravel(), minlength=_BATCH * n).reshape(_BATCH, n).astype(np.float32)


def quantile_estimate(values: Sequence[float], share: float) -> Estimate:
    """A quantile with its order-statistic interval (normal approximation); needs one value.

    Conover, Practical Nonparametric Statistics, 3rd edition, Wiley 1999, §3.2.
    """
    if not values:
        raise ValueError("a quantile needs at least one case")
    ordered = sorted(values)
    n = len(ordered)
    spread = Z_95 * math.sqrt(n * share * (1 - share))
    low, high = math.ceil(n * share - spread), math.ceil(n * share + spread)
    return Estimate(
        ordered[max(1, math.ceil(n * share)) - 1],
        ordered[max(1, low) - 1],
        ordered[min(n, high) - 1],
        n,
    )
