"""Stage 5, the vector leg: FAISS over unit vectors, exact while that is quick.

A chunk has a vector for each of its small units (a bullet, a sentence or two); its score is that
of its best unit. Which FAISS index holds them follows from their number alone; what was measured
for it stands in docs/scale.md.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import faiss
import numpy as np
import numpy.typing as npt

from rag.protocols import NEW, Matrix, Offsets, OldRows, VectorIndex

EXACT_UNITS = 20_000
"""Up to so many, every unit is compared at full precision: a few milliseconds."""
FOUND_UNITS = 1_000
"""Past EXACT_UNITS: how many of the nearest units are found, their scores exact."""
REFINED = 4
"""How many times FOUND_UNITS are scored exactly after the one-bit comparison."""
SAMPLED_UNITS = 4_096
"""How many units tell FAISS where the middle of all is, when an index is renewed."""
BLOCK_UNITS = 65_536
SAMPLED_CHUNKS = 512
"""Past EXACT_UNITS: how many chunks are scored however far they are, so that the leg's least score
stays what it is in a small index: fusion measures by the distance between least and best."""

# As in assistant.py: one question is too small to be shared out among threads.
faiss.omp_set_num_threads(1)


class FaissIndex:
    """Inner product over unit vectors, so cosine; row i stands for the i-th unit."""

    def __init__(self, index: faiss.Index) -> None:
        self._index = cast(Any, index)
        self.exact = not isinstance(index, faiss.IndexRefine)
        """Every row is compared at full precision."""
        refined = None if self.exact else faiss.downcast_index(self._index.refine_index)
        self._stored = refined or self._index

    @classmethod
    def build(cls, vectors: Matrix) -> FaissIndex:
        """An index of the rows: exact, or past `EXACT_UNITS` with scores exact to 16 bits."""
        rows = np.ascontiguousarray(vectors, dtype=np.float32)
        return cls.of_blocks(len(rows), rows, [rows])

    @classmethod
    def of_blocks(cls, size: int, sample: Matrix, blocks: Iterable[Matrix]) -> FaissIndex:
        """As `build`, of `size` rows that come in blocks; `sample` is like them."""
        index = _empty_index(size, sample.shape[1])
        faiss.omp_set_num_threads(os.cpu_count() or 1)  # of this thread's work alone
        try:
            index.train(sample)
            for rows in blocks:
                index.add(rows)
        finally:
            faiss.omp_set_num_threads(1)
        return cls(index)

    @classmethod
    def load(cls, path: Path) -> FaissIndex:
        """The index written by `save`; raises RuntimeError when FAISS cannot read it."""
        return cls(faiss.read_index(str(path)))

    def save(self, path: Path) -> None:
        """One file in FAISS's own format; raises OSError when it cannot be written whole."""
        # Not faiss.write_index: a disk that is full when the file is closed escapes it.
        path.write_bytes(faiss.serialize_index(self._index).data)

    @property
    def size(self) -> int:
        """How many vectors it holds."""
        return int(self._index.ntotal)

    def vectors(self) -> Matrix:
        """All rows again, shape (size, dim)."""
        return self.rows(slice(0, self.size))

    def rows(self, span: slice) -> Matrix:
        """Some rows again, shape (length of the span, dim)."""
        rows: Matrix = self._stored.reconstruct_n(span.start, span.stop - span.start)
        return rows

    def sample(self) -> Matrix:
        """`SAMPLED_UNITS` rows, evenly spread, or all."""
        chosen = np.linspace(0, self.size - 1, min(SAMPLED_UNITS, self.size)).astype(np.int64)
        rows: Matrix = self._stored.reconstruct_batch(chosen)
        return rows

    def search(
        self, query: Matrix, candidate_k: int, tags: Sequence[str] = ()
    ) -> tuple[Matrix, npt.NDArray[np.int64]]:
        """Scores and rows of the nearest, best first, shape (queries, min(candidate_k, size)).

        Tags are unknown here: retrieval leaves the others out afterwards.
        """
        scores, rows = self._index.search(query, min(candidate_k, self.size))
        return scores, rows

    def all_scores(self, query: Matrix) -> Matrix:
        """Cosine of one query, shape (dim,), with every row; only of an exact index."""
        size, dim = self.size, self._index.d
        vectors = faiss.rev_swig_ptr(self._index.get_xb(), size * dim).reshape(size, dim)
        scores: Matrix = vectors @ query
        return scores


@dataclass(frozen=True, slots=True)
class Sample:
    """Some chunks and all their units' vectors, those of chunks[i] from row starts[i] on."""

    chunks: npt.NDArray[np.int64]
    vectors: Matrix
    starts: npt.NDArray[np.int64]

    @classmethod
    def spread(cls, units: FaissIndex, ends: Offsets) -> Sample:
        """`SAMPLED_CHUNKS` chunks, evenly spread over all that own a unit."""
        lengths = np.diff(ends, prepend=0)
        owners = np.flatnonzero(lengths)
        chosen = np.linspace(0, len(owners) - 1, min(SAMPLED_CHUNKS, len(owners)))
        chunks = owners[chosen.astype(np.int64)]
        spans = [slice(int(ends[chunk] - lengths[chunk]), int(ends[chunk])) for chunk in chunks]
        starts = np.cumsum(lengths[chunks]) - lengths[chunks]
        return cls(chunks, np.concatenate([units.rows(span) for span in spans]), starts)

    def scores(self, query: Matrix) -> Matrix:
        """Cosine of one query with the best unit of each."""
        scores: Matrix = np.maximum.reduceat(self.vectors @ query, self.starts)
        return scores


