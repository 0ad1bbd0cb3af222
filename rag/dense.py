"""Stage 5, the vector leg: FAISS over unit vectors, exact."""

from __future__ import annotations

from pathlib import Path

import faiss
import numpy as np
import numpy.typing as npt

from rag.protocols import Matrix

SCORED_ROWS = 10_000


class FaissIndex:
    """Inner product over unit vectors, so cosine; row i stands for the i-th chunk."""

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
        """One file in FAISS's own format."""
        faiss.write_index(self._index, str(path))

    @property
    def size(self) -> int:
        """How many vectors it holds."""
        return int(self._index.ntotal)

    def vectors(self) -> Matrix:
        """All rows again, shape (size, dim)."""
        rows: Matrix = self._index.reconstruct_n(0, self.size)
        return rows

    def scores(self, query: Matrix) -> Matrix:
        """Cosine of one query, shape (dim,), with every row, shape (size,).

        Past `SCORED_ROWS` only the nearest are exact; the others get the least score found.
        """
        scores = np.zeros(self.size, dtype=np.float32)
        if self.size:
            found, rows = self.search(query[None, :], SCORED_ROWS)
            scores[:] = found.min()
            scores[rows[0]] = found[0]
        return scores

    def search(self, query: Matrix, candidate_k: int) -> tuple[Matrix, npt.NDArray[np.int64]]:
        """Scores and rows of the nearest, best first, shape (queries, min(candidate_k, size))."""
        scores, rows = self._index.search(query, min(candidate_k, self.size))
        return scores, rows
