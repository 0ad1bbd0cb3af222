"""Stage 8: what an answer rests on → Citations, literal spans of notes that were retrieved."""

from __future__ import annotations

import re
from urllib.parse import quote

from rag.types import Chunk, Citation, Document, Hit


def cite_span(document: Document, hit: Hit, number: int, start: int, end: int) -> Citation:
    """The citation of `document.text[start:end]`; raises ValueError when it leaves the hit."""
    chunk = hit.chunk
    if document.doc_id != chunk.doc_id:
        raise ValueError(f"the hit is in {chunk.doc_id!r}, not in {document.doc_id!r}")
    if not chunk.start_index <= start < end <= chunk.end_index:
        raise ValueError(
            f"span {start}–{end} is not inside the hit's {chunk.start_index}–{chunk.end_index}"
        )
    return Citation(
        number=number,
        doc_id=document.doc_id,
        title=document.title,
        headings=chunk.headings,
        quote=document.text[start:end],
        start_index=start,
        end_index=end,
        start_line=line_of(chunk, start),
        end_line=line_of(chunk, end - 1),
        url=span_url(document.doc_id, start, end),
    )


def cite_chunk(chunk: Chunk, number: int) -> Citation:
    """The citation of a whole hit."""
    return Citation(
        number,
        chunk.doc_id,
        chunk.title,
        chunk.headings,
        chunk.text,
        chunk.start_index,
        chunk.end_index,
        chunk.start_line,
        chunk.end_line,
        span_url(chunk.doc_id, chunk.start_index, chunk.end_index),
    )


def span_url(doc_id: str, start: int, end: int) -> str:
    """Where the page shows a span of a note."""
    return f"/notes/{quote(doc_id)}?start={start}&end={end}"


def line_of(chunk: Chunk, index: int) -> int:
    """Line of a position inside the chunk; `\\r\\n`, `\\n` and `\\r` each end one line."""
    offset = index - chunk.start_index
    breaks = re.finditer(r"\r\n|\r|\n", chunk.text)
    return chunk.start_line + sum(found.end() <= offset for found in breaks)
