"""The tools an agent is given: search, fetch, ask_notes, get_passage; none changes anything."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Annotated, Final, ParamSpec, TypeVar

from mcp.server.mcpserver.exceptions import ToolError
from pydantic import Field

from api.answering import Answering, Readiness
from api.mcp.results import (
    Address,
    CitedAnswer,
    CitedStatement,
    FetchedText,
    FoundPlace,
    FoundPlaces,
    Passage,
    PlaceId,
)
from api.messages import status_and_message
from api.metrics import Metrics
from api.schemas import CitationJson, line_numbers
from rag.errors import NotFoundError, RagError
from rag.presenting import answer_text, fallback_notice
from rag.types import Citation, Document, Hit, Section

FOUND_PLACES: Final = 10
NEAREST_PLACES: Final = 3
MAX_TEXT_CHARS: Final = 60_000
READY_SECONDS: Final = 45
"""How long a tool waits for the index and the model; clients give up after a minute."""

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

Question = Annotated[str, Field(description="in the user's own words; the notes are in Japanese")]
Tags = Annotated[list[str], Field(description="only notes with one of these tags")]


def telling_errors(tool: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """The tool, whose known errors reach the agent as sentences it can act on."""

    @functools.wraps(tool)
    def call(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        try:
            return tool(*args, **kwargs)
        except RagError as error:
            raise ToolError(f"{status_and_message(error.code)[1]} ({error})") from error

    return call


class NoteTools:
    """The tools over one assistant; `address` tells where a reader opens what they name."""

    def __init__(self, readiness: Readiness, metrics: Metrics, address: Address) -> None:
        self._readiness = readiness
        self._metrics = metrics
        self._address = address

    @property
    def _assistant(self) -> Answering:
        return self._readiness.wait(READY_SECONDS)

    @telling_errors
    def search(self, query: Question) -> FoundPlaces:
        """Finds passages of the user's study notes for a question or key words, best first."""
        assistant = self._assistant
        found = assistant.search(query, top_k=FOUND_PLACES)
        self._metrics.searched(found)
        return FoundPlaces(results=self._places(assistant, found.hits))

    @telling_errors
    def fetch(self, id: Annotated[str, Field(description="an id that search gave")]) -> FetchedText:
        """The text around a passage that search found, word for word: its whole section.

        The id of a note, such as `aws/sqs.md`, gives the whole note.
        """
        assistant = self._assistant
        place = PlaceId.parse(id)
        document = assistant.document(place.doc_id)
        start, end = _checked_span(document, place.span or (0, len(document.text)))
        sections = _sections_around(assistant, document, start, end)
        first, last = _widened(sections, start, end)
        metadata = {
            "doc_id": document.doc_id,
            "lines": "-".join(map(str, line_numbers(document.text, [first, max(first, last - 1)]))),
            "tags": ", ".join(document.tags),
            "complete": str(_is_complete(sections, first, last)).lower(),
        }
        if place.span:
            metadata["headings"] = " › ".join(_headings(sections))
            metadata["passage"] = document.text[start:end]
        return FetchedText(
            id=id,
            title=document.title,
            text=document.text[first:last],
            url=self._address(document, start, end),
            metadata=metadata,
        )

    @telling_errors
    def ask_notes(
        self,
        question: Question,
        history: Annotated[
            list[str], Field(description="earlier questions, oldest first", max_length=20)
        ] = [],  # noqa: B006  (becomes the schema's default; never changed)
        tags: Tags = [],  # noqa: B006
    ) -> CitedAnswer:
        """Answers from the user's study notes alone; every statement cites its exact words.

        Refuses when the notes do not hold the answer. Cite the [n] and their urls when you pass
        the answer on, and do not fill a refusal from elsewhere without saying so.
        """
        assistant = self._assistant
        answer = assistant.ask(question, history=history, tags=tags)
        self._metrics.answered(answer)
        return CitedAnswer(
            question=answer.question,
            answer=answer_text(answer),
            refused=answer.refused,
            statements=[
                CitedStatement(
                    text=statement.text,
                    citation_numbers=list(statement.citation_numbers),
                    support=statement.support,
                )
                for statement in answer.statements
            ],
            citations=[self._citation(assistant, cited) for cited in answer.citations],
            nearest=(
                self._places(assistant, answer.hits[:NEAREST_PLACES]) if answer.refused else []
            ),
            model=answer.model,
            notice=fallback_notice(answer),
        )

    @telling_errors
    def get_passage(
        self,
        doc_id: str,
        start_index: Annotated[int, Field(ge=0)],
        end_index: Annotated[int, Field(ge=0)],
        context_chars: Annotated[int, Field(ge=0, le=5000)] = 300,
    ) -> Passage:
        """A span of a note, as citations name it, with what stands before and after it."""
        assistant = self._assistant
        document = assistant.document(doc_id)
        start, end = _checked_span(document, (start_index, end_index))
        lines = line_numbers(document.text, [start, end - 1])
        return Passage(
            doc_id=document.doc_id,
            title=document.title,
            headings=_headings(_sections_around(assistant, document, start, end)),
            text=document.text[start:end],
            before=document.text[max(0, start - context_chars) : start],
            after=document.text[end : end + context_chars],
            start_index=start,
            end_index=end,
            start_line=lines[0],
            end_line=lines[1],
            url=self._address(document, start, end),
        )

    def _places(self, assistant: Answering, hits: Sequence[Hit]) -> list[FoundPlace]:
        places = []
        for chunk in (hit.chunk for hit in hits):
            document = assistant.document(chunk.doc_id)
            url = self._address(document, chunk.start_index, chunk.end_index)
            places.append(FoundPlace(id=str(PlaceId.of(chunk)), title=chunk.breadcrumb, url=url))
        return places

    def _citation(self, assistant: Answering, cited: Citation) -> CitationJson:
        document = assistant.document(cited.doc_id)
        url = self._address(document, cited.start_index, cited.end_index)
        return CitationJson.of(cited, cited.number).model_copy(update={"url": url})


def _checked_span(document: Document, span: tuple[int, int]) -> tuple[int, int]:
    start, end = span
    if not 0 <= start < end <= len(document.text):
        raise NotFoundError(
            f"no span {start}–{end} in {document.doc_id!r}, which has {len(document.text)} "
            "characters; take the numbers from a search or a citation"
        )
    return start, end


def _sections_around(
    assistant: Answering, document: Document, start: int, end: int
) -> list[Section]:
    return [
        section
        for section in assistant.sections(document.doc_id)
        if section.start_index < end and section.end_index > start
    ]


def _widened(sections: Sequence[Section], start: int, end: int) -> tuple[int, int]:
    """The span with the whole of its sections around it, as far as a reply may hold."""
    first = min([start, *(section.start_index for section in sections)])
    last = max([end, *(section.end_index for section in sections)])
    if last - first <= MAX_TEXT_CHARS:
        return first, last
    first = max(first, min(start, start - (MAX_TEXT_CHARS - (end - start)) // 2))
    return first, min(last, first + MAX_TEXT_CHARS)


def _is_complete(sections: Sequence[Section], first: int, last: int) -> bool:
    return all(first <= section.start_index and section.end_index <= last for section in sections)


def _headings(sections: Sequence[Section]) -> list[str]:
    return list(sections[0].headings) if sections else []
