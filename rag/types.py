"""What flows through Kotae: note → section → chunk → hit → cited answer, all immutable.

Offsets everywhere count Unicode code points of the author's own text; lines count from 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Document:
    """One note. `text` is the author's, decoded and otherwise untouched."""

    doc_id: str
    title: str
    text: str
    tags: tuple[str, ...]
    aliases: tuple[str, ...]
    source_path: str
    content_hash: str


@dataclass(frozen=True, slots=True)
class Owner:
    """What a block needs to be understood: the bullet above it, its table's header row."""

    text: str
    start_index: int
    end_index: int


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of a section that is not cut where it can be helped: paragraph, bullet, table row."""

    start_index: int
    end_index: int
    owners: tuple[Owner, ...] = ()


@dataclass(frozen=True, slots=True)
class Section:
    """A stretch of a note under one heading path; sections of a note do not overlap."""

    section_id: str
    doc_id: str
    headings: tuple[str, ...]
    start_index: int
    end_index: int
    blocks: tuple[Block, ...] = ()


@dataclass(frozen=True, slots=True)
class Chunk:
    """The unit of retrieval: `document.text[start_index:end_index] == text`, always.

    `headings` is the breadcrumb below the title: heading path, then whatever else the text needs
    to be understood alone (a table's column names, the bullet that owns it).
    """

    chunk_id: str
    section_id: str
    doc_id: str
    title: str
    headings: tuple[str, ...]
    text: str
    start_index: int
    end_index: int
    start_line: int
    end_line: int
    tags: tuple[str, ...] = ()

    @property
    def breadcrumb(self) -> str:
        """Title and headings as one line, `title › heading › heading`."""
        return " › ".join(part for part in (self.title, *self.headings) if part)


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk found for a question; rank counts from 1, `signals` holds what each leg thought."""

    chunk: Chunk
    rank: int
    score: float
    signals: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Citation:
    """A literal span of a retrieved note: `document.text[start_index:end_index] == quote`."""

    number: int
    doc_id: str
    title: str
    headings: tuple[str, ...]
    quote: str
    start_index: int
    end_index: int
    start_line: int
    end_line: int
    url: str


@dataclass(frozen=True, slots=True)
class Statement:
    """One sentence of an answer and the citations it rests on; `support` is 0–1."""

    text: str
    citation_numbers: tuple[int, ...]
    support: float


@dataclass(frozen=True, slots=True)
class SearchResult:
    """Hits, best first, for a question; `answerable` is the probability that the notes hold it."""

    question: str
    search_question: str
    hits: tuple[Hit, ...]
    answerable: float
    took_ms: Mapping[str, float]
    snapshot_id: str
    answerability_signals: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """A cited answer; `refused` when the notes do not hold it, and then without statements.

    `model` is the one that wrote it. Where that is not the one asked for, `failed_model` names
    the latter and `fallback_reason` says why (one of `errors.FAILURES`).
    """

    answer_id: str
    question: str
    statements: tuple[Statement, ...]
    citations: tuple[Citation, ...]
    hits: tuple[Hit, ...]
    answerable: float
    refused: bool
    model: str
    took_ms: Mapping[str, float]
    snapshot_id: str
    failed_model: str | None = None
    fallback_reason: str | None = None

    @property
    def text(self) -> str:
        """The statements as one text, each with its `[n]`."""
        return "\n".join(
            statement.text + "".join(f"[{number}]" for number in statement.citation_numbers)
            for statement in self.statements
        )
