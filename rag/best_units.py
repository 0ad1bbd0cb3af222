"""Stage 6: how well a chunk's best unit meets a question, by late interaction.

In a long chunk every token of a question is met somewhere; that one unit meets them all says more.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from rag.chunking import passage_of
from rag.protocols import Matrix, Offsets, TokenVectors
from rag.snapshot import Snapshot

REMEMBERED_CHUNKS = 65_536
"""Chunks whose units are remembered: some hundred bytes each, and a fifth of a millisecond."""


class BestUnits:
    """Over one snapshot; safe to call from several threads."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._starts = lru_cache(REMEMBERED_CHUNKS)(self._find_starts)

    def scores(self, question: TokenVectors, rows: list[int]) -> Matrix:
        """For each chunk of `rows` TokenIndex.scores of its best unit, its breadcrumb included."""
        tokens = self._snapshot.tokens
        weights = tokens.weights(question.ids)
        found = [
            tokens.best_unit_score(question.vectors, weights, row, self._starts(row))
            for row in rows
        ]
        return np.array(found, np.float32)

    def _find_starts(self, row: int) -> Offsets:
        """Where in the chunk's text, as it was embedded, each of its units starts."""
        units = passage_of(self._snapshot.chunks[row]).units
        return np.array([start for start, _ in units], np.int32)
