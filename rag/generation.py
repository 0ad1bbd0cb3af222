"""Stage 7: question + Hits → statements. The default takes them word for word from the notes.

A unit of extraction is a block of the note (a bullet with its text, a paragraph, a table row); a
long block gives its sentences. Units are scored by how well each token of the question is met in
the unit or, for what names the subject, in its breadcrumb.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from rag.chunking import readable_sentences
from rag.protocols import Matrix
from rag.snapshot import Snapshot
from rag.text import bigrams, normalize_for_search, plain_text, words
from rag.types import Block, Hit, Section

EXTRACTIVE = "extractive"
MAX_STATEMENTS = 5
MAX_UNIT_CHARS = 220
SUBJECT_SHARE = 0.9
"""A question token met in the breadcrumb counts this much of one met in the unit itself."""
RANK_DISCOUNT = 0.012
MAX_GAP = 0.06
LEAD_IN_DISCOUNT = 0.04
"""What only announces a list (「次のとおり」) answers worse than the list itself."""
DUPLICATE_OVERLAP = 0.7
_LEAD_IN = re.compile(
    r"(?:次|以下)の?(?:とおり|通り|ように|表|[0-9０-９一二三四五]+ ?(?:つ|点|種類)).{0,12}$|[:：]$"
)


@dataclass(frozen=True, slots=True)
class Unit:
    """A span of a note that can stand in an answer; offsets count in the note's text.

    `path` is what it stands under: title, headings, and the bullet or table header that owns it.
    """

    hit: Hit
    start_index: int
    end_index: int
    text: str
    path: tuple[str, ...]
    score: float


def extract_units(
    snapshot: Snapshot, query_tokens: Matrix, hits: Sequence[Hit], sections: Sequence[Section]
) -> list[Unit]:
    """At most `MAX_STATEMENTS` units, best first; `sections` are those of the notes hit."""
    candidates = [
        unit
        for hit in hits
        for unit in _units_of_hit(snapshot, query_tokens, hit, _sections_of(hit, sections))
    ]
    candidates.sort(key=lambda unit: -unit.score)
    chosen: list[Unit] = []
    for unit in candidates:
        if len(chosen) == MAX_STATEMENTS or unit.score < candidates[0].score - MAX_GAP:
            break
        if not any(_same_words(unit.text, other.text) for other in chosen):
            chosen.append(unit)
    return chosen


def statement_text(unit: Unit) -> str:
    """The unit as part of an answer, its subject in front where only a heading names it."""
    named = normalize_for_search(unit.text)
    path = list(dict.fromkeys(part for part in unit.path if part))
    missing = [part for part in path[-2:] if not _named_in(part, named)]
    subject = " › ".join(missing)
    return " ".join((f"{subject}：{unit.text}" if subject else unit.text).split())


def _named_in(heading: str, text: str) -> bool:
    terms = set(words(heading))
    if normalize_for_search(heading) in text:
        return True
    return bool(terms) and sum(term in text for term in terms) >= len(terms) / 2


def _units_of_hit(
    snapshot: Snapshot, query_tokens: Matrix, hit: Hit, sections: Sequence[Section]
) -> Iterator[Unit]:
    chunk = hit.chunk
    row = snapshot.row_of[chunk.chunk_id]
    similarities = snapshot.tokens.similarities(row, query_tokens)
    starts = snapshot.tokens.starts[snapshot.tokens.span(row)]
    body_start = len(chunk.breadcrumb) + 1
    if not similarities.size:
        return
    in_breadcrumb = starts < body_start
    subject = similarities[in_breadcrumb].max(axis=0, initial=0.0) * SUBJECT_SHARE
    parts = [chunk.title, *chunk.headings, *(part for s in sections for part in s.headings)]
    headings = {normalize_for_search(part) for part in parts}
    blocks = [block for section in sections for block in section.blocks]
    for group in _group(hit, blocks, body_start):
        if all(normalize_for_search(text) in headings for *_, text in group):
            continue
        inside = np.zeros(len(starts), dtype=bool)
        for left, right, _, _, _ in group:
            inside |= (starts >= left) & (starts < right)
        met = np.maximum(similarities[inside].max(axis=0, initial=0.0), subject)
        kept = [item for item in group if normalize_for_search(item[4]) not in headings]
        start = chunk.start_index + kept[0][2]
        text = "\n".join(item[4] for item in kept)
        yield Unit(
            hit,
            start,
            chunk.start_index + kept[-1][3],
            text,
            (chunk.title, *_path_at(sections, start, chunk.headings)),
            float(met.mean())
            - RANK_DISCOUNT * (hit.rank - 1)
            - LEAD_IN_DISCOUNT * bool(_LEAD_IN.search(text)),
        )


def _group(
    hit: Hit, blocks: Sequence[Block], body_start: int
) -> Iterator[list[tuple[int, int, int, int, str]]]:
    """Sentences of one block: (left, right) in the embedded text, (start, end) in the chunk."""
    group: list[tuple[int, int, int, int, str]] = []
    block_of_group = -1
    position = body_start
    for start, end, text in readable_sentences(hit.chunk):
        item = (position, position + len(text), start, end, text)
        position += len(text) + 1
        block = _block_at(blocks, hit.chunk.start_index + start)
        length = end - group[0][2] if group else 0
        if group and (block != block_of_group or length > MAX_UNIT_CHARS):
            yield group
            group = []
        group.append(item)
        block_of_group = block
    if group:
        yield group


def _block_at(blocks: Sequence[Block], index: int) -> int:
    for number, block in enumerate(blocks):
        if block.start_index <= index < block.end_index:
            return number
    return -1


def _sections_of(hit: Hit, sections: Sequence[Section]) -> list[Section]:
    """Those that the hit lies in, in order: several where short ones were put together."""
    chunk = hit.chunk
    return [
        section
        for section in sections
        if section.doc_id == chunk.doc_id
        and section.start_index < chunk.end_index
        and chunk.start_index < section.end_index
    ]


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


def _same_words(first: str, second: str) -> bool:
    a, b = set(bigrams(plain_text(first))), set(bigrams(plain_text(second)))
    if not (a and b):
        return first == second
    return len(a & b) / min(len(a), len(b)) >= DUPLICATE_OVERLAP
