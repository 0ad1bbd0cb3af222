"""Stage 3: Sections → Chunks, in tokens of the embedder and never over its limit.

A section that fits is one chunk. A longer one is cut between its blocks into pieces of about equal
size; only a block too long by itself is cut inside, at sentence ends where there are any.
"""

from __future__ import annotations

import bisect
import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from langchain_text_splitters import RecursiveCharacterTextSplitter

from rag.parsing import parse_document
from rag.text import plain_text, sentence_spans
from rag.types import Block, Chunk, Document, Section

CHUNKING_VERSION = 1
SEPARATORS = ["\n\n", "\n", "。", "．", "！", "？", "；", "、", "，", " ", "\u3000", ""]
UNIT_CHARS = 80
"""Sentences and bullets shorter than this go together into one unit of the vector leg."""
TokenCounter = Callable[[Sequence[str]], list[int]]


@dataclass(frozen=True, slots=True)
class ChunkLimits:
    """Sizes in tokens; `chunk_tokens` holds breadcrumb and text together."""

    chunk_tokens: int
    merge_tokens: int


def chunk_document(
    document: Document, limits: ChunkLimits, count_tokens: TokenCounter
) -> tuple[Chunk, ...]:
    """Chunks in the note's order; together they hold every non-space character of its body."""
    line_starts = [0, *(found.end() for found in re.finditer(r"\r\n|\r|\n", document.text))]
    chunks: list[Chunk] = []
    for group in _merge_sections(document, parse_document(document), limits, count_tokens):
        for start, end, headings in _cut(document, group, limits, count_tokens):
            left, right = _trim(document.text, start, end)
            if left == right:
                continue
            text = document.text[left:right]
            identity = f"{document.doc_id}\0{left}\0{document.title}\0{headings}\0{text}"
            chunks.append(
                Chunk(
                    chunk_id=hashlib.sha256(identity.encode("utf-8", "replace")).hexdigest()[:16],
                    section_id=group.section_id,
                    doc_id=document.doc_id,
                    title=document.title,
                    headings=headings,
                    text=text,
                    start_index=left,
                    end_index=right,
                    start_line=bisect.bisect_right(line_starts, left),
                    end_line=bisect.bisect_right(line_starts, right - 1),
                    tags=document.tags,
                )
            )
    return tuple(chunks)


def embedding_text(chunk: Chunk) -> str:
    """What is embedded and indexed: the breadcrumb, then the text as a reader sees it."""
    return "\n".join([chunk.breadcrumb, *(text for _, _, text in readable_sentences(chunk))])


def unit_texts(chunk: Chunk) -> list[str]:
    """The chunk's text in small units, each behind the breadcrumb, as the vector leg embeds them.

    A short fact drowns in the vector of a long chunk: the best unit speaks for its chunk.
    """
    units: list[str] = []
    for _, _, text in readable_sentences(chunk):
        if units and len(units[-1]) + len(text) <= UNIT_CHARS:
            units[-1] += "\n" + text
        else:
            units.append(text)
    return [f"{chunk.breadcrumb}\n{unit}" for unit in units] or [chunk.breadcrumb]


def readable_sentences(chunk: Chunk) -> list[tuple[int, int, str]]:
    """(start, end, text as a reader sees it) of each sentence; offsets count in `chunk.text`."""
    return [
        (start, end, readable)
        for start, end in sentence_spans(chunk.text)
        if (readable := plain_text(chunk.text[start:end]))
    ]


def _merge_sections(
    document: Document, sections: Sequence[Section], limits: ChunkLimits, count_tokens: TokenCounter
) -> Iterable[Section]:
    """Neighbours under one parent become one section while they stay below `merge_tokens`."""
    sizes = count_tokens([document.text[s.start_index : s.end_index] for s in sections])
    merged: Section | None = None
    merged_size = 0
    for section, size in zip(sections, sizes, strict=True):
        if merged is not None:
            shared = _common_path(merged.headings, section.headings)
            near = len(shared) >= max(len(merged.headings), len(section.headings)) - 1
            if near and shared and merged_size + size <= limits.merge_tokens:
                merged = Section(
                    merged.section_id,
                    merged.doc_id,
                    shared,
                    merged.start_index,
                    section.end_index,
                    merged.blocks + section.blocks,
                )
                merged_size += size
                continue
            yield merged
        merged, merged_size = section, size
    if merged is not None:
        yield merged


