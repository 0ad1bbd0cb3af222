"""Stage 5, the word and bigram legs: BM25 over an inverted index in two flat arrays."""

from __future__ import annotations

import bisect
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from rag.protocols import Matrix

K1 = 1.2
B = 0.75
"""Robertson & Zaragoza, The Probabilistic Relevance Framework: BM25 and Beyond (2009), §3.2."""


class BM25Index:
    """BM25 weights of every (term, chunk) pair, worked out once at indexing time."""

    def __init__(
        self,
        terms: Mapping[str, int],
        starts: npt.NDArray[np.int64],
        rows: npt.NDArray[np.int32],
        weights: Matrix,
        size: int,
    ) -> None:
        self.terms = terms
        self.starts = starts
        self.rows = rows
        self.weights = weights
        self.size = size

    @classmethod
    def build(cls, texts_terms: Sequence[Sequence[str]]) -> BM25Index:
        """An index whose row i stands for the i-th list of terms."""
        size = len(texts_terms)
        postings: dict[str, list[tuple[int, int]]] = {}
        for row, terms in enumerate(texts_terms):
            for term, count in Counter(terms).items():
                postings.setdefault(term, []).append((row, count))
        lengths = np.array([len(terms) for terms in texts_terms], dtype=np.float32)
        average = float(lengths.mean()) if size and lengths.any() else 1.0
        norm = K1 * (1 - B + B * lengths / average)
        ordered = sorted(postings)
        starts = np.zeros(len(ordered) + 1, dtype=np.int64)
        rows = np.zeros(sum(map(len, postings.values())), dtype=np.int32)
        weights = np.zeros(len(rows), dtype=np.float32)
        position = 0
        for number, term in enumerate(ordered):
            found = postings[term]
            end = position + len(found)
            rows[position:end] = [row for row, _ in found]
            counts = np.array([count for _, count in found], dtype=np.float32)
            weights[position:end] = (
                idf(len(found), size) * counts * (K1 + 1) / (counts + norm[rows[position:end]])
            )
            position = end
            starts[number + 1] = position
        return cls({term: n for n, term in enumerate(ordered)}, starts, rows, weights, size)

    def span(self, term: str) -> tuple[int, int]:
        """(start, end) of a term's chunks in the flat arrays; nothing for an unknown term."""
        number = self.terms.get(term)
        if number is None:
            return 0, 0
        return int(self.starts[number]), int(self.starts[number + 1])

    def document_frequency(self, term: str) -> int:
        """In how many chunks a term stands."""
        start, end = self.span(term)
        return end - start

    def idf(self, term: str) -> float:
        """How much a term tells; a term in no chunk tells the most."""
        return idf(self.document_frequency(term), self.size)

    def scores(self, query: Mapping[str, float]) -> Matrix:
        """BM25 of every chunk, shape (size,), for query terms with their weights."""
        found = [(*self.span(term), weight) for term, weight in query.items() if term in self.terms]
        if not found:
            return np.zeros(self.size, dtype=np.float32)
        rows = np.concatenate([self.rows[start:end] for start, end, _ in found])
        weights = np.concatenate([weight * self.weights[start:end] for start, end, weight in found])
        return np.bincount(rows, weights, self.size).astype(np.float32)

    def coverage(self, query: Iterable[str], row: int) -> float:
        """Share of the question's IDF mass whose terms stand in one chunk, 0–1."""
        found = total = 0.0
        for term in set(query):
            start, end = self.span(term)
            weight = idf(end - start, self.size)
            total += weight
            position = bisect.bisect_left(self.rows, row, start, end)
            if position < end and self.rows[position] == row:
                found += weight
        return found / total if total else 0.0


def idf(document_frequency: int, size: int) -> float:
    """Lucene's IDF, never negative: ln(1 + (N − n + 0.5) / (n + 0.5))."""
    return math.log1p((size - document_frequency + 0.5) / (document_frequency + 0.5))
