"""Stage 5: chunks → the legs of a snapshot; what the one before holds of the same text is kept."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from rag.chunking import embedding_text, unit_texts
from rag.dense import DenseIndex
from rag.embedding_run import Embedded, Report
from rag.late_interaction import TokenCodes, TokenIndex
from rag.lexical import BM25Index
from rag.protocols import TokenVectors
from rag.snapshot import Snapshot
from rag.text import bigrams, words
from rag.types import Chunk

Embed = Callable[[Sequence[str]], Iterator[Embedded]]
Dims = tuple[int, int]
"""Of the units' vectors and of the token vectors."""
Legs = tuple[DenseIndex, BM25Index, BM25Index, TokenIndex]
"""Dense, words, bigrams, tokens: row i of each stands for chunk i."""


def renewed_legs(
    chunks: Sequence[Chunk], embed: Embed, dims: Dims, old: Snapshot | None, report: Report
) -> Legs:
    """The legs of `chunks`; only what `old` does not hold is embedded and cut into terms."""
    rows = _old_rows(chunks, old)
    dense, tokens = _embed(chunks, rows, embed, dims, old)
    texts = [embedding_text(c) for c, row in zip(chunks, rows, strict=True) if row is None]
    nothing = BM25Index.build([])
    word_terms = _terms(texts, words, report, 0)
    bigram_terms = _terms(texts, bigrams, report, 1)
    return (
        dense,
        (old.words if old else nothing).renewed(rows, word_terms),
        (old.bigrams if old else nothing).renewed(rows, bigram_terms),
        tokens,
    )


def _old_rows(chunks: Sequence[Chunk], old: Snapshot | None) -> list[int | None]:
    """Row of each chunk in the old snapshot, None for what is new; no row is given twice.

    A chunk of an unchanged note is the old one; of the others those are found that read the same.
    """
    if old is None:
        return [None] * len(chunks)
    place = {id(chunk): row for row, chunk in enumerate(old.chunks)}
    rows = [place.pop(id(chunk), None) for chunk in chunks]
    by_text = {_embedded_texts(old.chunks[row]): row for row in place.values()}
    return [
        by_text.pop(_embedded_texts(chunk), None) if row is None else row
        for chunk, row in zip(chunks, rows, strict=True)
    ]


def _embedded_texts(chunk: Chunk) -> tuple[str, ...]:
    return embedding_text(chunk), *unit_texts(chunk)


def _embed(
    chunks: Sequence[Chunk],
    rows: Sequence[int | None],
    embed: Embed,
    dims: Dims,
    old: Snapshot | None,
) -> tuple[DenseIndex, TokenIndex]:
    """The two embedded legs; what `old` holds in these `rows` is taken from it.

    A chunk's units are embedded for their vectors, then the chunk for its token vectors; a chunk
    that is its own only unit is embedded once, for both.
    """
    new = [_embedded_texts(c) for c, row in zip(chunks, rows, strict=True) if row is None]
    new_units = [unit for text, *units in new if units != [text] for unit in units]
    embedded = embed([*new_units, *(text for text, *_ in new)])
    unit_vectors = iter([vector for vector, _ in itertools.islice(embedded, len(new_units))])
    fresh = iter(new)
    vectors = [np.zeros((0, dims[0]), dtype=np.float32)]

    def tokens_in_order() -> Iterator[TokenVectors | TokenCodes]:
        for row in rows:
            if row is not None and old is not None:
                vectors.append(old.dense.units.rows(old.dense.span(row)))
                yield old.tokens.token_codes(row)
                continue
            text, *units = next(fresh)
            vector, tokens = next(embedded)
            alone = units == [text]
            found = [vector] if alone else list(itertools.islice(unit_vectors, len(units)))
            vectors.append(np.stack(found))
            yield tokens

    token_index = TokenIndex.build(tokens_in_order(), dims[1])
    counts = [len(own) for own in vectors[1:]]
    return DenseIndex.build(np.concatenate(vectors), counts), token_index


def _terms(
    texts: Sequence[str], terms_of: Callable[[str], list[str]], report: Report, place: int
) -> Iterator[list[str]]:
    """Terms of each text; progress counts both lexical legs, this the one in that place."""
    for number, text in enumerate(texts, start=1):
        yield terms_of(text)
        if number % 64 == 0 or number == len(texts):
            report("terms", place * len(texts) + number, 2 * len(texts))
