"""Stage 5, the files of a snapshot: how each is written and read; nothing in them is pickled."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from rag.late_interaction import Places, TokenIndex
from rag.lexical import BM25Index
from rag.protocols import Offsets
from rag.token_segments import Segment
from rag.types import Chunk, Document

DOCUMENT_FIELDS = tuple(field.name for field in fields(Document))
FROM_DOCUMENT = ("title", "tags", "text")
"""What a chunk's record leaves out, for it stands in the document's."""
CHUNK_FIELDS = tuple(field.name for field in fields(Chunk) if field.name not in FROM_DOCUMENT)


def write_documents(path: Path, documents: Iterable[Document]) -> None:
    """One JSON object a line."""
    _write_lines(path, (_record(document, DOCUMENT_FIELDS) for document in documents))


def read_documents(path: Path) -> dict[str, Document]:
    """Notes by doc_id, in the order written."""
    documents = {}
    for values in _read_lines(path):
        for name in ("tags", "aliases"):
            values[name] = tuple(values[name])
        documents[values["doc_id"]] = Document(**values)
    return documents


def write_chunks(path: Path, chunks: Iterable[Chunk]) -> None:
    """One JSON object a line."""
    _write_lines(path, (_record(chunk, CHUNK_FIELDS) for chunk in chunks))


def read_chunks(path: Path, documents: Mapping[str, Document]) -> list[Chunk]:
    """Chunks in the order written, their text cut out of the documents again."""
    chunks = []
    for values in _read_lines(path):
        document = documents[values["doc_id"]]
        values["headings"] = tuple(values["headings"])
        text = document.text[values["start_index"] : values["end_index"]]
        chunks.append(Chunk(title=document.title, tags=document.tags, text=text, **values))
    return chunks


def write_bm25(path: Path, index: BM25Index) -> None:
    """Terms joined by line ends, which stand in no term, and the three flat arrays."""
    terms = "\n".join(index.terms).encode("utf-8", "surrogatepass")
    np.savez(
        path,
        terms=np.frombuffer(terms, dtype=np.uint8),
        starts=index.starts,
        rows=index.rows,
        counts=index.counts,
    )


def read_bm25(path: Path, size: int) -> BM25Index:
    """The index of `size` chunks again."""
    with np.load(path, allow_pickle=False) as arrays:
        joined = arrays["terms"].tobytes().decode("utf-8", "surrogatepass")
        terms = {term: number for number, term in enumerate(joined.split("\n"))} if joined else {}
        return BM25Index(terms, arrays["starts"], arrays["rows"], arrays["counts"], size)


def segment_name(number: int) -> str:
    """The file of one segment of the token index."""
    return f"tokens-{number}.bin"


def write_tokens(path: Path, tokens: TokenIndex, unit_ends: Offsets) -> None:
    """All of the token index but its segments, and which units of the dense leg each chunk owns."""
    np.savez(
        path,
        unit_ends=unit_ends,
        dim=tokens.dim,
        segment_count=len(tokens.segments),
        frequencies=tokens.frequencies,
        **{field.name: getattr(tokens.places, field.name) for field in fields(Places)},
    )


def read_tokens(path: Path, checksums: Mapping[str, str]) -> tuple[TokenIndex, Offsets]:
    """What was written, with the segments beside it, whose checksums are these."""
    with np.load(path, allow_pickle=False) as arrays:
        dim, names = int(arrays["dim"]), map(segment_name, range(int(arrays["segment_count"])))
        segments = [Segment.open(path.with_name(name), dim, checksums[name]) for name in names]
        places = Places(**{field.name: arrays[field.name] for field in fields(Places)})
        return TokenIndex(dim, segments, places, arrays["frequencies"]), arrays["unit_ends"]


def write_text(path: Path, text: str) -> None:
    """UTF-8 with `\\n` on every system."""
    path.write_text(text, encoding="utf-8", newline="\n")


def sync(path: Path) -> None:
    """The file or folder is on disk, not only in memory, before the next step."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_of(path: Path) -> str:
    """Checksum of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _record(value: Document | Chunk, names: Sequence[str]) -> dict[str, Any]:
    """Some of its fields, as they are: `asdict` would copy every one of them."""
    return {name: getattr(value, name) for name in names}


def _write_lines(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    encode = json.JSONEncoder(ensure_ascii=False).encode
    with path.open("w", encoding="utf-8", errors="surrogatepass", newline="\n") as file:
        for record in records:
            file.write(encode(record) + "\n")


def _read_lines(path: Path) -> Sequence[dict[str, Any]]:
    with path.open(encoding="utf-8", errors="surrogatepass", newline="\n") as file:
        return [json.loads(line) for line in file]
