"""A snapshot of as many chunks as wanted, generated from the statistics of a real one.

The real chunks are copied as they are, then again and again with every part moved: a vector by
half the difference of two others, which keeps the spread in every direction; token vectors in the
same way, those of the first `MOVED_CHUNKS`, which all later ones share (late interaction reads 64
chunks, however many there are); the terms keep their chunks' counts, and those that stand in more
than 2 % of the chunks keep their name, so that their postings grow with the corpus. Rarer terms
belong to a subject, each with words of its own; the number of subjects grows as the square root of
that of the copies, and so does the vocabulary (Heaps' law). The notes are copied word for word.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from rag.dense import DenseIndex
from rag.late_interaction import Places, TokenIndex
from rag.lexical import BM25Index
from rag.protocols import Matrix
from rag.snapshot import Snapshot
from rag.token_segments import Codes, SegmentWriter, TokenCodes
from rag.types import Chunk, Document

COMMON_SHARE = 0.02
MOVED_CHUNKS = 100_000
SEED = 20


def generated_snapshot(real: Snapshot, chunk_count: int, scratch: Path) -> Snapshot:
    """A snapshot of `chunk_count` chunks, the first of them real; token vectors in `scratch`."""
    copies = -(-chunk_count // len(real.chunks))
    rng = np.random.default_rng(SEED)
    documents = {d.doc_id: d for copy in range(copies) for d in _documents(real, copy)}
    chunks = [chunk for copy in range(copies) for chunk in _chunks(real, copy)][:chunk_count]
    unit_counts = np.tile(np.diff(real.dense.ends, prepend=0), copies)[:chunk_count]
    vectors = _unit_vectors(real.dense.units.vectors(), int(unit_counts.sum()), rng)
    manifest = replace(
        real.manifest, counts={"documents": len(documents), "chunks": chunk_count}, checksums={}
    )
    return Snapshot(
        replace(manifest, snapshot_id=f"generated-{chunk_count}"),
        documents,
        chunks,
        DenseIndex.build(vectors, unit_counts.tolist()),
        generated_postings(real.words, chunk_count),
        generated_postings(real.bigrams, chunk_count),
        _tokens(real.tokens, chunk_count, scratch, rng),
    )


def moved(rows: Matrix, others: Matrix, more: Matrix) -> Matrix:
    """Rows moved by half the difference of two others, unit length again."""
    found = rows + 0.5 * (others - more)
    unit: Matrix = found / np.linalg.norm(found, axis=1, keepdims=True)
    return unit


def generated_postings(real: BM25Index, size: int) -> BM25Index:
    """The real index's terms in `size` chunks."""
    copies = -(-size // real.size)
    subjects = max(1, round(copies**0.5))
    frequencies = np.diff(real.starts)
    common = frequencies > COMMON_SHARE * real.size
    names, rows, counts = [], [], []
    for term, number in real.terms.items():
        start, end = real.span(term)
        for subject in range(1 if common[number] else subjects):
            own = np.arange(subject, copies, 1 if common[number] else subjects, dtype=np.int32)
            found = (own[:, None] * real.size + real.rows[start:end]).ravel()
            names.append(f"{term}~{subject}" if subject else term)
            rows.append(found[found < size].astype(np.int32))
            counts.append(np.tile(real.counts[start:end], len(own))[found < size])
    starts = np.cumsum([0, *map(len, rows)], dtype=np.int64)
    terms = {name: number for number, name in enumerate(names)}
    return BM25Index(terms, starts, np.concatenate(rows), np.concatenate(counts), size)


def _documents(real: Snapshot, copy: int) -> Iterator[Document]:
    for document in real.documents.values():
        yield replace(document, doc_id=_named(document.doc_id, copy))


def _chunks(real: Snapshot, copy: int) -> Iterator[Chunk]:
    for chunk in real.chunks:
        chunk_id, doc_id = _named(chunk.chunk_id, copy), _named(chunk.doc_id, copy)
        yield replace(chunk, chunk_id=chunk_id, doc_id=doc_id)


def _named(name: str, copy: int) -> str:
    return f"{name}~{copy}" if copy else name


def _unit_vectors(real: Matrix, count: int, rng: np.random.Generator) -> Matrix:
    result = np.empty((count, real.shape[1]), np.float32)
    for start in range(0, count, len(real)):
        part = result[start : start + len(real)]
        others, more = rng.integers(0, len(real), (2, len(part)))
        part[:] = moved(real[: len(part)], real[others], real[more]) if start else real[: len(part)]
    return result


def _tokens(
    real: TokenIndex, chunk_count: int, folder: Path, rng: np.random.Generator
) -> TokenIndex:
    records = np.concatenate([real.records(row) for row in range(real.size)])
    codes = TokenCodes.of(records).codes
    lengths = np.resize(real.places.lengths, min(chunk_count, MOVED_CHUNKS))
    ends, writer = np.cumsum(lengths, dtype=np.int64), SegmentWriter(real.dim, folder)
    for start in range(0, int(ends[-1]), len(records)):
        own = records.copy()
        if start:
            TokenCodes.of(own).codes[:] = _moved_codes(codes, rng)
        writer.append(own[: int(ends[-1]) - start])
    firsts = np.resize(ends - lengths, chunk_count)
    lengths = np.resize(lengths, chunk_count)
    places = Places(np.zeros(chunk_count, np.int32), firsts, lengths)
    copies = -(-chunk_count // real.size)
    return TokenIndex(real.dim, writer.segments(), places, real.frequencies * copies)


def _moved_codes(codes: Codes, rng: np.random.Generator) -> Codes:
    """As `moved`, the others being the rows so many places on."""
    first, second = rng.integers(1, len(codes), 2)
    difference = np.roll(codes, first, axis=0).astype(np.int16) - np.roll(codes, second, axis=0)
    return np.clip(codes + difference // 2, -127, 127).astype(np.int8)
