"""Stage 5, the token-vector leg: how well each token of a question is met somewhere in a passage.

The score is ColBERT's MaxSim (Khattab & Zaharia, 2020, https://arxiv.org/abs/2004.12832), each
question token weighted by how rare it is, over the token vectors that the embedding model gives
anyway: no training and no second model.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rag.protocols import Matrix, Offsets, TokenVectors

Codes = npt.NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class TokenCodes:
    """`TokenVectors` made small: vectors ≈ codes × scales."""

    codes: Codes
    scales: Matrix
    ids: Offsets
    starts: Offsets

    @classmethod
    def of(cls, tokens: TokenVectors) -> TokenCodes:
        """One text's tokens, quantised."""
        return cls(*quantize(tokens.vectors), tokens.ids, tokens.starts)


class TokenIndex:
    """Token vectors of all chunks, eight bits a number; chunk i owns rows ends[i-1]:ends[i]."""

    def __init__(
        self, codes: Codes, scales: Matrix, ids: Offsets, starts: Offsets, ends: Offsets
    ) -> None:
        self.codes = codes
        self.scales = scales
        self.ids = ids
        self.starts = starts
        self.ends = ends
        self._frequencies = _document_frequencies(ids, ends)

    @classmethod
    def build(cls, chunks: Iterable[TokenVectors | TokenCodes], dim: int) -> TokenIndex:
        """An index of the chunks' token vectors in order, each made small as it comes."""
        codes = bytearray()  # grows in place: arrays in a list are there twice when put together
        scales = [np.zeros(0, np.float32)]
        ids, starts = [np.zeros(0, np.int32)], [np.zeros(0, np.int32)]
        lengths: list[int] = []
        for found in chunks:
            tokens = found if isinstance(found, TokenCodes) else TokenCodes.of(found)
            codes += tokens.codes.tobytes()
            scales.append(tokens.scales)
            ids.append(tokens.ids)
            starts.append(tokens.starts)
            lengths.append(len(tokens.ids))
        return cls(
            np.frombuffer(codes, np.int8).reshape(-1, dim),
            np.concatenate(scales),
            np.concatenate(ids),
            np.concatenate(starts),
            np.cumsum(lengths, dtype=np.int32),
        )

    def token_codes(self, row: int) -> TokenCodes:
        """One chunk's tokens as they are kept."""
        span = self.span(row)
        return TokenCodes(self.codes[span], self.scales[span], self.ids[span], self.starts[span])

    def tokens(self, row: int) -> TokenVectors:
        """One chunk's tokens again."""
        span = self.span(row)
        vectors = dequantize(self.codes[span], self.scales[span])
        return TokenVectors(vectors, self.ids[span], self.starts[span])

    def weights(self, ids: Offsets) -> Matrix:
        """How much each token of a question tells: the square root of its IDF over the chunks."""
        found = np.array([self._frequencies.get(int(token), 0) for token in ids], dtype=np.float32)
        return np.sqrt(np.log1p((self.size - found + 0.5) / (found + 0.5)))

    @property
    def size(self) -> int:
        """How many chunks it holds."""
        return len(self.ends)

    def span(self, row: int) -> slice:
        """Which token rows belong to one chunk."""
        return slice(int(self.ends[row - 1]) if row else 0, int(self.ends[row]))

    def similarities(self, row: int, query: Matrix) -> Matrix:
        """Cosine of each of a chunk's tokens with each question token, shape (tokens, query)."""
        span = self.span(row)
        return dequantize(self.codes[span], self.scales[span]) @ query.T

    def scores(self, query: Matrix, weights: Matrix, rows: Sequence[int]) -> Matrix:
        """Weighted mean over the question's tokens of the best cosine in each chunk of `rows`."""
        result = np.zeros(len(rows), dtype=np.float32)
        if not len(query) or not weights.sum():
            return result
        spans = [self.span(row) for row in rows]
        lengths = np.array([span.stop - span.start for span in spans])
        filled = np.flatnonzero(lengths)
        if len(filled):
            codes = np.concatenate([self.codes[span] for span in spans])
            scales = np.concatenate([self.scales[span] for span in spans])
            # The scale of a token is a factor of its cosines: cheaper here than on its vector.
            cosines = (codes.astype(np.float32) @ query.T) * scales[:, None]
            firsts = (np.cumsum(lengths) - lengths)[filled]
            best = np.maximum.reduceat(cosines, firsts, axis=0)
            result[filled] = best @ (weights / weights.sum())
        return result


def _document_frequencies(ids: Offsets, ends: Offsets) -> dict[int, int]:
    """In how many chunks each token stands."""
    chunk_of_token = np.repeat(np.arange(len(ends)), np.diff(ends, prepend=0))
    # A pair as one number: ten times as quick as rows of two.
    pairs = np.unique(ids.astype(np.int64) << 32 | chunk_of_token)
    found, counts = np.unique(pairs >> 32, return_counts=True)
    return dict(zip(found.tolist(), counts.tolist(), strict=True))


def quantize(vectors: Matrix) -> tuple[Codes, Matrix]:
    """Rows as int8 with one scale each: vectors ≈ codes × scales."""
    scales = np.abs(vectors).max(axis=1, initial=0.0) / 127
    safe = np.where(scales > 0, scales, 1.0)[:, None]
    return np.rint(vectors / safe).astype(np.int8), scales.astype(np.float32)


def dequantize(codes: Codes, scales: Matrix) -> Matrix:
    """The rows again, float32."""
    rows: Matrix = codes.astype(np.float32) * scales[:, None]
    return rows
