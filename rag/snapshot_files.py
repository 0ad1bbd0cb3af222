"""Stage 5, the files of a snapshot: how each is written and read; nothing in them is pickled."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from rag.late_interaction import TokenIndex
from rag.lexical import BM25Index
from rag.protocols import Offsets
from rag.types import Chunk, Document

TOKEN_ARRAYS = ("scales", "ids", "starts", "ends")
FROM_DOCUMENT = ("title", "tags", "text")
"""What a chunk's record leaves out, for it stands in the document's."""


def write_documents(path: Path, documents: Iterable[Document]) -> None:
    """One JSON object a line."""
    _write_lines(path, map(asdict, documents))


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
    records = map(asdict, chunks)
    _write_lines(
        path, ({k: v for k, v in record.items() if k not in FROM_DOCUMENT} for record in records)
    )


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


def write_tokens(path: Path, tokens: TokenIndex, unit_ends: Offsets) -> None:
    """All of the token index but its codes, and which units of the vector leg each chunk owns."""
    np.savez(path, unit_ends=unit_ends, **{name: getattr(tokens, name) for name in TOKEN_ARRAYS})


def write_token_codes(path: Path, tokens: TokenIndex) -> None:
    """By far the largest array, in a file that can be mapped into memory."""
    with path.open("wb") as file:
        np.save(file, tokens.codes)


def read_tokens(path: Path, codes_path: Path) -> tuple[TokenIndex, Offsets]:
    """What was written; of the codes only those that are looked at come into memory."""
    codes = np.load(codes_path, mmap_mode="r", allow_pickle=False)
    with np.load(path, allow_pickle=False) as arrays:
        return TokenIndex(codes, *(arrays[name] for name in TOKEN_ARRAYS)), arrays["unit_ends"]


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


def _write_lines(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", errors="surrogatepass", newline="\n") as file:
        for record in records:
            file.write(json.dumps(record, ensure_ascii=False) + "\n")


def _read_lines(path: Path) -> Sequence[dict[str, Any]]:
    with path.open(encoding="utf-8", errors="surrogatepass", newline="\n") as file:
        return [json.loads(line) for line in file]
