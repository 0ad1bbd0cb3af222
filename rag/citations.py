"""Stage 8: what an answer rests on → Citations, literal spans of notes that were retrieved, with
links that outlive changes of the note.
"""

from __future__ import annotations

import re
import zlib
from urllib.parse import quote as url_quote

from rag.types import Chunk, Citation, Document, Hit

SEARCHED_CHARS = 100_000
"""How far from where it stood the words of an old link are looked for, before and behind."""


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
        url=span_url(document.doc_id, start, document.text[start:end]),
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
        span_url(chunk.doc_id, chunk.start_index, chunk.text),
    )


def span_url(doc_id: str, start: int, quote: str) -> str:
    """Where the page shows a span of a note: `quote`, which begins at `start`.

    `check` lets the page find the words again when the note has changed since.
    """
    span = f"start={start}&end={start + len(quote)}&check={checksum_of(quote):08x}"
    return f"/notes/{url_quote(doc_id)}?{span}"


def checksum_of(quote: str) -> int:
    """CRC-32 of the words: tells whether they stand somewhere, and is no protection."""
    return zlib.crc32(_code_points(quote))


def find_again(text: str, start: int, end: int, checksum: int) -> tuple[int, int] | None:
    """The span with that checksum: the one given or, of the same length, the nearest to it.

    None when the words do not stand there any more.
    """
    length = end - start
    last = len(text) - length
    if length <= 0 or last < 0:
        return None
    low, high = max(start - SEARCHED_CHARS, 0), min(start + SEARCHED_CHARS, last)
    points = memoryview(_code_points(text[low : high + length]))

    def is_it(place: int) -> bool:
        at = (place - low) * 4
        return zlib.crc32(points[at : at + length * 4]) == checksum

    places = sorted(range(low, high + 1), key=lambda place: abs(place - start))
    place = next(filter(is_it, places), None)
    return None if place is None else (place, place + length)


def _code_points(text: str) -> bytes:
    return text.encode("utf-32-le", "surrogatepass")


def line_of(chunk: Chunk, index: int) -> int:
    """Line of a position inside the chunk; `\\r\\n`, `\\n` and `\\r` each end one line."""
    offset = index - chunk.start_index
    breaks = re.finditer(r"\r\n|\r|\n", chunk.text)
    return chunk.start_line + sum(found.end() <= offset for found in breaks)
