"""Lines and their headings → Sections that cover the note, each with its blocks."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rag.parsing.blocks import build_blocks
from rag.parsing.headings import find_headings
from rag.parsing.lines import Kind, Line
from rag.parsing.phrases import without_edit_link
from rag.parsing.ranking import rank_headings
from rag.text import plain_text
from rag.types import Document, Section

MAX_HEADING_TEXT_CHARS = 100
MAX_PATH = 8
RUN_SPREAD = 0.3
"""Of bare headings right under one another the first stands this much above the last."""
NESTED_STEP = 0.005


def build_sections(document: Document, lines: Sequence[Line]) -> tuple[Section, ...]:
    """Sections in order, without gaps between the first and the last line of text."""
    ranks = rank_headings(lines, find_headings(lines))
    for index, shift in _bare_runs(lines, ranks).items():
        ranks[index] += shift
    outline = _Outline(document)
    for index, line in enumerate(lines):
        outline.add(line, ranks.get(index))
    outline.close()
    return tuple(outline.sections)


def heading_text(label: str) -> str:
    """A heading as a reader says it: without emphasis, closing brackets or colon."""
    text = " ".join(plain_text(without_edit_link(label)).split()).strip(" :：")
    text = re.sub(r"[ ]?[■□◆◇★☆●〇#=]+$", "", text) or text
    return text if len(text) <= MAX_HEADING_TEXT_CHARS else text[: MAX_HEADING_TEXT_CHARS - 1] + "…"


def _bare_runs(lines: Sequence[Line], ranks: Mapping[int, float]) -> dict[int, float]:
    """Of bare headings right under one another the upper ones are the wider: they rank higher.

    The first of a run is on the level of other firsts, the last on that of those standing alone.
    """
    shifts: dict[int, float] = {}
    run: list[int] = []
    for index in [*(i for i in ranks if lines[i].kind is Kind.TEXT), None]:
        if run and index is not None and _adjacent(lines, run[-1], index):
            run.append(index)
            continue
        for place, member in enumerate(run[:-1]):
            shifts[member] = -RUN_SPREAD * (1 - place / (len(run) - 1))
        run = [] if index is None else [index]
    return shifts


def _adjacent(lines: Sequence[Line], above: int, below: int) -> bool:
    return all(line.kind is Kind.BLANK for line in lines[above + 1 : below])


@dataclass(slots=True)
class _Heading:
    rank: float
    text: str
    line: Line


@dataclass(slots=True)
class _Outline:
    """The headings open above the line at hand, and the sections finished so far."""

    document: Document
    sections: list[Section] = field(default_factory=list)
    path: list[_Heading] = field(default_factory=list)
    body: list[Line] = field(default_factory=list)
    heads: set[int] = field(default_factory=set)  # numbers of the headings in `body`
    has_text: bool = False

    def add(self, line: Line, rank: float | None) -> None:
        """Takes the next line; with a rank it is a heading."""
        if rank is not None:
            self._open(line, rank)
        else:
            self._leave(line)
            self.has_text = self.has_text or line.kind is not Kind.BLANK
        self.body.append(line)

    def close(self) -> None:
        """Makes a section of the lines gathered, unless they are blank."""
        if any(line.kind is not Kind.BLANK for line in self.body):
            self.sections.append(
                Section(
                    section_id=f"{self.document.doc_id}#{len(self.sections)}",
                    doc_id=self.document.doc_id,
                    headings=tuple(heading.text for heading in self.path[-MAX_PATH:]),
                    start_index=self.body[0].start_index,
                    end_index=self.body[-1].end_index,
                    blocks=build_blocks(self.body, frozenset(self.heads)),
                )
            )
        self.body.clear()
        self.heads.clear()
        self.has_text = False

    def _open(self, line: Line, rank: float) -> None:
        """A heading ends the section, unless only the headings above it are in that yet."""
        if not self.has_text and self._takes_bullet(line, rank):
            self.path[-1].rank = rank - NESTED_STEP
        ends = bool(self.path) and self.path[-1].rank >= rank
        if self.has_text or ends:
            self.close()
        while self.path and self.path[-1].rank >= rank:
            self.path.pop()
        self.path.append(_Heading(rank, heading_text(line.label), line))
        self.heads.add(len(self.body))

    def _takes_bullet(self, line: Line, rank: float) -> bool:
        """A bullet right below a heading of another kind, still empty, belongs to it."""
        if line.kind is not Kind.BULLET or not self.path or not self.heads:
            return False
        over = self.path[-2].rank if len(self.path) > 1 else 0.0
        return self.path[-1].line.kind is not Kind.BULLET and over < rank - NESTED_STEP

    def _leave(self, line: Line) -> None:
        """An item of a heading's own mark, or text below a bullet and a blank line, leaves it."""
        after_blank = bool(self.body) and self.body[-1].kind is Kind.BLANK
        for number, heading in enumerate(self.path):
            above = heading.line
            listed = line.kind in (Kind.MARKED, Kind.BULLET) and above.kind is line.kind
            same = listed and above.mark == line.mark
            bullet = above.kind is Kind.BULLET and line.kind is Kind.TEXT and after_blank
            if (same or bullet) and line.indent <= above.indent:
                self.close()
                del self.path[number:]
                return
