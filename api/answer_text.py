"""A cited answer → one text with `[n]`, the list of its sources, and where each `[n]` stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from api.messages import LINE, LINES, NEAREST_NOTES, REFUSED, SOURCES
from rag.presenting import UNCONFIRMED, fallback_notice
from rag.support import CONFIRMED_SUPPORT
from rag.types import Answer, Citation, Statement

NEAREST_HITS: Final = 3


@dataclass(frozen=True, slots=True)
class AnswerText:
    """The pieces of the text in order; annotations are OpenAI's, their indexes into the whole."""

    pieces: tuple[str, ...]
    annotations: list[dict[str, Any]]

    @property
    def text(self) -> str:
        """The whole text."""
        return "".join(self.pieces)


def write_answer(answer: Answer, base_url: str) -> AnswerText:
    """The answer as text; a refusal names the nearest notes, a fall-back says that it is one."""
    notice = fallback_notice(answer)
    opening = f"{notice}\n\n" if notice else ""
    if answer.refused:
        nearest = [f"- {hit.chunk.breadcrumb}" for hit in answer.hits[:NEAREST_HITS]]
        lines = [REFUSED, *([f"\n{NEAREST_NOTES}", *nearest] if nearest else [])]
        return AnswerText((opening + "\n".join(lines),), [])
    citations = {citation.number: citation for citation in answer.citations}
    pieces: list[str] = [opening] if opening else []
    annotations: list[dict[str, Any]] = []
    written = len(opening)
    for place, statement in enumerate(answer.statements):
        piece = ("\n" if place else "") + _text_of(statement)
        for number in statement.citation_numbers:
            mark = f"[{number}]"
            if number in citations:
                start = written + len(piece)
                annotations.append(_annotation(citations[number], start, len(mark), base_url))
            piece += mark
        pieces.append(piece)
        written += len(piece)
    if answer.citations:
        pieces.append("\n\n" + "\n".join([SOURCES, *map(_source_line, answer.citations)]))
    return AnswerText(tuple(pieces), annotations)


def lines_of(citation: Citation) -> str:
    """Its lines in words."""
    pattern = LINE if citation.start_line == citation.end_line else LINES
    return pattern.format(start=citation.start_line, end=citation.end_line)


def _text_of(statement: Statement) -> str:
    confirmed = statement.support >= CONFIRMED_SUPPORT
    return statement.text if confirmed else statement.text + UNCONFIRMED


def _source_line(citation: Citation) -> str:
    place = " › ".join(part for part in (citation.title, *citation.headings) if part)
    return f"[{citation.number}] {place}（{citation.doc_id} {lines_of(citation)}）"


def _annotation(citation: Citation, start: int, length: int, base_url: str) -> dict[str, Any]:
    return {
        "type": "url_citation",
        "url_citation": {
            "url": base_url + citation.url,
            "title": citation.title,
            "start_index": start,
            "end_index": start + length,
        },
    }
