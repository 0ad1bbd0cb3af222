"""Stage 5, the word and bigram legs: BM25 over an inverted index in flat arrays."""

from __future__ import annotations

import bisect
import copy
import math
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from rag.protocols import NEW, Matrix, Offsets, OldRows, TermIndex

K1 = 1.2
B = 0.75
"""Robertson & Zaragoza, The Probabilistic Relevance Framework: BM25 and Beyond (2009), §3.2."""
COLUMNS_FROM = 50_000
"""From so many chunks on, a term that stands in `COMMON_SHARE` of them or more also has a column:
its weight in every chunk. To add a column costs as much as to add the pairs of an eighth."""
COMMON_SHARE = 1 / 8
FOUND_CHUNKS = 1_000
MOST_COUNTED = 65_535
Counts = npt.NDArray[np.uint16]


class BM25Index:
    """How often each term stands in each chunk, and the BM25 weight of every such pair.

    Term number n owns starts[n]:starts[n + 1] of the flat arrays, its chunks in ascending order.
    """

    def __init__(
        self,
        terms: Mapping[str, int],
        starts: npt.NDArray[np.int64],
        rows: Offsets,
        counts: Counts,
        size: int,
    ) -> None:
        self._best: TermIndex | None = None
        self.terms = terms
        self.starts = starts
        self.rows = rows
        self.counts = counts
        self.size = size
        self.weights = self._weights()
        self._columns = self._common_columns() if size >= COLUMNS_FROM else {}

    @classmethod
    def build(cls, texts_terms: Iterable[Sequence[str]]) -> BM25Index:
        """An index whose row i stands for the i-th list of terms."""
        postings, size = _Postings(), 0
        for terms in texts_terms:
            postings.add(size, terms)
            size += 1
        return cls(*postings.sorted(), size)

    def renewed(self, old_rows: OldRows, texts_terms: Iterable[Sequence[str]]) -> BM25Index:
        """An index whose row i stands for row old_rows[i] of this one, the same as were it built.

        Where that is NEW it stands for the next list of terms.
        """
        postings, texts = _Postings(), iter(texts_terms)
        for row in np.flatnonzero(old_rows == NEW).tolist():
            postings.add(row, next(texts))
        postings.take_over(self, old_rows)
        return BM25Index(*postings.sorted(), len(old_rows))

    def _weights(self) -> Matrix:
        counts = self.counts.astype(np.float32)
        lengths = np.bincount(self.rows, counts, self.size).astype(np.float32)
        average = float(lengths.mean()) if lengths.any() else 1.0
        norm = (K1 * (1 - B + B * lengths / average)).astype(np.float32)
        frequencies = np.diff(self.starts)
        rarities = np.array([idf(int(n), self.size) for n in frequencies], np.float32)
        weights: Matrix = np.repeat(rarities, frequencies)
        weights *= counts * np.float32(K1 + 1) / (counts + norm[self.rows])
        return weights

    def _common_columns(self) -> dict[int, Matrix]:
        """By the number of each common term its weight in every chunk."""
        columns: dict[int, Matrix] = {}
        for number in np.flatnonzero(np.diff(self.starts) >= COMMON_SHARE * self.size).tolist():
            own = slice(self.starts[number], self.starts[number + 1])
            columns[number] = np.zeros(self.size, np.float32)
            columns[number][self.rows[own]] = self.weights[own]
        return columns

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

    def searched_by(self, best: TermIndex) -> BM25Index:
        """The same terms and weights, the best chunks found by another index."""
        index = copy.copy(self)
        index._best = best
        return index

    def by_chunk(self) -> Iterator[tuple[Offsets, Matrix]]:
        """Term numbers and their weights of each chunk, in order."""
        order = np.argsort(self.rows, kind="stable")
        ends = np.cumsum(np.bincount(self.rows, minlength=self.size))[:-1]
        terms = np.repeat(np.arange(len(self.terms), dtype=np.int32), np.diff(self.starts))
        yield from zip(
            np.split(terms[order], ends), np.split(self.weights[order], ends), strict=True
        )

    def scores(self, query: Mapping[str, float], tags: Sequence[str] = ()) -> Matrix:
        """BM25 of every chunk, shape (size,), for query terms with their weights.

        Another index gives the `FOUND_CHUNKS` best, and the rest get nothing.
        """
        if self._best is not None:
            numbers = {self.terms[t]: weight for t, weight in query.items() if t in self.terms}
            values, rows = self._best.search(numbers, FOUND_CHUNKS, tags)
            best = np.zeros(self.size, dtype=np.float32)
            best[rows] = values
            return best
        scores = np.zeros(self.size, dtype=np.float32)
        for term, weight in query.items():
            number = self.terms.get(term, -1)
            if number in self._columns:
                scores += _times(weight, self._columns[number])
            elif number >= 0:
                own = slice(self.starts[number], self.starts[number + 1])
                # In place: three times as quick as np.bincount over the terms put together.
                np.add.at(scores, self.rows[own], _times(weight, self.weights[own]))
        return scores

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


