"""Stage 7: a hit → its units, the spans that can be cited, each with the tokens that speak for it.

A unit is a block of the note (a bullet with its text, a paragraph, a table row); a long block
gives its sentences. How well a text is met in a unit is told by the token vectors in the index.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rag.chunking import readable_sentences
from rag.protocols import Matrix
from rag.snapshot import Snapshot
from rag.text import normalize_for_search
from rag.types import Block, Hit, Section

MAX_UNIT_CHARS = 220
MAX_CHILDREN_CHARS = 360
CONTEXT_SHARE = 0.9
"""A token met in what names the subject counts this much of one met in the unit itself."""
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Unit:
    """A span of a note that can stand in an answer; offsets count in the note's text.

    `path` is what it stands under: title, headings, and the bullet or table header that owns it.
    `children` are the texts of what it owns, up to `children_end` (0 without children). `own` and
    `context` tell which of the chunk's tokens are its own, and which name its subject.
    """

    hit: Hit
    start_index: int
    end_index: int
    text: str
    path: tuple[str, ...]
    own: Mask
    context: Mask
    children: tuple[str, ...] = ()
    children_end: int = 0

    @property
    def whole_end(self) -> int:
        """Where it ends together with what it owns."""
        return max(self.end_index, self.children_end)


@dataclass(frozen=True, slots=True)
class _Sentence:
    """(left, right) count in the embedded text, (start, end) in the note."""

    left: int
    right: int
    start: int
    end: int
    text: str
    block: int


def sections_of(hit: Hit, sections: Sequence[Section]) -> list[Section]:
    """Those that the hit lies in, in order: several where short ones were put together."""
    chunk = hit.chunk
    return [
        section
        for section in sections
        if section.doc_id == chunk.doc_id
        and section.start_index < chunk.end_index
        and chunk.start_index < section.end_index
    ]


def units_of(snapshot: Snapshot, hit: Hit, sections: Sequence[Section]) -> list[Unit]:
    """The hit's units in order; headings are none. `sections` are those the hit lies in."""
    chunk = hit.chunk
    starts = snapshot.tokens.starts[snapshot.tokens.span(snapshot.row_of[chunk.chunk_id])]
    body_start = len(chunk.breadcrumb) + 1
    blocks = [block for section in sections for block in section.blocks]
    parts = [chunk.title, *chunk.headings, *(part for s in sections for part in s.headings)]
    headings = {normalize_for_search(part) for part in parts}
    sentences = _sentences(hit, blocks, body_start)
    units: list[Unit] = []
    for group in _group(sentences):
        kept = [s for s in group if normalize_for_search(s.text) not in headings]
        if not kept:
            continue
        path = (chunk.title, *_path_at(sections, kept[0].start, chunk.headings))
        above = {normalize_for_search(part) for part in path}
        context = starts < body_start
        for sentence in sentences:
            if sentence.start < kept[0].start and normalize_for_search(sentence.text) in above:
                context |= (starts >= sentence.left) & (starts < sentence.right)
        own = np.zeros(len(starts), dtype=bool)
        for sentence in group:
            own |= (starts >= sentence.left) & (starts < sentence.right)
        children = _children(kept[-1], blocks, sentences)
        units.append(
            Unit(
                hit,
                kept[0].start,
                kept[-1].end,
                "\n".join(sentence.text for sentence in kept),
                path,
                own,
                context,
                tuple(child.text for child in children),
                children[-1].end if children else 0,
            )
        )
    return units


def met_tokens(snapshot: Snapshot, unit: Unit, query: Matrix, context: bool = True) -> Matrix:
    """How well each token of a text is met in the unit or what names its subject: best cosines."""
    similarities = snapshot.tokens.similarities(snapshot.row_of[unit.hit.chunk.chunk_id], query)
    own: Matrix = similarities[unit.own].max(axis=0, initial=0.0)
    if not context:
        return own
    subject: Matrix = similarities[unit.context].max(axis=0, initial=0.0) * CONTEXT_SHARE
    return np.maximum(own, subject, out=own)


def _sentences(hit: Hit, blocks: Sequence[Block], body_start: int) -> list[_Sentence]:
    found: list[_Sentence] = []
    position = body_start
    for start, end, text in readable_sentences(hit.chunk):
        first = hit.chunk.start_index + start
        block = _block_at(blocks, first)
        last = hit.chunk.start_index + end
        found.append(_Sentence(position, position + len(text), first, last, text, block))
        position += len(text) + 1
    return found


def _group(sentences: Sequence[_Sentence]) -> Iterator[list[_Sentence]]:
    """Sentences of one block go together up to `MAX_UNIT_CHARS`."""
    group: list[_Sentence] = []
    for sentence in sentences:
        long = group and sentence.end - group[0].start > MAX_UNIT_CHARS
        if group and (sentence.block != group[-1].block or long):
            yield group
            group = []
        group.append(sentence)
    if group:
        yield group


def _children(
    last: _Sentence, blocks: Sequence[Block], sentences: Sequence[_Sentence]
) -> list[_Sentence]:
    """The sentences right below that the block of `last` owns, as far as they are in the hit."""
    if last.block < 0:
        return []
    parent = blocks[last.block]
    children: list[_Sentence] = []
    for sentence in sentences:
        if sentence.start <= last.start:
            continue
        inside = sentence.end - last.end <= MAX_CHILDREN_CHARS
        block = blocks[sentence.block] if sentence.block >= 0 else None
        owned = block is not None and any(
            parent.start_index <= owner.start_index < parent.end_index
            and block.start_index > owner.start_index
            for owner in block.owners
        )
        if not (inside and owned):
            break
        children.append(sentence)
    return children


def _block_at(blocks: Sequence[Block], index: int) -> int:
    for number, block in enumerate(blocks):
        if block.start_index <= index < block.end_index:
            return number
    return -1


def _path_at(
    sections: Sequence[Section], index: int, otherwise: tuple[str, ...]
) -> tuple[str, ...]:
    """Headings and owners of the block there; a chunk of several sections has but common ones."""
    for section in sections:
        number = _block_at(section.blocks, index)
        if number >= 0:
            block = section.blocks[number]
            above = [o.text for o in block.owners if o.start_index < block.start_index]
            return (*section.headings, *above)
    return otherwise
