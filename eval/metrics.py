"""Rank metrics, pure: what each rank found → recall@k, hit@k, MRR@10, nDCG@10.

A ranking is a sequence of sets, best rank first: which of a question's targets the hit at that
rank holds. A target is a quote of a note (then the hits are chunks) or a whole document (then the
hits are documents). Where every hit holds at most one target, and none twice, the values are those
of ir-measures (R@k, Success@k, RR@10, nDCG@10); a question that was not run scores 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from collections.abc import Set as AbstractSet

CUTOFFS = (1, 3, 5, 10)
DEPTH = 10
"""How deep MRR and nDCG look."""

RANK_METRICS = (
    *(f"hit@{k}" for k in CUTOFFS),
    *(f"recall@{k}" for k in CUTOFFS),
    f"mrr@{DEPTH}",
    f"ndcg@{DEPTH}",
)


def hit_at(found: Sequence[AbstractSet[int]], k: int) -> float:
    """1.0 when one of the first `k` ranks holds a target, else 0.0."""
    return float(any(found[:k]))


def recall_at(found: Sequence[AbstractSet[int]], target_count: int, k: int) -> float:
    """Share of the targets that the first `k` ranks hold together."""
    return len(frozenset[int]().union(*found[:k])) / target_count


def reciprocal_rank_at(found: Sequence[AbstractSet[int]], k: int) -> float:
    """1 / the first rank that holds a target; 0.0 when none of the first `k` does."""
    ranks = (rank for rank, targets in enumerate(found[:k], start=1) if targets)
    return 1 / next(ranks, math.inf)


def ndcg_at(found: Sequence[AbstractSet[int]], relevances: Sequence[float], k: int) -> float:
    """Discounted gain of the first `k` ranks, as a share of the best order's.

    A hit gains the relevance of the best target it is the first to hold; a target found again
    gains nothing. The best order has one hit for each target, except that targets which a single
    hit brought together count as one hit there too: so 1.0 is always within reach, and a chunk
    that holds two quotes is no worse than two chunks. Järvelin & Kekäläinen, Cumulated gain-based
    evaluation of IR techniques, TOIS 2002, https://doi.org/10.1145/582415.582418.
    """
    gains: list[float] = []
    seen: set[int] = set()
    bundled: set[int] = set()
    for targets in found[:k]:
        new = sorted(targets - seen, key=lambda target: relevances[target], reverse=True)
        gains.append(relevances[new[0]] if new else 0.0)
        bundled.update(new[1:])
        seen.update(new)
    ideal = sorted(
        (value for target, value in enumerate(relevances) if target not in bundled), reverse=True
    )
    return _discounted(gains) / _discounted(ideal[:k])


def score_ranking(
    found: Sequence[AbstractSet[int]], relevances: Sequence[float]
) -> dict[str, float]:
    """Every metric of RANK_METRICS for one question; an empty ranking scores 0 throughout.

    `relevances` has one positive value for each target; ValueError when there is none.
    """
    if not relevances or min(relevances) <= 0:
        raise ValueError(f"a question needs targets of positive relevance, not {relevances!r}")
    scores = {f"hit@{k}": hit_at(found, k) for k in CUTOFFS}
    scores |= {f"recall@{k}": recall_at(found, len(relevances), k) for k in CUTOFFS}
    scores[f"mrr@{DEPTH}"] = reciprocal_rank_at(found, DEPTH)
    scores[f"ndcg@{DEPTH}"] = ndcg_at(found, relevances, DEPTH)
    return scores


def _discounted(gains: Sequence[float]) -> float:
    return math.fsum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, start=1))
