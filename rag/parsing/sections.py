"""Lines and their headings → Sections that cover the note, each with its blocks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from rag.parsing.headings import find_headings
from rag.parsing.lines import Kind, Line
from rag.text import plain_text
from rag.types import Block, Document, Owner, Section

MAX_OWNER_CHARS = 80
_INTRODUCES = re.compile(
    r"(?:[:：]|には|の手順|手順|の方法|一覧|以下|次の通り|とおり|種類|場合)[。.]?$"
)


def build_sections(document: Document, lines: Sequence[Line]) -> tuple[Section, ...]:
    """Sections in order, without gaps between the first and the last line of text."""
    ranks = find_headings(lines)
    bare_runs = _bare_runs(lines, ranks)
    sections: list[Section] = []
    path: list[tuple[float, str]] = []
    body: list[Line] = []
    has_text = False  # headings right under one another go into one section

    def close() -> None:
        if any(line.kind is not Kind.BLANK for line in body):
            headings = tuple(label for _, label in path)
            sections.append(_section(document, len(sections), headings, body))
        body.clear()

    for index, line in enumerate(lines):
        if index in ranks:
            if has_text:
                close()
                has_text = False
            rank = ranks[index] + bare_runs.get(index, 0.0)
            while path and path[-1][0] >= rank:
                path.pop()
            path.append((rank, heading_text(line.label)))
        elif line.kind is not Kind.BLANK:
            has_text = True
        body.append(line)
    close()
    return tuple(sections)


def heading_text(label: str) -> str:
    """A heading as a reader says it: without emphasis, closing brackets or colon."""
    return " ".join(plain_text(label).strip(" :：\u3000").split())


def _bare_runs(lines: Sequence[Line], ranks: dict[int, float]) -> dict[int, float]:
    """Of bare headings right under one another the upper ones are the wider: they rank higher.

    A bare heading that stands alone is on the level of the last one of such a run.
    """
    bare = [i for i in ranks if lines[i].kind is Kind.TEXT]
    shifts: dict[int, float] = {}
    run: list[int] = []
    for index in [*bare, None]:
        if run and index is not None and _adjacent(lines, run[-1], index):
            run.append(index)
            continue
        for distance, member in enumerate(reversed(run)):
            shifts[member] = -0.001 * distance
        run = [] if index is None else [index]
    return shifts


def _adjacent(lines: Sequence[Line], above: int, below: int) -> bool:
    return all(line.kind is Kind.BLANK for line in lines[above + 1 : below])


def _section(
    document: Document, number: int, headings: tuple[str, ...], body: Sequence[Line]
) -> Section:
    return Section(
        section_id=f"{document.doc_id}#{number}",
        doc_id=document.doc_id,
        headings=headings,
        start_index=body[0].start_index,
        end_index=body[-1].end_index,
        blocks=_blocks(body),
    )


@dataclass(slots=True)
class _Owners:
    """What is open above a line: bullets by indent, the line that introduces a list, a head row."""

    bullets: list[tuple[int, Owner]] = field(default_factory=list)
    introducer: Owner | None = None
    header: Owner | None = None

    def before(self, line: Line) -> tuple[Owner, ...]:
        """Closes what `line` ends and gives what owns it, outermost first."""
        if line.kind in (Kind.BULLET, Kind.MARKED):
            while self.bullets and self.bullets[-1][0] >= line.indent:
                self.bullets.pop()
        owners = tuple(owner for _, owner in self.bullets)
        if line.kind is Kind.ROW and self.header is not None:
            return (*owners, self.header)
        if self.introducer is not None and not owners:
            return (self.introducer,)
        return owners

    def after(self, line: Line) -> None:
        """Opens what `line` begins."""
        owner = Owner(_shorten(line.label.strip("|")), line.start_index, line.end_index)
        if line.kind is Kind.HEADER_ROW:
            self.header = owner
        elif line.kind is not Kind.ROW:
            self.header = None
        if line.kind in (Kind.BULLET, Kind.MARKED):
            self.bullets.append((line.indent, owner))
        if line.kind not in (Kind.CODE, Kind.ROW) and _INTRODUCES.search(line.label):
            self.introducer = owner


def _blocks(body: Sequence[Line]) -> tuple[Block, ...]:
    """Paragraphs, bullets with their indented text, table rows and code, each with its owners."""
    blocks: list[Block] = []
    open_above = _Owners()
    previous: Line | None = None
    for line in body:
        if line.kind is not Kind.BLANK:
            owners = open_above.before(line)
            if _continues(previous, line):
                last = blocks[-1]
                blocks[-1] = Block(last.start_index, line.end_index, last.owners)
            else:
                blocks.append(Block(line.start_index, line.end_index, owners))
            open_above.after(line)
        previous = line
    return tuple(blocks)


def _continues(previous: Line | None, line: Line) -> bool:
    """The line goes on with the block above: text under text or bullet, code under code."""
    if previous is None or previous.kind is Kind.BLANK:
        return False
    if line.kind is Kind.CODE:
        return previous.kind is Kind.CODE
    if line.kind is Kind.TEXT:
        return previous.kind in (Kind.TEXT, Kind.BULLET, Kind.MARKED)
    return line.mark == "|---|"


def _shorten(label: str) -> str:
    text = " ".join(plain_text(label).split()).rstrip(":： ")
    return text if len(text) <= MAX_OWNER_CHARS else text[: MAX_OWNER_CHARS - 1] + "…"