class DenseIndex:
    """The units' vectors and which chunk each belongs to; chunk i owns units ends[i-1]:ends[i]."""

    def __init__(
        self, units: FaissIndex, ends: Offsets, nearest: VectorIndex | None = None
    ) -> None:
        """`nearest` is asked in place of `units`, which then only keep the vectors."""
        self.units = units
        self.ends = ends
        self._nearest = nearest or (None if units.exact else units)
        lengths = np.diff(ends, prepend=0)
        self._chunk_of_unit = np.repeat(np.arange(len(ends)), lengths)
        self._sample = Sample.spread(units, ends) if self._nearest and units.size else None

    @classmethod
    def build(cls, vectors: Matrix, unit_counts: Sequence[int]) -> DenseIndex:
        """An index of units in the order of their chunks, `unit_counts[i]` of them for chunk i."""
        return cls(FaissIndex.build(vectors), np.cumsum(unit_counts, dtype=np.int32))

    def renewed(self, old_rows: OldRows, vectors: Matrix, unit_counts: Sequence[int]) -> DenseIndex:
        """An index whose chunk i has the units of chunk old_rows[i] of this one.

        Where that is NEW it has the next of `unit_counts`, and as many of `vectors`.
        """
        new = old_rows == NEW
        if new.all():
            return DenseIndex.build(vectors, unit_counts)
        counts = np.zeros(len(old_rows), np.int64)
        counts[new] = unit_counts
        counts[~new] = np.diff(self.ends, prepend=0)[old_rows[~new]]
        sample = np.concatenate([self.units.sample(), vectors])
        blocks = self._blocks(old_rows, vectors, counts)
        units = FaissIndex.of_blocks(int(counts.sum()), sample, blocks)
        return DenseIndex(units, np.cumsum(counts, dtype=np.int32))

    def _blocks(
        self, old_rows: OldRows, vectors: Matrix, counts: npt.NDArray[np.int64]
    ) -> Iterator[Matrix]:
        """The units of `renewed`, never many of the old ones at a time."""
        for first, last in _runs(old_rows):
            if old_rows[first] == NEW:
                own, vectors = np.split(vectors, [counts[first : last + 1].sum()])
                yield own
                continue
            start, stop = self.span(old_rows[first]).start, self.span(old_rows[last]).stop
            for at in range(start, stop, BLOCK_UNITS):
                yield self.units.rows(slice(at, min(at + BLOCK_UNITS, stop)))

    def span(self, row: int | np.int64) -> slice:
        """Which units belong to one chunk."""
        return slice(int(self.ends[row - 1]) if row else 0, int(self.ends[row]))

    def searched_by(self, nearest: VectorIndex) -> DenseIndex:
        """The same units, found by another index."""
        return DenseIndex(self.units, self.ends, nearest)

    def scores(self, query: Matrix, tags: Sequence[str] = ()) -> Matrix:
        """Cosine of one query, shape (dim,), with the best unit of every chunk, shape (chunks,).

        Past `EXACT_UNITS` a chunk with no unit among the nearest gets the least score of these.
        """
        if not self.units.size:
            return np.zeros(len(self.ends), dtype=np.float32)
        if self._nearest is None or self._sample is None:
            return self._best_units(self._chunk_of_unit, self.units.all_scores(query))
        found, rows = self._nearest.search(query[None, :], FOUND_UNITS, tags)
        scores = self._best_units(self._chunk_of_unit[rows[0]], found[0])
        scores[self._sample.chunks] = self._sample.scores(query)
        return scores

    def _best_units(self, chunks: npt.NDArray[np.int64], found: Matrix) -> Matrix:
        """The best score found of each chunk, the least found where a chunk has none."""
        scores = np.full(len(self.ends), found.min(initial=1.0), dtype=np.float32)
        np.maximum.at(scores, chunks, found)
        return scores


def _runs(old_rows: OldRows) -> Iterator[tuple[int, int]]:
    """First and last of the rows that follow each other in the old index too, or are all new."""
    new = old_rows == NEW
    goes_on = (np.diff(old_rows) == 1) & ~new[:-1] | new[1:] & new[:-1]
    breaks = np.flatnonzero(~goes_on)
    firsts, lasts = [0, *(breaks + 1).tolist()], [*breaks.tolist(), len(old_rows) - 1]
    yield from zip(firsts, lasts, strict=True) if len(old_rows) else ()


def _empty_index(size: int, dim: int) -> faiss.Index:
    """FAISS's index for so many rows, the one place where it is chosen.

    RaBitQ (Gao & Long, SIGMOD 2024, https://arxiv.org/abs/2405.12497) keeps one bit a number and
    needs hardly any training, so an index is built anew in seconds when a note changes; the best
    it finds are scored again by vectors of 16 bits a number.
    """
    if size <= EXACT_UNITS:
        return faiss.IndexFlatIP(dim)
    metric = faiss.METRIC_INNER_PRODUCT
    stored = faiss.IndexScalarQuantizer(dim, faiss.ScalarQuantizer.QT_fp16, metric)
    index = faiss.IndexRefine(faiss.IndexRaBitQFastScan(dim, metric), stored)
    index.k_factor = REFINED
    return index
