"""Stage 5, the vector leg: FAISS over unit vectors, exact.

A chunk has a vector for each of its small units (a bullet, a sentence or two); its score is that
of its best unit.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import faiss
import numpy as np
import numpy.typing as npt

from rag.protocols import Matrix, Offsets

SCORED_UNITS = 10_000

# As in assistant.py: one question is too small to be shared out among threads.
faiss.omp_set_num_threads(1)


class FaissIndex:
    """Inner product over unit vectors, so cosine; row i stands for the i-th unit."""

    def __init__(self, index: faiss.Index) -> None:
        self._index = index

    @classmethod
    def build(cls, vectors: Matrix) -> FaissIndex:
        """An exact index of the rows."""
        index = faiss.IndexFlatIP(vectors.shape[1])
        index.add(np.ascontiguousarray(vectors, dtype=np.float32))
        return cls(index)

    @classmethod
    def load(cls, path: Path) -> FaissIndex:
        """The index written by `save`; raises RuntimeError when FAISS cannot read it."""
        return cls(faiss.read_index(str(path)))

    def save(self, path: Path) -> None:
        """One file in FAISS's own format; raises OSError when it cannot be written whole."""
        # Not faiss.write_index: a disk that is full when the file is closed escapes it.
        path.write_bytes(faiss.serialize_index(self._index).tobytes())

    @property
    def size(self) -> int:
        """How many vectors it holds."""
        return int(self._index.ntotal)

    def vectors(self) -> Matrix:
        """All rows again, shape (size, dim)."""
        rows: Matrix = self._index.reconstruct_n(0, self.size)
        return rows

    def rows(self, span: slice) -> Matrix:
        """Some rows again, shape (length of the span, dim)."""
        rows: Matrix = self._index.reconstruct_n(span.start, span.stop - span.start)
        return rows

    def search(self, query: Matrix, candidate_k: int) -> tuple[Matrix, npt.NDArray[np.int64]]:
        """Scores and rows of the nearest, best first, shape (queries, min(candidate_k, size))."""
        scores, rows = self._index.search(query, min(candidate_k, self.size))
        return scores, rows


class DenseIndex:
    """The units' vectors and which chunk each belongs to; chunk i owns units ends[i-1]:ends[i]."""

    def __init__(self, units: FaissIndex, ends: Offsets) -> None:
        self.units = units
        self.ends = ends
        lengths = np.diff(ends, prepend=0)
        self._chunk_of_unit = np.repeat(np.arange(len(ends)), lengths)

    @classmethod
    def build(cls, vectors: Matrix, unit_counts: Sequence[int]) -> DenseIndex:
        """An index of units in the order of their chunks, `unit_counts[i]` of them for chunk i."""
        return cls(FaissIndex.build(vectors), np.cumsum(unit_counts, dtype=np.int32))

    def span(self, row: int) -> slice:
        """Which units belong to one chunk."""
        return slice(int(self.ends[row - 1]) if row else 0, int(self.ends[row]))

    def scores(self, query: Matrix) -> Matrix:
        """Cosine of one query, shape (dim,), with the best unit of every chunk, shape (chunks,).

        Past `SCORED_UNITS` units only the nearest are exact; a chunk with none of them gets the
        least score found.
        """
        if not self.units.size:
            return np.zeros(len(self.ends), dtype=np.float32)
        found, rows = self.units.search(query[None, :], SCORED_UNITS)
        scores = np.full(len(self.ends), found.min(), dtype=np.float32)
        np.maximum.at(scores, self._chunk_of_unit[rows[0]], found[0])
        return scores
