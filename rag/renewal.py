"""Stage 5: chunks → the legs of a snapshot; what the one before holds of the same text is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from rag.chunking import passage_of
from rag.dense import DenseIndex
from rag.embedding_run import Report
from rag.late_interaction import TokenIndex
from rag.lexical import BM25Index
from rag.protocols import NEW, EmbeddedPassage, Matrix, OldRows, PassageInput, TokenVectors
from rag.snapshot import Snapshot
from rag.text import bigrams, words
from rag.types import Chunk

Embed = Callable[[Sequence[PassageInput]], Iterator[EmbeddedPassage]]
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
    new = [passage_of(chunk) for chunk, row in zip(chunks, rows, strict=True) if row == NEW]
    dense, words_before, bigrams_before, tokens = _legs_of(old, dims)
    counts = [max(1, len(passage.units)) for passage in new]
    vectors: Matrix = np.empty((sum(counts), dims[0]), np.float32)
    tokens = tokens.renewed(rows, _tokens_in_order(embed(new), vectors), scratch)
    dense = dense.renewed(rows, vectors, counts)
    texts = [passage.text for passage in new]
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
    by_text = {passage_of(old.chunks[row]): row for row in place.values()}
    found = [
        by_text.pop(passage_of(chunk), NEW) if row == NEW else row
        for chunk, row in zip(chunks, rows, strict=True)
    ]
    return np.array(found, np.int64)


def _tokens_in_order(
    embedded: Iterator[EmbeddedPassage], vectors: Matrix
) -> Iterator[TokenVectors]:
    """Token vectors of each passage as they come; `vectors` is filled with those of the units."""
    filled = 0
    for passage in embedded:
        count = len(passage.vectors)
        vectors[filled : filled + count] = passage.vectors
        filled += count
        yield passage.tokens


def _terms(
    texts: Sequence[str], terms_of: Callable[[str], list[str]], report: Report, place: int
) -> Iterator[list[str]]:
    """Terms of each text; progress counts both lexical legs, this the one in that place."""
    for number, text in enumerate(texts, start=1):
        terms = terms_of(text)
        if number % 64 == 0 or number == len(texts):
            report("terms", place * len(texts) + number, 2 * len(texts))
        yield terms
