"""Stage 3: Sections → Chunks, in tokens of the embedder and never over its limit.

A section that fits is one chunk. A longer one is cut between its blocks into pieces of about equal
size; only a block too long by itself is cut inside, at sentence ends where there are any. Tokens
are counted of the text as it is embedded, and in batches.
"""

from __future__ import annotations

import bisect
import hashlib
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from rag.parsing import parse_document
from rag.pieces import TokenCounter, pack, readable_text, sentences_of, split_block, token_sizes
from rag.protocols import PassageInput
from rag.types import Block, Chunk, Document, Section

CHUNKING_VERSION = 5
UNIT_CHARS = 80
"""Sentences and bullets shorter than this go together into one unit of the vector leg."""
MAX_OWNER_CHARS_PER_TOKEN = 2 / 3
MIN_OWNERS = 2
MAX_FIT_ROUNDS = 12


@dataclass(frozen=True, slots=True)
class ChunkLimits:
    """Sizes in tokens; `chunk_tokens` holds breadcrumb and text together."""

    chunk_tokens: int
    merge_tokens: int


@dataclass(frozen=True, slots=True)
class _Draft:
    """A chunk on trial: consecutive pieces of a section."""

    section: Section
    pieces: tuple[Block, ...]


def chunk_document(
    document: Document, limits: ChunkLimits, count_tokens: TokenCounter
) -> tuple[Chunk, ...]:
    """Chunks in the note's order; together they hold every non-space character of its body."""
    sections = parse_document(document)
    blocks = [block for section in sections for block in section.blocks]
    sizes = dict(zip(blocks, token_sizes(_texts(document, blocks), count_tokens), strict=True))
    groups = list(_merge_sections(sections, sizes, limits))
    groups = _with_fitting_headings(document, groups, limits, count_tokens)
    rooms = _rooms(document, groups, limits, count_tokens)
    pieces = _split_long_blocks(document, groups, rooms, sizes, count_tokens)
    drafts = [
        _Draft(group, tuple(block for block, _ in own[first : last + 1]))
        for group, room, own in zip(groups, rooms, pieces, strict=True)
        for first, last in pack([size for _, size in own], room)
    ]
    return _fit(document, drafts, limits, count_tokens)


def embedding_text(chunk: Chunk) -> str:
    """What is embedded and indexed: the breadcrumb, then the text as a reader sees it."""
    return f"{chunk.breadcrumb}\n{readable_text(chunk.text)}".rstrip("\n")


def passage_of(chunk: Chunk) -> PassageInput:
    """The chunk as it is embedded, with its small units.

    A short fact drowns in the vector of a long chunk: the best unit speaks for its chunk.
    """
    head = len(chunk.breadcrumb) + 1
    units: list[tuple[int, int]] = []
    sentences = readable_sentences(chunk)
    end = head - 1
    for number, (_, _, text) in zip(unit_numbers(sentences), sentences, strict=True):
        start, end = end + 1, end + 1 + len(text)
        if number == len(units):
            units.append((start, end))
        else:
            units[-1] = (units[-1][0], end)
    return PassageInput(embedding_text(chunk), head, tuple(units))


def unit_numbers(sentences: Sequence[tuple[int, int, str]]) -> list[int]:
    """Which unit of the chunk each of its readable sentences goes to, counted from 0."""
    numbers: list[int] = []
    filled = 0
    for _, _, text in sentences:
        if numbers and filled + len(text) <= UNIT_CHARS:
            numbers.append(numbers[-1])
            filled += 1 + len(text)
        else:
            numbers.append(numbers[-1] + 1 if numbers else 0)
            filled = len(text)
    return numbers


def readable_sentences(chunk: Chunk) -> list[tuple[int, int, str]]:
    """(start, end, text as a reader sees it) of each sentence; offsets count in `chunk.text`."""
    return sentences_of(chunk.text)


def _texts(document: Document, blocks: Iterable[Block]) -> list[str]:
    return [document.text[block.start_index : block.end_index] for block in blocks]


def _merge_sections(
    sections: Sequence[Section], sizes: dict[Block, int], limits: ChunkLimits
) -> Iterator[Section]:
    """Neighbours under one parent become one section while they stay below `merge_tokens`."""
    merged: Section | None = None
    merged_size = 0
    for section in sections:
        size = sum(sizes[block] for block in section.blocks)
        if merged is not None:
            shared = _common_path(merged.headings, section.headings)
            near = len(shared) >= max(len(merged.headings), len(section.headings)) - 1
            if near and shared and merged_size + size <= limits.merge_tokens:
                merged = replace(
                    merged,
                    headings=shared,
                    end_index=section.end_index,
                    blocks=merged.blocks + section.blocks,
                )
                merged_size += size
                continue
            yield merged
        merged, merged_size = section, size
    if merged is not None:
        yield merged


