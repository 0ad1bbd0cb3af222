"""Does it know what the notes do not say: AUROC, risk–coverage curve, precision and recall."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from eval.intervals import SEED, Estimate, Floats, resampled_counts


@dataclass(frozen=True, slots=True)
class RiskPoint:
    """Answering only where the score is ≥ `threshold`: share answered, share of those wrong."""

    threshold: float
    coverage: float
    risk: float


def auroc(answerable: Sequence[float], unanswerable: Sequence[float]) -> Estimate:
    """Chance that an answerable question scores above an unanswerable one, ties counting half.

    Bootstrap interval, both classes resampled apart, seeded. ValueError when a class is empty.
    """
    if not answerable or not unanswerable:
        raise ValueError("AUROC needs questions of both kinds")
    won = pairs_won(answerable, unanswerable)
    resampled = [
        ((rows @ won) * columns).sum(axis=1) / won.size
        for rows, columns in zip(
            resampled_counts(len(answerable)),
            resampled_counts(len(unanswerable), SEED + 1),
            strict=True,
        )
    ]
    low, high = np.quantile(np.concatenate(resampled), [0.025, 0.975])
    return Estimate(float(won.mean()), float(low), float(high), len(answerable) + len(unanswerable))


def pairs_won(answerable: Sequence[float], unanswerable: Sequence[float]) -> Floats:
    """1 where the answerable question (row) scores above the other (column), ½ for a tie."""
    upper, lower = np.array(answerable)[:, None], np.array(unanswerable)[None, :]
    won: Floats = (upper > lower) + 0.5 * (upper == lower)
    return won


def risk_coverage(scores: Sequence[float], wrong: Sequence[bool]) -> list[RiskPoint]:
    """The curve from the most certain question to all; equal scores are answered together.

    El-Yaniv & Wiener, On the foundations of noise-free selective classification, JMLR 2010,
    https://jmlr.org/papers/v11/el-yaniv10a.html.
    """
    ordered = sorted(zip(scores, wrong, strict=True), key=lambda pair: -pair[0])
    points: list[RiskPoint] = []
    mistakes = 0
    for count, (score, is_wrong) in enumerate(ordered, start=1):
        mistakes += is_wrong
        if count == len(ordered) or ordered[count][0] < score:
            points.append(RiskPoint(score, count / len(ordered), mistakes / count))
    return points


def area_under_risk(points: Sequence[RiskPoint]) -> float:
    """Mean risk over coverage, lower is better; each point holds back to the one before it."""
    before = 0.0
    areas: list[float] = []
    for point in points:
        areas.append((point.coverage - before) * point.risk)
        before = point.coverage
    return math.fsum(areas)