def _times(weight: float, weights: Matrix) -> Matrix:
    """The product; most terms of a question weigh 1, and then nothing is copied."""
    return weights if weight == 1 else np.float32(weight) * weights


class _Postings:
    """(term, row, count) of an index being built, in flat arrays: far smaller than Python's own."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._terms = array("i")
        self._rows = array("i")
        self._counts = array("H")

    def add(self, row: int, terms: Sequence[str]) -> None:
        """One text's terms."""
        for term, count in Counter(terms).items():
            self._terms.append(self._numbers.setdefault(term, len(self._numbers)))
            self._rows.append(row)
            self._counts.append(min(count, MOST_COUNTED))

    def take_over(self, old: BM25Index, old_rows: OldRows) -> None:
        """What `old` holds of the rows that are taken from it."""
        row_of_old = np.full(old.size, -1, np.int32)
        taken = np.flatnonzero(old_rows != NEW)
        row_of_old[old_rows[taken]] = taken
        numbers = [self._numbers.setdefault(term, len(self._numbers)) for term in old.terms]
        rows = row_of_old[old.rows]
        kept = rows >= 0
        terms = np.repeat(np.array(numbers, np.int32), np.diff(old.starts))
        self._terms.frombytes(terms[kept].tobytes())
        self._rows.frombytes(rows[kept].tobytes())
        self._counts.frombytes(old.counts[kept].tobytes())

    def sorted(self) -> tuple[dict[str, int], npt.NDArray[np.int64], Offsets, Counts]:
        """Terms in order of their text, where each starts, and by term its rows and counts."""
        terms, rows = np.array(self._terms, np.int32), np.array(self._rows, np.int32)
        used = np.flatnonzero(np.bincount(terms, minlength=len(self._numbers))).tolist()
        names = list(self._numbers)
        ordered = sorted(used, key=names.__getitem__)
        place = np.zeros(len(names), np.int64)
        place[ordered] = np.arange(len(ordered))
        keys = place[terms]
        starts = np.zeros(len(ordered) + 1, np.int64)
        np.cumsum(np.bincount(keys, minlength=len(ordered)), out=starts[1:])
        keys <<= 32
        keys |= rows
        # Stable, for it is also quick where nearly all stands in order: what is taken over does.
        order = np.argsort(keys, kind="stable")
        counts = np.array(self._counts, np.uint16)
        numbered = {names[number]: n for n, number in enumerate(ordered)}
        return numbered, starts, rows[order], counts[order]


def idf(document_frequency: int, size: int) -> float:
    """Lucene's IDF, never negative: ln(1 + (N − n + 0.5) / (n + 0.5))."""
    return math.log1p((size - document_frequency + 0.5) / (document_frequency + 0.5))
