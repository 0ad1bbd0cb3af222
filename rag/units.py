"""Stage 7: a hit → its units, the spans that can be cited, each with the tokens that speak for it.

A unit is a block of the note (a bullet with its text, a paragraph, a table row); a long block
gives its sentences. How well a text is met in a unit is told by the token vectors in the index.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rag.chunking import readable_sentences, unit_numbers
from rag.protocols import Matrix
from rag.snapshot import Snapshot
from rag.text import normalize_for_search
from rag.types import Block, Hit, Section

MAX_UNIT_CHARS = 160
MAX_CHILDREN_CHARS = 500
CONTEXT_SHARE = 0.9
"""A token met in what names the subject counts this much of one met in the unit itself."""
LEAD_IN = re.compile(
    r"(?:次|以下)の?(?:とおり|通り|ように|表).{0,12}$"
    r"|(?:次|以下)の[0-9０-９一二三四五六七八九十 ]{1,3}(?:つ|点|種類|項目).{0,12}$"
    r"|表に(?:示す|まとめ).{0,6}$|[:：]$"
)
"""What only announces a list or a table."""
ANNOUNCES = re.compile(
    LEAD_IN.pattern + r"|次の[^。、]{1,24}。?$|(?:つ|種類|点)(?:が|は)?(?:ある|あります|です)。?$"
)
"""What may be about the list right below it."""
_LISTED = re.compile(r"[-*+|•・●〇○■□◆◇▶※]|[(（]?[0-9０-９①-⑳]{1,2}[.)．）、]")
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Unit:
    """A span of a note that can stand in an answer; offsets count in the note's text.

    `path` is what it stands under: title, headings, and the bullet or table header that owns it.
    `children` are the texts of what it owns, up to `children_end` (0 without children). `own` and
    `context` tell which of the chunk's tokens are its own, and which name its subject; `vectors`,
    which of the vector leg's units of the chunk it is part of.
    """

    hit: Hit
    start_index: int
    end_index: int
    text: str
    path: tuple[str, ...]
    own: Mask
    context: Mask
    vectors: tuple[int, ...] = ()
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
    listed: bool
    vector: int


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
    starts = snapshot.tokens.starts(snapshot.row_of[chunk.chunk_id])
    body_start = len(chunk.breadcrumb) + 1
    blocks = [block for section in sections for block in section.blocks]
    parts = [chunk.title, *chunk.headings, *(part for s in sections for part in s.headings)]
    headings = {normalize_for_search(part) for part in parts}
    sentences = _sentences(hit, blocks, body_start)
    units: list[Unit] = []
    for group in _group(sentences):
        kept = [s for s in group if normalize_for_search(s.text) not in headings]
        children = _children(kept[-1], blocks, sentences) if kept else []
        while len(kept) > 1 and not children and LEAD_IN.search(kept[-1].text):
            kept.pop()  # it announces what stands elsewhere
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
        units.append(
            Unit(
                hit,
                kept[0].start,
                kept[-1].end,
                "\n".join(sentence.text for sentence in kept),
                path,
                own,
                context,
                tuple(dict.fromkeys(sentence.vector for sentence in kept)),
                _items(children),
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


def vector_similarity(snapshot: Snapshot, unit: Unit, query: Matrix) -> float:
    """Cosine of a question with the best of the vector leg's units that the unit is part of."""
    rows = snapshot.dense.units.rows(snapshot.dense.span(snapshot.row_of[unit.hit.chunk.chunk_id]))
    return max((float(rows[number] @ query) for number in unit.vectors), default=0.0)


def _sentences(hit: Hit, blocks: Sequence[Block], body_start: int) -> list[_Sentence]:
    found: list[_Sentence] = []
    position = body_start
    readable = readable_sentences(hit.chunk)
    for (start, end, text), vector in zip(readable, unit_numbers(readable), strict=True):
        first = hit.chunk.start_index + start
        block = _block_at(blocks, first)
        last = hit.chunk.start_index + end
        listed = bool(_LISTED.match(hit.chunk.text, start))
        right = position + len(text)
        found.append(_Sentence(position, right, first, last, text, block, listed, vector))
        position = right + 1
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
    """The sentences right below that the block of `last` owns, or the list it announces."""
    announced = bool(ANNOUNCES.search(last.text))
    children: list[_Sentence] = []
    for sentence in sentences:
        if sentence.start <= last.start:
            continue
        listed = announced and (
            sentence.listed or (children and sentence.block == children[-1].block)
        )
        if not listed and not _owns(blocks, last, sentence):
            break
        if sentence.end - last.end > MAX_CHILDREN_CHARS:
            break
        children.append(sentence)
    return children


def _items(children: Sequence[_Sentence]) -> tuple[str, ...]:
    """The texts of children, those of one block together."""
    blocks: dict[int, list[str]] = {}
    for child in children:
        blocks.setdefault(child.block if child.block >= 0 else -1 - child.start, []).append(
            child.text
        )
    return tuple(" ".join(texts) for texts in blocks.values())


def _owns(blocks: Sequence[Block], parent: _Sentence, child: _Sentence) -> bool:
    if parent.block < 0 or child.block < 0:
        return False
    owner, block = blocks[parent.block], blocks[child.block]
    return any(
        owner.start_index <= own.start_index < min(owner.end_index, block.start_index)
        for own in block.owners
    )


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
