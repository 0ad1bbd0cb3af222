"""Stage 6: the legs' scores → one ranking; pure functions over arrays with one score a chunk.

Min–max scores are added with weights (a convex combination: Bruch, Gai & Ingber, An Analysis of
Fusion Functions for Hybrid Retrieval, TOIS 2023, https://arxiv.org/abs/2210.11934).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from rag.protocols import Matrix


def min_max(scores: Matrix, floor: float | None = None) -> Matrix:
    """Scores moved to 0–1 (`floor`, or else the least score, becomes 0); all equal gives all 0."""
    if not len(scores):
        return scores
    low = float(scores.min()) if floor is None else floor
    spread = float(scores.max()) - low
    if spread <= 0:
        return np.zeros_like(scores)
    scaled: Matrix = np.clip((scores - low) / spread, 0, 1).astype(np.float32)
    return scaled


def fuse(legs: Mapping[str, Matrix], weights: Mapping[str, float]) -> Matrix:
    """Weighted sum of the legs' min–max scores; a leg without weight is left out."""
    used = [name for name in legs if weights.get(name)]
    if not used:
        raise ValueError(f"no leg with a weight: legs {sorted(legs)}, weights {dict(weights)}")
    total = np.zeros_like(legs[used[0]])
    for name in used:
        total += weights[name] * min_max(legs[name])
    return total


def top_rows(scores: Matrix, count: int, rows: npt.NDArray[np.int64] | None = None) -> list[int]:
    """Row numbers of the `count` best scores, best first; the earlier row first where equal."""
    among = np.arange(len(scores)) if rows is None else rows
    found = scores[among]
    if count < len(among):
        cut = np.argpartition(-found, count - 1)[:count]
        edge = found[cut].min()
        cut = np.flatnonzero(found >= edge)
        among, found = among[cut], found[cut]
    order = np.lexsort((among, -found))[:count]
    return [int(row) for row in among[order]]
