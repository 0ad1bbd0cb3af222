"""The JSON of the HTTP API: `rag` types in, response models out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any
from urllib.parse import quote

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, StrictBool

from api.rendering import render_statement
from rag.citations import cite_chunk
from rag.presenting import answer_text, fallback_notice
from rag.types import Answer, Chunk, Citation, Document, Hit, SearchResult, Section, Statement

MAX_HISTORY = 20
NOT_BLANK: dict[str, JsonValue] = {"minLength": 1, "pattern": r"\S"}
"""Documented here, enforced by the library, which has the better words for it."""

QUESTION_EXAMPLE = "CodeDeployのデプロイが失敗したら自動で元に戻すには？"


def note_url(doc_id: str) -> str:
    """Path of a note's page."""
    return f"/notes/{quote(doc_id)}"


def _refuse_half_characters(text: str) -> str:
    # JSON can spell lone surrogates, which no response and no file can carry.
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("not valid Unicode text") from None
    return text


Text = Annotated[str, AfterValidator(_refuse_half_characters)]


class ErrorBody(BaseModel):
    """One error: stable `code`, Japanese `message`, and what is known besides."""

    code: str
    message: str
    detail: Any = None


class ErrorResponse(BaseModel):
    """The one shape of every error of the API."""

    error: ErrorBody


class SearchRequest(BaseModel):
    """A question, with the questions that went before it."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"question": QUESTION_EXAMPLE, "top_k": 5, "tags": ["DOP-C02"]}]
        },
    )

    question: Text = Field(description="質問", json_schema_extra=NOT_BLANK)
    history: list[Text] = Field(
        default_factory=list, max_length=MAX_HISTORY, description="これまでの質問。古い順"
    )
    top_k: int = Field(default=5, ge=1, le=50, description="返す件数")
    tags: list[Text] = Field(
        default_factory=list, max_length=100, description="いずれかのタグを持つノートに絞る"
    )


class AskRequest(SearchRequest):
    """A question to be answered."""

    model: Text | None = Field(default=None, description="回答モデル。省略時は既定のもの")
    stream: StrictBool = Field(
        default=False, description="true なら Server-Sent Events: hits, delta, answer, error, done"
    )


class CitationJson(BaseModel):
    """A literal span of a note; offsets count Unicode code points, lines count from 1."""

    number: int
    doc_id: str
    title: str
    headings: list[str]
    quote: str
    start_index: int
    end_index: int
    start_line: int
    end_line: int
    url: str

    @classmethod
    def of(cls, cited: Citation | Chunk, number: int) -> CitationJson:
        """Of a citation, or of a whole chunk."""
        found = cite_chunk(cited, number) if isinstance(cited, Chunk) else cited
        return cls.model_validate(replace(found, number=number), from_attributes=True)


class HitJson(BaseModel):
    """A passage that was found; `signals` holds what each leg thought of it."""

    rank: int
    score: float
    signals: dict[str, float]
    text: str
    citation: CitationJson

    @classmethod
    def of(cls, hit: Hit) -> HitJson:
        """Of a hit; its citation's number is its rank."""
        return cls(
            rank=hit.rank,
            score=hit.score,
            signals=dict(hit.signals),
            text=hit.chunk.text,
            citation=CitationJson.of(hit.chunk, hit.rank),
        )


class SearchResponse(BaseModel):
    """Passages, best first; `answerable` is the probability that the notes hold the answer."""

    question: str
    search_question: str
    answerable: float
    hits: list[HitJson]
    took_ms: dict[str, float]
    snapshot_id: str

    @classmethod
    def of(cls, found: SearchResult) -> SearchResponse:
        """Of a search result."""
        return cls(
            question=found.question,
            search_question=found.search_question,
            answerable=found.answerable,
            hits=[HitJson.of(hit) for hit in found.hits],
            took_ms=dict(found.took_ms),
            snapshot_id=found.snapshot_id,
        )


