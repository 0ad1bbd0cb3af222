"""Stage 5: chunks → the legs of a snapshot; what the one before holds of the same text is kept."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from rag.chunking import embedding_text, unit_texts
from rag.dense import DenseIndex
from rag.embedding_run import Embedded, Report
from rag.late_interaction import TokenIndex
from rag.lexical import BM25Index
from rag.protocols import NEW, Matrix, OldRows, TokenVectors
from rag.snapshot import Snapshot
from rag.text import bigrams, words
from rag.types import Chunk

Embed = Callable[[Sequence[str]], Iterator[Embedded]]
Dims = tuple[int, int]
"""Of the units' vectors and of the token vectors."""
Legs = tuple[DenseIndex, BM25Index, BM25Index, TokenIndex]
"""Dense, words, bigrams, tokens: row i of each stands for chunk i."""


def renewed_legs(
    chunks: Sequence[Chunk],
    embed: Embed,
    dims: Dims,
    old: Snapshot | None,
    report: Report,
    scratch: Path | None = None,
) -> Legs:
    """The legs of `chunks`; only what `old` does not hold is embedded and cut into terms.

    Token vectors are written into the folder `scratch`, where there is one, as they come.
    """
    rows = _old_rows(chunks, old)
    new = [chunk for chunk, row in zip(chunks, rows, strict=True) if row == NEW]
    dense, words_before, bigrams_before, tokens = _legs_of(old, dims)
    embedded = _EmbeddedChunks(new, embed, dims[0])
    tokens = tokens.renewed(rows, embedded.tokens_in_order(), scratch)
    dense = dense.renewed(rows, embedded.vectors, embedded.unit_counts)
    texts = [embedding_text(chunk) for chunk in new]
    return (
        dense,
        words_before.renewed(rows, _terms(texts, words, report, 0)),
        bigrams_before.renewed(rows, _terms(texts, bigrams, report, 1)),
        tokens,
    )


def _legs_of(old: Snapshot | None, dims: Dims) -> Legs:
    if old is not None:
        return old.dense, old.words, old.bigrams, old.tokens
    dense = DenseIndex.build(np.zeros((0, dims[0]), np.float32), [])
    return dense, BM25Index.build([]), BM25Index.build([]), TokenIndex.build([], dims[1])


def _old_rows(chunks: Sequence[Chunk], old: Snapshot | None) -> OldRows:
    """Row of each chunk in the old snapshot.

    A chunk of an unchanged note is the old one; of the others those are found that read the same.
    """
    if old is None:
        return np.full(len(chunks), NEW)
    place = {id(chunk): row for row, chunk in enumerate(old.chunks)}
    rows = [place.pop(id(chunk), NEW) for chunk in chunks]
    by_text = {_embedded_texts(old.chunks[row]): row for row in place.values()}
    found = [
        by_text.pop(_embedded_texts(chunk), NEW) if row == NEW else row
        for chunk, row in zip(chunks, rows, strict=True)
    ]
    return np.array(found, np.int64)


def _embedded_texts(chunk: Chunk) -> tuple[str, ...]:
    return embedding_text(chunk), *unit_texts(chunk)


class _EmbeddedChunks:
    """New chunks embedded: their units for the vectors, then each chunk for its token vectors.

    A chunk that is its own only unit is embedded once, for both.
    """

    def __init__(self, chunks: Sequence[Chunk], embed: Embed, dim: int) -> None:
        self._texts = [_embedded_texts(chunk) for chunk in chunks]
        self._embed = embed
        self.unit_counts = [len(units) for _, *units in self._texts]
        self.vectors: Matrix = np.empty((sum(self.unit_counts), dim), np.float32)
        """Of the units in order; filled once `tokens_in_order` has come to its end."""

    def tokens_in_order(self) -> Iterator[TokenVectors]:
        """Token vectors of each chunk as they come."""
        alone = [units == [text] for text, *units in self._texts]
        is_apart = np.repeat(np.logical_not(alone), self.unit_counts)
        apart = [unit for _, *units in self._texts for unit in units]
        apart = list(itertools.compress(apart, is_apart))
        embedded = self._embed([*apart, *(text for text, *_ in self._texts)])
        for place, (vector, _) in zip(np.flatnonzero(is_apart), embedded, strict=False):
            self.vectors[place] = vector
        places = iter(np.flatnonzero(~is_apart))
        for is_alone, (vector, tokens) in zip(alone, embedded, strict=True):
            if is_alone:
                self.vectors[next(places)] = vector
            yield tokens


def _terms(
    texts: Sequence[str], terms_of: Callable[[str], list[str]], report: Report, place: int
) -> Iterator[list[str]]:
    """Terms of each text; progress counts both lexical legs, this the one in that place."""
    for number, text in enumerate(texts, start=1):
        terms = terms_of(text)
        if number % 64 == 0 or number == len(texts):
            report("terms", place * len(texts) + number, 2 * len(texts))
        yield terms