def _common_path(first: Sequence[str], second: Sequence[str]) -> tuple[str, ...]:
    pairs = zip(first, second, strict=False)
    return tuple(one for one, _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


def _with_fitting_headings(
    document: Document, groups: list[Section], limits: ChunkLimits, count_tokens: TokenCounter
) -> list[Section]:
    """Groups whose breadcrumb leaves half of a chunk to the text; outer headings go first."""
    fitting = list(groups)
    late = list(range(len(groups)))
    while late:
        paths = [" › ".join((document.title, *fitting[number].headings)) for number in late]
        counts = count_tokens(paths)
        late = [
            number
            for number, count in zip(late, counts, strict=True)
            if count > limits.chunk_tokens // 2 and fitting[number].headings
        ]
        for number in late:
            fitting[number] = replace(fitting[number], headings=fitting[number].headings[1:])
    return fitting


def _rooms(
    document: Document, groups: Sequence[Section], limits: ChunkLimits, count_tokens: TokenCounter
) -> list[int]:
    """Tokens that each group's breadcrumb leaves to the text of a chunk."""
    paths = [" › ".join((document.title, *group.headings)) for group in groups]
    limit = limits.chunk_tokens
    return [max(limit - count, limit // 3, 1) for count in (count_tokens(paths) if paths else [])]


def _split_long_blocks(
    document: Document,
    groups: Sequence[Section],
    rooms: Sequence[int],
    sizes: dict[Block, int],
    count_tokens: TokenCounter,
) -> list[list[tuple[Block, int]]]:
    """Of each group its (piece, tokens) in order; no piece is over the group's room."""
    split: list[list[tuple[Block, int]]] = []
    for group, room in zip(groups, rooms, strict=True):
        pieces: list[tuple[Block, int]] = []
        for block in group.blocks:
            if sizes[block] <= room:
                pieces.append((block, sizes[block]))
            else:
                pieces.extend(split_block(document, block, room, count_tokens))
        split.append(pieces)
    return split


def _fit(
    document: Document, drafts: list[_Draft], limits: ChunkLimits, count_tokens: TokenCounter
) -> tuple[Chunk, ...]:
    """Chunks of the drafts in order; one that is too long after all is cut again."""
    line_starts = [0, *(found.end() for found in re.finditer(r"\r\n|\r|\n", document.text))]
    fitting: list[Chunk] = []
    for _ in range(MAX_FIT_ROUNDS):
        made = [(draft, _make_chunk(document, draft, limits, line_starts)) for draft in drafts]
        full = [(draft, chunk) for draft, chunk in made if chunk.text]
        counts = count_tokens([embedding_text(chunk) for _, chunk in full]) if full else []
        drafts = []
        for (draft, chunk), count in zip(full, counts, strict=True):
            smaller: list[_Draft] = []
            if count > limits.chunk_tokens:
                smaller = _cut_again(document, draft, chunk, limits, count_tokens)
            drafts.extend(smaller)
            if not smaller:
                fitting.append(chunk)
    late = (_make_chunk(document, draft, limits, line_starts) for draft in drafts)
    fitting.extend(chunk for chunk in late if chunk.text)
    return tuple(sorted(fitting, key=lambda chunk: chunk.start_index))


def _cut_again(
    document: Document, draft: _Draft, chunk: Chunk, limits: ChunkLimits, count_tokens: TokenCounter
) -> list[_Draft]:
    """The draft in two or more; nothing when it is one character.

    A single piece first gives up its outermost owner, where owners take most of the room.
    """
    if len(draft.pieces) > 1:
        middle = len(draft.pieces) // 2
        halves = (draft.pieces[:middle], draft.pieces[middle:])
        return [replace(draft, pieces=half) for half in halves]
    only = draft.pieces[0]
    left = limits.chunk_tokens - count_tokens([chunk.breadcrumb])[0]
    if only.owners and left < limits.chunk_tokens // 3:
        return [replace(draft, pieces=(replace(only, owners=only.owners[1:]),))]
    length = only.end_index - only.start_index
    if len(chunk.text) <= 1:
        return []
    parts = [block for block, _ in split_block(document, only, max(left, 1), count_tokens)]
    if len(parts) == 1:
        middle = only.start_index + length // 2
        parts = [replace(only, end_index=middle), replace(only, start_index=middle)]
    return [replace(draft, pieces=(part,)) for part in parts]


def _make_chunk(
    document: Document, draft: _Draft, limits: ChunkLimits, line_starts: Sequence[int]
) -> Chunk:
    start, end = draft.pieces[0].start_index, draft.pieces[-1].end_index
    left, right = _trim(document.text, start, end)
    text = document.text[left:right]
    headings = (*draft.section.headings, *_owners(draft, start, end, limits))
    identity = f"{document.doc_id}\0{left}\0{document.title}\0{headings}\0{text}"
    digest = hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()
    return Chunk(
        chunk_id=digest[:16],
        section_id=draft.section.section_id,
        doc_id=document.doc_id,
        title=document.title,
        headings=headings,
        text=text,
        start_index=left,
        end_index=right,
        start_line=bisect.bisect_right(line_starts, left),
        end_line=bisect.bisect_right(line_starts, max(right - 1, left)),
        tags=document.tags,
    )


def _owners(draft: _Draft, start: int, end: int, limits: ChunkLimits) -> list[str]:
    """Owners of the chunk's blocks that stand outside of it, outermost first; the nearest count."""
    named = set(draft.section.headings)
    owners = dict.fromkeys(
        owner.text
        for block in draft.pieces
        for owner in block.owners
        if not start <= owner.start_index < end and owner.text not in named
    )
    kept: list[str] = []
    for text in reversed(owners):
        filled = sum(map(len, kept)) + len(text)
        if len(kept) >= MIN_OWNERS and filled > limits.chunk_tokens * MAX_OWNER_CHARS_PER_TOKEN:
            break
        kept.append(text)
    return kept[::-1]


def _trim(text: str, start: int, end: int) -> tuple[int, int]:
    piece = text[start:end]
    left = start + len(piece) - len(piece.lstrip())
    return left, max(start + len(piece.rstrip()), left)
