"""The JSON API: /api/search, /api/ask, /api/documents, /api/feedback."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, cast

import anyio.to_thread
from fastapi import APIRouter, Depends, Path, Request
from fastapi.responses import Response

from api.answering import CurrentAssistant, check_model
from api.feedback import FeedbackRequest, FeedbackResponse, FeedbackStore
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
from rag.types import Answer

ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorResponse} for status in (400, 404, 413, 422, 500, 502, 503)
}

router = APIRouter(prefix="/api", responses=ERRORS)


async def feedback_store(request: Request) -> FeedbackStore:
    """The store of the application that got the request."""
    return cast(FeedbackStore, request.app.state.feedback)


CurrentFeedback = Annotated[FeedbackStore, Depends(feedback_store)]


@router.post("/search", summary="質問に合う箇所をノートから探す")
def search(
    body: SearchRequest, assistant: CurrentAssistant, metrics: CurrentMetrics
) -> SearchResponse:
    """Passages for a question, best first."""
    found = assistant.search(body.question, history=body.history, top_k=body.top_k, tags=body.tags)
    metrics.searched(found)
    return SearchResponse.of(found)


@router.post(
    "/ask",
    summary="質問に、ノートの引用つきで答える",
    response_model=AskResponse,
    responses={200: {"content": {"text/event-stream": {"schema": EVENT_SCHEMA}}}},
)
async def ask(
    body: AskRequest,
    assistant: CurrentAssistant,
    feedback: CurrentFeedback,
    metrics: CurrentMetrics,
) -> Response | AskResponse:
    """A cited answer, whole or as server-sent events."""
    pieces = assistant.stream(
        body.question,
        history=body.history,
        top_k=body.top_k,
        tags=body.tags,
        model=check_model(assistant, body.model),
    )
    watched = watch_answer(pieces, body.history, feedback, metrics)
    if not body.stream:
        return AskResponse.of(await anyio.to_thread.run_sync(last_answer, watched))
    # What is wrong with the question shows before the first byte, as a status.
    first = await anyio.to_thread.run_sync(next, watched)
    return event_stream(ask_events(preceded_by(first, watched)))


def watch_answer(
    pieces: Iterator[Piece], history: Sequence[str], feedback: FeedbackStore, metrics: Metrics
) -> Iterator[Piece]:
    """The same pieces; the answer among them is counted, and remembered for a later verdict."""
    for piece in pieces:
        if isinstance(piece, Answer):
            feedback.remember(piece, history)
            metrics.answered(piece)
        yield piece


def last_answer(pieces: Iterator[Piece]) -> Answer:
    """The answer that a stream ends with."""
    for piece in pieces:
        if isinstance(piece, Answer):
            return piece
    raise RuntimeError("the assistant's stream ended without an answer")


def preceded_by(first: Piece, pieces: Iterator[Piece]) -> Iterator[Piece]:
    """`first`, then the others."""
    yield first
    yield from pieces


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
