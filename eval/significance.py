"""Is a run worse than the one before it, question by question: paired bootstrap and sign test."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from eval.intervals import Estimate, bootstrap_means

ALPHA = 0.05
TINY = 1e-5
"""Smaller differences are rounding: scores are stored with six decimals."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """After against before on the same questions; `difference` is after − before, a mean."""

    before: float
    after: float
    difference: Estimate
    wins: int
    losses: int
    p_loss: float

    @property
    def interval_shows_loss(self) -> bool:
        """The whole bootstrap interval of the difference lies below 0."""
        return self.difference.high < -TINY

    @property
    def sign_test_shows_loss(self) -> bool:
        """More questions lost than won, beyond chance."""
        return self.p_loss < ALPHA

    @property
    def shows_loss(self) -> bool:
        """One of the two tests calls the loss significant."""
        return self.interval_shows_loss or self.sign_test_shows_loss

    @property
    def lost_points(self) -> bool:
        """The mean went down, significantly or not."""
        return self.difference.value < -TINY


def compare(before: Sequence[float], after: Sequence[float]) -> Comparison:
    """Pairs question i of both; ValueError when the lengths differ or are 0.

    The bootstrap has 10,000 seeded resamples of the pairs (Sakai, Evaluating evaluation metrics
    based on the bootstrap, SIGIR 2006, https://doi.org/10.1145/1148170.1148261).
    """
    pairs = np.array(list(zip(before, after, strict=True)), dtype=np.float64)
    if not len(pairs):
        raise ValueError("nothing to compare: no question in common")
    differences = pairs[:, 1] - pairs[:, 0]
    differences[np.abs(differences) < TINY] = 0.0
    wins, losses = int((differences > 0).sum()), int((differences < 0).sum())
    return Comparison(
        before=math.fsum(before) / len(pairs),
        after=math.fsum(after) / len(pairs),
        difference=bootstrap_means(differences[:, None])[0],
        wins=wins,
        losses=losses,
        p_loss=sign_test(wins, losses),
    )


def sign_test(wins: int, losses: int) -> float:
    """Chance of at least so many losses if wins and losses were equally likely; one-sided, exact.

    Questions that did not change are left out, as usual; 1.0 when none changed.
    """
    changed = wins + losses
    at_least = sum(math.comb(changed, lost) for lost in range(losses, changed + 1))
    return float(at_least / 2**changed)


def smallest_visible_loss(n: int) -> int:
    """Fewest of `n` questions that, lost with none won, one of the two tests calls significant.

    The sign test needs 0.5^losses < ALPHA. The bootstrap interval excludes 0 when fewer than
    2.5% of the resamples miss every lost question, whose chance is (1 − losses / n)^n.
    """
    return next(
        losses
        for losses in range(1, n + 1)
        if sign_test(0, losses) < ALPHA or (1 - losses / n) ** n < ALPHA / 2
    )
