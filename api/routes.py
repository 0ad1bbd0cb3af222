"""The JSON API: /api/search, /api/ask, /api/documents, /api/feedback."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing
from typing import Annotated, Any, cast

from fastapi import APIRouter, Depends, Path, Request
from fastapi.responses import Response

from api.answering import CurrentAssistant, check_model
from api.desk import CurrentDesk, kind_of, while_connected
from api.feedback import FeedbackRequest, FeedbackResponse, FeedbackStore
from api.logs import tell
from api.metrics import CurrentMetrics, Metrics
from api.schemas import (
    AskRequest,
    AskResponse,
    DocumentJson,
    DocumentResponse,
    DocumentsResponse,
    ErrorResponse,
    SearchRequest,
    SearchResponse,
)
from api.streaming import EVENT_SCHEMA, Piece, ask_events, event_stream
from rag.types import Answer, SearchResult

ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorResponse}
    for status in (400, 401, 403, 404, 408, 413, 421, 422, 429, 431, 500, 502, 503, 504)
}

router = APIRouter(prefix="/api", responses=ERRORS)


async def feedback_store(request: Request) -> FeedbackStore:
    """The store of the application that got the request."""
    return cast(FeedbackStore, request.app.state.feedback)


CurrentFeedback = Annotated[FeedbackStore, Depends(feedback_store)]


@router.post("/search", summary="質問に合う箇所をノートから探す")
async def search(
    request: Request,
    body: SearchRequest,
    assistant: CurrentAssistant,
    metrics: CurrentMetrics,
    desk: CurrentDesk,
) -> SearchResponse:
    """Passages for a question, best first."""

    def find() -> Iterator[SearchResult]:
        yield assistant.search(
            body.question, history=body.history, top_k=body.top_k, tags=body.tags
        )

    found = await while_connected(request, desk.only("notes", find()))
    metrics.searched(found)
    tell(hits=len(found.hits), snapshot=found.snapshot_id, **rounded(found.took_ms))
    return SearchResponse.of(found)


@router.post(
    "/ask",
    summary="質問に、ノートの引用つきで答える",
    response_model=AskResponse,
    responses={200: {"content": {"text/event-stream": {"schema": EVENT_SCHEMA}}}},
)
async def ask(
    request: Request,
    body: AskRequest,
    assistant: CurrentAssistant,
    feedback: CurrentFeedback,
    metrics: CurrentMetrics,
    desk: CurrentDesk,
) -> Response | AskResponse:
    """A cited answer, whole or as server-sent events."""
    model = check_model(assistant, body.model)
    stream = assistant.stream(
        body.question, history=body.history, top_k=body.top_k, tags=body.tags, model=model
    )
    watched = watch_answer(stream, body.history, feedback, metrics)
    pieces = desk.attend(kind_of(assistant, model), watched)
    if not body.stream:
        return AskResponse.of(await while_connected(request, last_answer(pieces)))
    # What is wrong with the question shows before the first byte, as a status.
    first = await while_connected(request, anext(pieces))
    return event_stream(ask_events(preceded_by(first, pieces)))


def watch_answer(
    pieces: Iterator[Piece], history: Sequence[str], feedback: FeedbackStore, metrics: Metrics
) -> Iterator[Piece]:
    """The same pieces; what was found and answered is counted and logged, and the answer
    remembered for a later verdict."""
    for piece in pieces:
        if isinstance(piece, SearchResult):
            metrics.searched(piece)
        elif isinstance(piece, Answer):
            tell_answer(piece)
            feedback.remember(piece, history)
            metrics.answered(piece)
        yield piece


def tell_answer(answer: Answer) -> None:
    """Logs with the request how it was answered, but neither question nor answer."""
    tell(
        model=answer.model,
        failed_model=answer.failed_model,
        fallback_reason=answer.fallback_reason,
        refused=answer.refused,
        hits=len(answer.hits),
        snapshot=answer.snapshot_id,
        **rounded(answer.took_ms),
    )


def rounded(took_ms: Mapping[str, float]) -> dict[str, float]:
    """The times of the stages, as they are logged."""
    return {f"{stage}_ms": round(milliseconds, 1) for stage, milliseconds in took_ms.items()}


async def last_answer(pieces: AsyncGenerator[Piece | None, None]) -> Answer:
    """The answer that a stream ends with."""
    async with aclosing(pieces) as coming:
        async for piece in coming:
            if isinstance(piece, Answer):
                return piece
    raise RuntimeError("the assistant's stream ended without an answer")


async def preceded_by(
    first: Piece | None, pieces: AsyncIterator[Piece | None]
) -> AsyncIterator[Piece | None]:
    """`first`, then the others."""
    yield first
    async for piece in pieces:
        yield piece


@router.get("/documents", summary="ノートの一覧")
def documents(assistant: CurrentAssistant) -> DocumentsResponse:
    """All notes and tags."""
    return DocumentsResponse(
        documents=[DocumentJson.of(document) for document in assistant.documents()],
        tags=list(assistant.tags),
        snapshot_id=assistant.snapshot_id,
    )


DocId = Annotated[str, Path(description="一覧にある doc_id", examples=["aws/codedeploy.md"])]


@router.get("/documents/{doc_id:path}", summary="ノートの本文と見出し")
def document(doc_id: DocId, assistant: CurrentAssistant) -> DocumentResponse:
    """One note with its sections."""
    found = assistant.document(doc_id)
    return DocumentResponse.whole(found, assistant.sections(found.doc_id))


@router.post("/feedback", summary="回答の良し悪しを残す")
def feedback(body: FeedbackRequest, store: CurrentFeedback) -> FeedbackResponse:
    """Keeps a verdict; a later one on the same answer replaces it."""
    store.save(body.answer_id, body.verdict, body.comment)
    return FeedbackResponse(answer_id=body.answer_id, verdict=body.verdict, comment=body.comment)