def _common_path(first: Sequence[str], second: Sequence[str]) -> tuple[str, ...]:
    shared: list[str] = []
    for left, right in zip(first, second, strict=False):
        if left != right:
            break
        shared.append(left)
    return tuple(shared)


def _cut(
    document: Document, section: Section, limits: ChunkLimits, count_tokens: TokenCounter
) -> Iterable[tuple[int, int, tuple[str, ...]]]:
    """(start, end, headings) of each chunk of a section."""
    breadcrumb = " › ".join((document.title, *section.headings))
    room = max(limits.chunk_tokens - count_tokens([breadcrumb])[0], limits.chunk_tokens // 3)
    pieces = _pieces(document, section, room, count_tokens)
    sizes = count_tokens([document.text[p.start_index : p.end_index] for p in pieces])
    for first, last in _pack(sizes, room):
        start = pieces[first].start_index
        end = pieces[last].end_index
        owners = _owners(pieces[first : last + 1], start, end)
        yield start, end, (*section.headings, *owners)


def _pieces(
    document: Document, section: Section, room: int, count_tokens: TokenCounter
) -> list[Block]:
    """Blocks that fit; one that does not is split, each piece owned by what the block owned."""
    pieces: list[Block] = []
    sizes = count_tokens([document.text[b.start_index : b.end_index] for b in section.blocks])
    for block, size in zip(section.blocks, sizes, strict=True):
        if size <= room:
            pieces.append(block)
            continue
        text = document.text[block.start_index : block.end_index]
        position = block.start_index
        for part in _split_text(text, room, count_tokens):
            end = position + len(part)
            pieces.append(Block(position, end, block.owners))
            position = end
    return pieces


def _split_text(text: str, room: int, count_tokens: TokenCounter) -> list[str]:
    """Consecutive pieces of `text` that make it up again, none over `room` tokens."""
    # About one token a character at worst: long texts are first cut by characters, so that the
    # splitter never counts the tokens of the whole text again and again.
    splitter = RecursiveCharacterTextSplitter(
        separators=SEPARATORS,
        keep_separator="end",
        chunk_size=room,
        chunk_overlap=0,
        strip_whitespace=False,
        length_function=lambda part: count_tokens([part])[0],
    )
    step = room * 50
    parts: list[str] = []
    for start in range(0, len(text), step):
        parts.extend(splitter.split_text(text[start : start + step]))
    return parts if "".join(parts) == text else _split_evenly(text, room)


def _split_evenly(text: str, room: int) -> list[str]:
    step = max(room // 2, 1)
    return [text[start : start + step] for start in range(0, len(text), step)]


def _pack(sizes: Sequence[int], room: int) -> Iterable[tuple[int, int]]:
    """(first, last) of runs that fit into `room` and are about equally large."""
    total = sum(sizes)
    wanted = total / max(1, -(-total // room))
    first, filled = 0, 0
    for index, size in enumerate(sizes):
        if filled and (filled + size > room or filled + size / 2 > wanted):
            yield first, index - 1
            first, filled = index, 0
        filled += size
    if sizes:
        yield first, len(sizes) - 1


def _owners(blocks: Sequence[Block], start: int, end: int) -> tuple[str, ...]:
    """Owners of the chunk's first blocks that stand outside of it, outermost first."""
    owners: dict[str, None] = {}
    for block in blocks:
        for owner in block.owners:
            if not start <= owner.start_index < end:
                owners[owner.text] = None
    return tuple(owners)


def _trim(text: str, start: int, end: int) -> tuple[int, int]:
    piece = text[start:end]
    return start + len(piece) - len(piece.lstrip()), start + len(piece.rstrip())
