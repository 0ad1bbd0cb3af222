"""Stage 5, the token-vector leg: how well each token of a question is met somewhere in a passage.

The score is ColBERT's MaxSim (Khattab & Zaharia, 2020, https://arxiv.org/abs/2004.12832), each
question token weighted by how rare it is, over the token vectors that the embedding model gives
anyway: no training and no second model.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rag.protocols import NEW, Matrix, Offsets, OldRows, TokenVectors
from rag.token_segments import (
    Records,
    Segment,
    SegmentWriter,
    TokenCodes,
    dequantize,
    no_records,
    pack,
)

Stays = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Places:
    """Where the tokens of each chunk stand: in which segment, from which record on, how many."""

    segments: Offsets
    firsts: npt.NDArray[np.int64]
    lengths: Offsets

    @classmethod
    def of(cls, count: int) -> Places:
        """Of so many chunks, none of which has a token yet."""
        return cls(np.zeros(count, np.int32), np.zeros(count, np.int64), np.zeros(count, np.int32))

    def taken_over(self, old_rows: OldRows, stays: Stays) -> tuple[Places, list[int]]:
        """Those of the chunks `old_rows` whose segments stay, and the rows of all other chunks."""
        places, taken = Places.of(len(old_rows)), old_rows != NEW
        taken[taken] = stays[self.segments[old_rows[taken]]]
        own = old_rows[taken]
        places.segments[taken] = (np.cumsum(stays) - 1)[self.segments[own]]
        places.firsts[taken] = self.firsts[own]
        places.lengths[taken] = self.lengths[own]
        return places, np.flatnonzero(~taken).tolist()


class TokenIndex:
    """Token vectors of all chunks, eight bits a number, in segments that may be files.

    `frequencies` tells by the id of a token in how many chunks it stands.
    """

    def __init__(
        self, dim: int, segments: Sequence[Segment], places: Places, frequencies: Offsets
    ) -> None:
        self.dim = dim
        self.segments = segments
        self.places = places
        self.frequencies = frequencies

    @classmethod
    def build(cls, chunks: Sequence[TokenVectors], dim: int) -> TokenIndex:
        """An index of the chunks' token vectors in order, in memory."""
        nothing = cls(dim, [], Places.of(0), np.zeros(0, np.int32))
        return nothing.renewed(np.full(len(chunks), NEW), chunks)

    def renewed(
        self, old_rows: OldRows, chunks: Iterable[TokenVectors], folder: Path | None = None
    ) -> TokenIndex:
        """An index whose chunk i is chunk old_rows[i] of this one, or the next of `chunks`.

        What is written anew goes into a file in `folder`, each chunk as it comes.
        """
        stays = self._staying_segments(old_rows)
        shared = list(itertools.compress(self.segments, stays))
        places, rows = self.places.taken_over(old_rows, stays)
        counts, writer, new = self.frequencies.copy(), SegmentWriter(self.dim, folder), iter(chunks)
        for row in rows:
            if old_rows[row] == NEW:
                records = pack(next(new))
                counts = _counted(counts, records, 1)
            else:
                records = self.records(int(old_rows[row]))
            places.segments[row], places.lengths[row] = len(shared), len(records)
            places.firsts[row] = writer.append(records)
        for old_row in np.setdiff1d(np.arange(self.size), old_rows).tolist():
            counts = _counted(counts, self.records(old_row), -1)
        counts = np.trim_zeros(counts, "b")
        return TokenIndex(self.dim, [*shared, *writer.segments()], places, counts)

    def _staying_segments(self, old_rows: OldRows) -> Stays:
        """Which segments an index takes over that needs the chunks in these rows."""
        own = old_rows[old_rows != NEW]
        needed = np.bincount(self.places.segments[own], self.places.lengths[own])
        stays = np.zeros(max(len(self.segments), 1), bool)  # also without a segment chunks name one
        for number, (segment, count) in enumerate(zip(self.segments, needed, strict=False)):
            stays[number] = segment.is_shared(int(count))
        return stays

    def saved_in(self, paths: Sequence[Path]) -> TokenIndex:
        """The same, its segments those that were saved there."""
        segments = [s.saved_at(path) for s, path in zip(self.segments, paths, strict=True)]
        return TokenIndex(self.dim, segments, self.places, self.frequencies)

    def records(self, row: int) -> Records:
        """One chunk's tokens as they are kept."""
        length = int(self.places.lengths[row])
        if not length:
            return no_records(0, self.dim)
        segment, first = int(self.places.segments[row]), int(self.places.firsts[row])
        return self.segments[segment].records[first : first + length]

    def starts(self, row: int) -> Offsets:
        """Where in its text each of a chunk's tokens starts."""
        return TokenCodes.of(self.records(row)).starts

    def tokens(self, row: int) -> TokenVectors:
        """One chunk's tokens again."""
        kept = TokenCodes.of(self.records(row))
        return TokenVectors(dequantize(kept.codes, kept.scales), kept.ids, kept.starts)

    def weights(self, ids: Offsets) -> Matrix:
        """How much each token of a question tells: the square root of its IDF over the chunks."""
        counts = self.frequencies
        found = np.array([counts[i] if i < len(counts) else 0 for i in ids.tolist()], np.float32)
        return np.sqrt(np.log1p((self.size - found + 0.5) / (found + 0.5)))

    @property
    def size(self) -> int:
        """How many chunks it holds."""
        return len(self.places.lengths)

    def similarities(self, row: int, query: Matrix) -> Matrix:
        """Cosine of each of a chunk's tokens with each question token, shape (tokens, query)."""
        kept = TokenCodes.of(self.records(row))
        return dequantize(kept.codes, kept.scales) @ query.T

    def scores(self, query: Matrix, weights: Matrix, rows: Sequence[int]) -> Matrix:
        """Weighted mean over the question's tokens of the best cosine in each chunk of `rows`."""
        result = np.zeros(len(rows), dtype=np.float32)
        if not len(query) or not weights.sum():
            return result
        records = [self.records(row) for row in rows]
        lengths = np.array([len(own) for own in records])
        filled = np.flatnonzero(lengths)
        if len(filled):
            kept = TokenCodes.of(np.concatenate(records))
            # The scale of a token is a factor of its cosines: cheaper here than on its vector.
            cosines = (kept.codes.astype(np.float32) @ query.T) * kept.scales[:, None]
            firsts = (np.cumsum(lengths) - lengths)[filled]
            best = np.maximum.reduceat(cosines, firsts, axis=0)
            result[filled] = best @ (weights / weights.sum())
        return result

    def best_unit_score(self, query: Matrix, weights: Matrix, row: int, units: Offsets) -> float:
        """As `scores`, of the chunk's best unit, with what stands before the first (its head).

        `units` tells where in the chunk's text each unit starts.
        """
        kept = TokenCodes.of(self.records(row))
        if not len(query) or not weights.sum() or not len(kept.ids):
            return 0.0
        cosines = (kept.codes.astype(np.float32) @ query.T) * kept.scales[:, None]
        places = np.searchsorted(kept.starts, units).tolist()
        firsts = [first for first in dict.fromkeys(places) if first < len(cosines)] or [0]
        head = cosines[: firsts[0]].max(axis=0, initial=-1.0)
        met = np.maximum(np.maximum.reduceat(cosines, firsts, axis=0), head)
        return float((met @ weights).max() / weights.sum())


def _counted(frequencies: Offsets, records: Records, by: int) -> Offsets:
    """The frequencies with one chunk's tokens more (`by` = 1) or less (−1)."""
    ids = np.unique(TokenCodes.of(records).ids)
    missing = int(ids.max(initial=-1)) + 1 - len(frequencies)
    if missing > 0:
        frequencies = np.concatenate([frequencies, np.zeros(missing, np.int32)])
    frequencies[ids] += by
    return frequencies
