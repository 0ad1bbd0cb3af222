"""Stage 6: the legs' scores → one ranking; pure functions over arrays with one score a chunk.

Min–max scores are added with weights (a convex combination: Bruch, Gai & Ingber, An Analysis of
Fusion Functions for Hybrid Retrieval, TOIS 2023, https://arxiv.org/abs/2210.11934).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from rag.protocols import Matrix


def min_max(scores: Matrix) -> Matrix:
    """Scores moved to 0–1, the least to 0 and the best to 1; all equal gives all 0."""
    if not len(scores):
        return scores
    low = scores.min()
    spread = scores.max() - low
    if spread <= 0:
        return np.zeros_like(scores)
    scaled: Matrix = np.subtract(scores, low, dtype=np.float32)
    scaled /= spread  # in place: of a million chunks every array costs a millisecond
    return scaled


def fuse(legs: Mapping[str, Matrix], weights: Mapping[str, float]) -> Matrix:
    """Weighted sum of the legs' min–max scores; a leg without weight is left out."""
    used = [name for name in legs if weights.get(name)]
    if not used:
        raise ValueError(f"no leg with a weight: legs {sorted(legs)}, weights {dict(weights)}")
    total = np.zeros_like(legs[used[0]])
    for name in used:
        scaled = min_max(legs[name])
        scaled *= weights[name]
        total += scaled
    return total


def top_rows(scores: Matrix, count: int) -> list[int]:
    """Rows of the `count` (at least one) best scores, best first; the earlier row where equal."""
    rows = np.arange(len(scores)) if count >= len(scores) else _at_least_nth(scores, count)
    order = np.argsort(-scores[rows], kind="stable")[:count]
    return [int(row) for row in rows[order]]


def _at_least_nth(scores: Matrix, count: int) -> npt.NDArray[np.int64]:
    """Rows of the scores that are no less than the `count`-th best."""
    edge = np.partition(scores, len(scores) - count)[len(scores) - count]
    return np.flatnonzero(scores >= edge)
