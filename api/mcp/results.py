"""What the tools of the Model Context Protocol return; each model is a tool's output schema."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Self

from pydantic import BaseModel, Field

from api.schemas import CitationJson
from rag.types import Chunk, Document

Address = Callable[[Document, int, int], str]
"""Where a reader opens a span of a note."""

_SPAN_ID: Final = re.compile(r"(?P<doc_id>.+)\?start=(?P<start>\d+)&end=(?P<end>\d+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class PlaceId:
    """The id of a note, or of a span of it: `aws/sqs.md?start=120&end=260`."""

    doc_id: str
    span: tuple[int, int] | None = None

    @classmethod
    def of(cls, chunk: Chunk) -> Self:
        """Of a passage that was found."""
        return cls(chunk.doc_id, (chunk.start_index, chunk.end_index))

    @classmethod
    def parse(cls, text: str) -> Self:
        """What `str` gave; anything else is the id of a whole note."""
        found = _SPAN_ID.fullmatch(text)
        if not found:
            return cls(text)
        return cls(found["doc_id"], (int(found["start"]), int(found["end"])))

    def __str__(self) -> str:
        return self.doc_id + (f"?start={self.span[0]}&end={self.span[1]}" if self.span else "")


class FoundPlace(BaseModel):
    """A passage that was found; `fetch` takes its id."""

    id: str
    title: str = Field(description="note › heading › heading")
    url: str


class FoundPlaces(BaseModel):
    """Passages, best first."""

    results: list[FoundPlace]


class FetchedText(BaseModel):
    """A note, or the part of it around a passage, word for word."""

    id: str
    title: str
    text: str
    url: str
    metadata: dict[str, str] = Field(
        description="doc_id, lines, tags; headings and passage, where a passage was asked for; "
        "complete: whether text holds all of it"
    )


class CitedStatement(BaseModel):
    """A sentence of the answer; below support 0.5 the notes do not confirm it."""

    text: str
    citation_numbers: list[int]
    support: float


class CitedAnswer(BaseModel):
    """An answer that rests on the notes alone, or a refusal with the nearest passages."""

    question: str
    answer: str = Field(description="the statements with their [n], or that the notes have none")
    refused: bool = Field(description="the notes do not hold the answer")
    statements: list[CitedStatement]
    citations: list[CitationJson]
    nearest: list[FoundPlace] = Field(description="when refused: passages on something near it")
    model: str
    notice: str | None


class Passage(BaseModel):
    """A span of a note with what stands around it; offsets count Unicode code points."""

    doc_id: str
    title: str
    headings: list[str]
    text: str
    before: str
    after: str
    start_index: int
    end_index: int
    start_line: int
    end_line: int
    url: str