class StatementJson(BaseModel):
    """A sentence of the answer; below `support` 0.5 the notes do not confirm it.

    `html` is `text` rendered from Markdown and sanitised.
    """

    text: str
    citation_numbers: list[int]
    support: float
    html: str

    @classmethod
    def of(cls, statement: Statement, citations: Sequence[Citation]) -> StatementJson:
        """Of a statement and the citations of its answer."""
        cited = [cite for cite in citations if cite.number in statement.citation_numbers]
        return cls(
            text=statement.text,
            citation_numbers=list(statement.citation_numbers),
            support=statement.support,
            html=render_statement(statement.text, [(cite.title, *cite.headings) for cite in cited]),
        )


class AskResponse(BaseModel):
    """A cited answer; refused: no statements. `notice` says that `failed_model` did not answer."""

    answer_id: str
    question: str
    answer: str
    statements: list[StatementJson]
    citations: list[CitationJson]
    hits: list[HitJson]
    answerable: float
    refused: bool
    model: str
    failed_model: str | None
    fallback_reason: str | None
    notice: str | None
    took_ms: dict[str, float]
    snapshot_id: str

    @classmethod
    def of(cls, answer: Answer) -> AskResponse:
        """Of an answer."""
        return cls(
            answer_id=answer.answer_id,
            question=answer.question,
            answer=answer_text(answer),
            statements=[
                StatementJson.of(statement, answer.citations) for statement in answer.statements
            ],
            citations=[CitationJson.of(cited, cited.number) for cited in answer.citations],
            hits=[HitJson.of(hit) for hit in answer.hits],
            answerable=answer.answerable,
            refused=answer.refused,
            model=answer.model,
            failed_model=answer.failed_model,
            fallback_reason=answer.fallback_reason,
            notice=fallback_notice(answer),
            took_ms=dict(answer.took_ms),
            snapshot_id=answer.snapshot_id,
        )


class SectionJson(BaseModel):
    """A stretch of a note under one heading path; `line` is where it starts."""

    section_id: str
    headings: list[str]
    start_index: int
    end_index: int
    line: int
    url: str

    @classmethod
    def of(cls, section: Section, line: int) -> SectionJson:
        """Of a section and the line it starts on."""
        return cls(
            section_id=section.section_id,
            headings=list(section.headings),
            start_index=section.start_index,
            end_index=section.end_index,
            line=line,
            url=f"{note_url(section.doc_id)}#L{line}",
        )


class DocumentJson(BaseModel):
    """A note of the list."""

    doc_id: str
    title: str
    tags: list[str]
    url: str

    @classmethod
    def of(cls, document: Document) -> DocumentJson:
        """Of a note."""
        return cls(
            doc_id=document.doc_id,
            title=document.title,
            tags=list(document.tags),
            url=note_url(document.doc_id),
        )


class DocumentsResponse(BaseModel):
    """All notes, in order of doc_id, and all their tags."""

    documents: list[DocumentJson]
    tags: list[str]
    snapshot_id: str


class DocumentResponse(DocumentJson):
    """One note: its text as the author wrote it, and its sections."""

    aliases: list[str]
    text: str
    content_hash: str
    sections: list[SectionJson]

    @classmethod
    def whole(cls, document: Document, sections: Sequence[Section]) -> DocumentResponse:
        """Of a note and its sections."""
        lines = line_numbers(document.text, [section.start_index for section in sections])
        return cls(
            **DocumentJson.of(document).model_dump(),
            aliases=list(document.aliases),
            text=document.text,
            content_hash=document.content_hash,
            sections=[SectionJson.of(*pair) for pair in zip(sections, lines, strict=True)],
        )


def line_numbers(text: str, indexes: Sequence[int]) -> list[int]:
    """The line, from 1, of each index of `text`; `indexes` ascend."""
    numbers, line, before = [], 1, 0
    for index in indexes:
        line += text.count("\n", before, index)
        before = index
        numbers.append(line)
    return numbers
